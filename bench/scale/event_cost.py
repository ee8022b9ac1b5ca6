"""What one event costs, measured with the real service on Azurite, as a job for the simulation."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

from azure.core.rest import HttpRequest

from bench.harness.growing import GrowingBlob, service_of
from bench.ingest import Counting
from bench.scale.model import Job, Step
from bench.scale.storage import Call
from flowlog_core.testing.generate import Format

Kind = Literal["queue", "gzip", "table"]
TUPLES = 100  # an append
WARM_UP = 20  # appends; the first ones open connections, make the table and the queue
CHECKPOINT_CALLS, READS = 3, 1
PROPERTIES = 3  # how often the host asks for the blob's before it calls the app: docs/host.md
# A receive counts as one request, and a busy queue fills it: with 9 messages for the host
# (docs/host.md), with up to 32 for a consumer (learn.microsoft.com/rest/api/storageservices/
# get-messages, read 2026-11-27).
HOST_BATCH, CONSUMER_BATCH = 9, 32
HOST_QUEUE_UNITS = 2 + 1 / HOST_BATCH  # put, deleted, received
RECORD_MESSAGE_UNITS = 2 + 1 / CONSUMER_BATCH  # sent by the app, deleted and received
ROW_UNITS = 2  # a row has about 2 KB, and the published limits are for entities of 1 KiB


class ByKind(Counting):
    """Counts requests by what they are for, and the bytes sent to the sink."""

    def start_over(self) -> None:
        """Forget what was counted."""
        super().start_over()
        self.kinds: Counter[str] = Counter()
        self.sent_bytes = 0

    def send(self, request: HttpRequest, **kwargs: Any) -> Any:
        """Send, and count."""
        url = request.url
        to_sink = "/messages" in url or "$batch" in url
        self.kinds["send" if to_sink else "read" if "PT1H.json" in url else "checkpoint"] += 1
        self.sent_bytes += int(request.headers.get("Content-Length", 0)) if to_sink else 0
        return super().send(request, **kwargs)


@dataclass(frozen=True)
class EventCost:
    """What forwarding one append of `TUPLES` tuples takes."""

    form: Format
    sink: Kind
    processor_s: float
    sends: int
    """Messages, or batches of rows."""
    read_bytes: float
    sent_bytes: float

    @property
    def name(self) -> str:
        """Format and sink."""
        return f"{self.form}, {self.sink}"

    @property
    def send_units(self) -> float:
        """What one send counts for, with the consumer's share."""
        return TUPLES * ROW_UNITS if self.sink == "table" else RECORD_MESSAGE_UNITS

    @property
    def queue_units(self) -> float:
        """What one event counts for in all queues of the app's account."""
        return HOST_QUEUE_UNITS + (0 if self.sink == "table" else self.sends * self.send_units)

    @property
    def table_units(self) -> float:
        """What one event counts for in all tables of the app's account."""
        return CHECKPOINT_CALLS + (self.sends * self.send_units if self.sink == "table" else 0)

    def job(self, processor_times: float = 1.0, properties: int = PROPERTIES) -> Job:
        """As the simulation takes it; the processor time is divided evenly over the app's calls.

        The host puts a message into its queue, receives it and asks for the blob's properties,
        unless it is an event queue, which Event Grid fills; `ingest` gets the checkpoint, claims,
        reads, sends and commits; then the host deletes the message.
        """
        each_s = self.processor_s * processor_times / (CHECKPOINT_CALLS + READS + 1)
        host, checkpoint = (Call("host's queue"),), (Call("checkpoint"),)
        ours = checkpoint, checkpoint, (Call("read"),), self.sends * (self._send,), checkpoint
        asking = (
            (Call("host's queue", 1 / HOST_BATCH),),
            *properties * ((Call("properties"),),),
        )
        return Job(
            (*(Step(0, it) for it in asking), *(Step(each_s, it) for it in ours)),
            arriving=host,
            leaving=host,
        )

    @property
    def _send(self) -> Call:
        return Call("send", self.send_units)


def measure(connection: str, form: Format, sink: Kind, appends: int) -> EventCost:
    """The medians over so many appends to one blob, each taken by an event of its own."""
    counting = ByKind()
    service = service_of(
        connection,
        counting,
        FLOWLOG_SINK="table" if sink == "table" else "queue",
        FLOWLOG_QUEUE_ENCODING="gzip" if sink == "gzip" else "json",
        FLOWLOG_CHECKPOINT_TABLE=f"checkpoints{form}{sink}",
    )
    blob = GrowingBlob(service, form)
    processor_s = []
    for number in range(WARM_UP + appends):
        if number == WARM_UP:
            counting.start_over()
        blob.append(TUPLES)
        started_s = time.process_time()
        blob.ingest()
        processor_s.append(time.process_time() - started_s)
    blob.close()
    service.close()
    sends, odd = divmod(counting.kinds["send"], appends)
    # One process, as here, remembers what it released last and reads nothing; several instances
    # meet each other's releases, so the simulation makes all calls.
    if odd or not appends <= counting.kinds["checkpoint"] <= CHECKPOINT_CALLS * appends:
        raise SystemExit(f"not the calls that the simulation makes: {counting.kinds}")
    if counting.kinds["read"] != READS * appends:
        raise SystemExit(f"not the reads that the simulation makes: {counting.kinds}")
    return EventCost(
        form,
        sink,
        median(processor_s[WARM_UP:]),
        sends,
        counting.downloaded_bytes / appends,
        counting.sent_bytes / appends,
    )
