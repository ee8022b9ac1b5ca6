"""The Event Hubs sink: events of at most 64 KiB, the events of an interface in one partition.

An event's body is what a queue message holds inside its base64: the JSON of `sinks.message`, or
that JSON as a gzip file. `consume.decode` reads both. The event's message id is the message's id;
content type and encoding say what the body is.

Events that were drawn one after the other are sent together. A send whose outcome is unknown is
repeated, so a consumer may see an event twice: with the same id and content.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from flowlog_core.errors import Unavailable
from flowlog_core.parallel import Parallel
from flowlog_core.sinks import EntryRecords, Packed
from flowlog_core.sinks.event_hub_client import Event, EventHub
from flowlog_core.sinks.message import Encoding, bodies_of, gzipped
from flowlog_core.sinks.shards import interface_key
from flowlog_core.storage.timeouts import LONGEST_CALL_S

MAX_EVENT_BYTES = 64 * 1024
"""An event hub bills each 64 KiB of an event, so a larger one saves nothing."""
MAX_BATCH_BYTES = 240 * 1024
"""Fits into one batch of every tier: the smallest allows 256 KiB. Source: learn.microsoft.com,
"Azure Event Hubs quotas and limits"."""
_EVENT_OVERHEAD_BYTES = 512  # id, partition key, content type, and what AMQP puts around them


class EventBatch(NamedTuple):
    """Events of one interface, sent together."""

    events: list[Event]
    drawn_at_s: float
    """When the last of them was drawn, by the monotonic clock: the claim was good then."""


class EventHubSink:
    """Sends to an event hub, which must exist."""

    def __init__(
        self,
        hub: EventHub,
        encoding: Encoding,
        parallel: Parallel,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hub, self._encoding, self._parallel = hub, encoding, parallel
        self._monotonic = monotonic

    def pack(self, entry: EntryRecords) -> Packed:
        """See `Sink.pack`; the messages are `Event`s."""
        is_gzip = self._encoding == "gzip"
        bodies, too_large = bodies_of(
            entry,
            gzipped if is_gzip else None,
            MAX_EVENT_BYTES,
            f"event of {MAX_EVENT_BYTES} bytes",
        )
        key = interface_key(entry.position.blob)
        return Packed((Event(*body, is_gzip, key) for body in bodies), too_large)

    def send(self, messages: Iterable[Event]) -> int:
        """See `Sink.send`. Returns the number of events."""
        sent = 0

        def counted() -> Iterator[EventBatch]:
            nonlocal sent
            for batch in self._batches(messages):
                sent += len(batch.events)
                yield batch

        self._parallel(counted(), self._send_one)
        return sent

    def _batches(self, messages: Iterable[Event]) -> Iterator[EventBatch]:
        """Gather what is drawn.

        A batch that might not hold another event is sent before that is drawn: nothing may wait
        between its draw, which checks the claim, and its send.
        """
        events, size, drawn_at_s = list[Event](), 0, 0.0
        for event in messages:
            now_s = self._monotonic()
            if events and event.partition_key != events[0].partition_key:
                yield EventBatch(events, drawn_at_s)
                events, size = [], 0
            drawn_at_s = now_s
            events.append(event)
            size += len(event.body) + _EVENT_OVERHEAD_BYTES
            if size > MAX_BATCH_BYTES - MAX_EVENT_BYTES - _EVENT_OVERHEAD_BYTES:
                yield EventBatch(events, drawn_at_s)
                events, size = [], 0
        if events:
            yield EventBatch(events, drawn_at_s)

    def _send_one(self, batch: EventBatch) -> None:
        # Looking for another event takes a moment too, where rules drop many records.
        limit_s = batch.drawn_at_s + LONGEST_CALL_S - self._monotonic()
        if limit_s <= 0:
            raise Unavailable(f"no time is left to send event {batch.events[0].id}")
        self._hub.send(batch.events, limit_s)
