"""Sends batches to an event hub, each within a time limit.

The SDK's blocking client cannot be bounded: a peer that never answers, or does not answer a token
or a link, hangs it forever, whatever its timeouts say (azure-eventhub 5.15.1). Its asyncio client
can, from outside. So one event loop runs in a thread of its own, and every call of the SDK is
cancelled when its time is over.

A client has one link and sends one batch at a time, so each send has a client to itself. A client
that failed is thrown away, as nobody knows the state it is in.

Imported only where the sink is chosen: the SDK costs a cold start a fifth of a second.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from typing import Any, NamedTuple

from azure.core.credentials import TokenCredential
from azure.eventhub import EventData, EventDataBatch
from azure.eventhub.aio import EventHubProducerClient

from flowlog_core.blob import entry_id_of
from flowlog_core.config.connections import Connection
from flowlog_core.errors import FlowlogError, ItemRefused, Unavailable
from flowlog_core.sinks.event_hub_errors import flowlog_error
from flowlog_core.storage.clients import identity
from flowlog_core.storage.timeouts import TRY_S

log = logging.getLogger(__name__)

_SCOPE = "https://eventhubs.azure.net/.default"
WAITS_S = (1.0, 4.0)
"""Between tries. A hub that is busy asks for four seconds."""
_CLOSE_S = 3.0
_LOOP_LATE_S = 0.5
"""How many seconds before the caller the loop gives up."""
_MAX_IDLE_S = 120.0
"""The service ends a connection on which nothing came for four minutes."""


class Event(NamedTuple):
    """An event as it is sent."""

    id: str
    body: bytes
    is_gzip: bool
    partition_key: str
    """That of its interface."""


class _Credential:
    """A blocking credential, for the asyncio client: its own needs aiohttp."""

    def __init__(self, credential: TokenCredential) -> None:
        self._credential = credential

    async def get_token(self, *scopes: str, **kwargs: Any) -> Any:
        return await asyncio.to_thread(self._credential.get_token, *scopes, **kwargs)

    async def close(self) -> None:
        """Nothing to close: the credential is the process's."""


class EventHub:
    """One event hub. Opens connections when they are needed; thread-safe."""

    def __init__(
        self,
        connection: Connection,
        name: str,
        *,
        try_s: float = TRY_S,
        waits_s: Sequence[float] = WAITS_S,
    ) -> None:
        self._connection, self._name = connection, name
        self._try_s, self._waits_s = try_s, waits_s
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="flowlog-event-hub", daemon=True
        )
        self._thread.start()
        # The loop's thread alone touches these.
        self._idle: list[tuple[float, EventHubProducerClient]] = []
        self._closing: set[asyncio.Task[None]] = set()

    def send(self, events: Sequence[Event], limit_s: float) -> None:
        """Send all events, which have one partition key, within `limit_s` seconds in any case.

        Events that were not acknowledged are sent again, while there is time. If a batch is refused
        for its size, they are sent one by one: `ItemRefused` names the entry of the one that is too
        large by itself. Raises a `StorageError`: then any of them may have been accepted.
        """
        doing = self._sending(events)
        self._run(doing, limit_s, lambda ends_at: self._send(events, ends_at))

    def _sending(self, events: Sequence[Event]) -> str:
        return f"sending event {events[0].id} to event hub {self._name}"

    def close(self) -> None:
        """Close all connections and end the thread, within some seconds whatever happens."""
        if self._loop.is_closed():
            return

        async def close_all() -> None:
            for _, client in self._idle:
                self._throw_away(client)
            if self._closing:
                await asyncio.wait(self._closing)

        closing = asyncio.run_coroutine_threadsafe(close_all(), self._loop)
        if not wait([closing], 2 * _CLOSE_S).done:  # the process ends, and its connections with it
            log.warning("event hub %s: connections did not close in time", self._name)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CLOSE_S)
        if not self._thread.is_alive():  # a running loop cannot be closed
            self._loop.close()

    def _run(self, doing: str, limit_s: float, make: Callable[[float], Any]) -> Any:
        """Run what `make` makes of the time at which the loop must give up."""

        async def bounded() -> Any:
            return await make(self._loop.time() + limit_s - _LOOP_LATE_S)

        future = asyncio.run_coroutine_threadsafe(bounded(), self._loop)
        try:
            return future.result(limit_s)
        except TimeoutError as error:
            # The loop itself was late, or the SDK kept a cancellation to itself.
            future.cancel()
            raise Unavailable(f"{doing}: no answer within {limit_s:.0f} s") from error

    async def _send(self, events: Sequence[Event], ends_at: float) -> None:
        unacknowledged = list(events)
        time_now = asyncio.get_running_loop().time
        told: FlowlogError | None = None
        at_once = len(events)
        waits_s = iter(self._waits_s)
        while True:
            try:
                async with asyncio.timeout_at(min(ends_at, time_now() + self._try_s)):
                    await self._try(unacknowledged, at_once)
            except Exception as error:
                first = unacknowledged[0]
                mapped = flowlog_error(self._sending([first]), error, entry_id_of(first.id))
                if isinstance(mapped, ItemRefused) and at_once > 1:
                    at_once = 1  # the batch does not say which event
                    continue
                if told is not None and isinstance(error, TimeoutError):
                    mapped = told  # says more than that the last try was cut short
                told = mapped
                wait_s = next(waits_s, None)
                if wait_s is None or not mapped.try_again or time_now() + wait_s >= ends_at:
                    raise mapped from error
                log.info("%s; trying again in %.0f s", mapped, wait_s)
            else:
                return
            await asyncio.sleep(wait_s)

    async def _try(self, unacknowledged: list[Event], at_once: int) -> None:
        """Send events; remove from the list those that the hub acknowledged."""
        client = await self._take()
        try:
            while unacknowledged:
                key = unacknowledged[0].partition_key
                batch = await client.create_batch(partition_key=key)
                count = _fill(batch, unacknowledged[:at_once])
                await client.send_batch(batch)
                del unacknowledged[:count]
        except BaseException:
            self._throw_away(client)
            raise
        self._put_back(client)

    async def _take(self) -> EventHubProducerClient:
        client: EventHubProducerClient
        now_s = asyncio.get_running_loop().time()
        while self._idle:
            since_s, client = self._idle.pop()
            if now_s - since_s < _MAX_IDLE_S:
                return client
            self._throw_away(client)
        options: dict[str, Any] = {
            "eventhub_name": self._name,
            # Never -1, with which the SDK reports success without sending anything.
            "retry_total": 0,
            "retry_backoff_factor": 0,  # it would wait even so, before it raises the error
        }
        if self._connection.connection_string is not None:
            text = self._connection.connection_string
            client = EventHubProducerClient.from_connection_string(text, **options)
        else:
            # `Any`, because the SDK asks for more of a credential than it uses.
            credential: Any = _Credential(identity(self._connection.client_id))
            # Here, since the SDK would hide why there is no token.
            await credential.get_token(_SCOPE)
            namespace = self._connection.namespace
            client = EventHubProducerClient(namespace, credential=credential, **options)
        return client

    def _put_back(self, client: EventHubProducerClient) -> None:
        self._idle.append((asyncio.get_running_loop().time(), client))

    def _throw_away(self, client: EventHubProducerClient) -> None:
        """Close a client in the background."""

        async def close() -> None:
            try:
                async with asyncio.timeout(_CLOSE_S):
                    await client.close()
            except Exception as error:  # noqa: BLE001 - it failed before, and nobody needs it
                log.debug("closing a client of event hub %s: %r", self._name, error)

        task = asyncio.get_running_loop().create_task(close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _fill(batch: EventDataBatch, events: Sequence[Event]) -> int:
    """Add as many events as the link's limit allows; return how many."""
    for count, event in enumerate(events):
        data = EventData(event.body)
        data.message_id = event.id
        data.content_type = "application/json"
        if event.is_gzip and (properties := data.raw_amqp_message.properties) is not None:
            properties.content_encoding = "gzip"
        try:
            batch.add(data)
        except ValueError as error:
            if count:
                return count
            raise ItemRefused(
                f"event {event.id} has {len(event.body)} bytes, and the event hub takes batches "
                f"of at most {batch.max_size_in_bytes}",
                entry_id_of(event.id),
            ) from error
    return len(events)
