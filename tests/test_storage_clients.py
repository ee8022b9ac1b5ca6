"""What the clients of a process share, and how long their calls may take."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

import pytest
from azure.core.exceptions import ServiceRequestError
from azure.core.pipeline.transport import HttpTransport
from test_storage_transport import Serve, serving

from flowlog_core.blob import Position
from flowlog_core.checkpoints.checkpoint import Checkpoint, checkpoint_key
from flowlog_core.config.settings import Settings
from flowlog_core.dead_letters import DeadLetter
from flowlog_core.errors import StorageError, Unavailable
from flowlog_core.service import Service
from flowlog_core.sinks.message import Message
from flowlog_core.sinks.table import Batch
from flowlog_core.storage.bounded_requests import BoundedRequestsTransport
from flowlog_core.storage.clients import Clients
from flowlog_core.storage.curl_transport import CurlTransport
from flowlog_core.storage.timeouts import (
    LONGEST_CALL_S,
    READ_S,
    TRY_S,
    sleep_within_limit,
    time_limit,
    try_limit_s,
)
from flowlog_core.sweep.cursor import Container
from flowlog_core.testing.memory import some_blob

BLOB, KEY = some_blob(), checkpoint_key(some_blob())
LETTER = DeadLetter(Position(BLOB), "why", b"raw")
ROW = {"PartitionKey": "p", "RowKey": "r"}
BOUNDED: dict[str, Callable[[Service], object]] = {
    "get": lambda service: service.pipeline.checkpoints.get(KEY),
    "create": lambda service: service.pipeline.checkpoints.create(KEY, Checkpoint("b")),
    "replace": lambda service: service.pipeline.checkpoints.replace(KEY, Checkpoint("b"), "e"),
    "remove": lambda service: service.pipeline.checkpoints.remove(KEY, "e"),
    "cursor": lambda service: service.cursors.get(Container("a", "b")),
    "message": lambda service: service.pipeline.sink.send([Message("id", "text")]),
    "rows": lambda service: service.pipeline.sink.send([Batch("id", [ROW])]),
    "dead letter": lambda service: service.pipeline.dead_letters.put([LETTER]),
}

IN_THIS_THREAD: dict[str, Callable[[Any], object]] = {
    "get": BOUNDED["get"],
    "message": lambda service: service.pipeline.sink._send_one(Message("id", "text")),
    "rows": lambda service: service.pipeline.sink._send_one(Batch("id", [ROW])),
    "dead letter": lambda service: service.pipeline.dead_letters._put_one(LETTER),
}


class Nowhere(HttpTransport):  # type: ignore[type-arg]  # of any request
    """Sends nothing, and notes how long a try might have taken and for how long it would wait."""

    def __init__(self) -> None:
        self.limits_s: list[float] = []

    def send(self, request: Any, **_: Any) -> Any:
        self.limits_s.append(try_limit_s(READ_S))
        raise ServiceRequestError(f"nobody sends {request.url}")

    def sleep(self, duration: float) -> None:
        sleep_within_limit(0 * duration)

    def open(self) -> None: ...
    def close(self) -> None: ...
    def __enter__(self) -> Nowhere:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None: ...


def service_at(url: str, sink: str, transport: Any) -> Service:
    account = (
        "DefaultEndpointsProtocol=http;AccountName=exampleaccount;AccountKey=a2V5;"
        f"BlobEndpoint={url};QueueEndpoint={url};TableEndpoint={url}"
    )
    settings = Settings.from_environment(
        {"FlowLogs": account, "AzureWebJobsStorage": account, "FLOWLOG_SINK": sink}
    )
    return Service(settings, Clients(settings, transport=transport))


def sink_of(what: str) -> str:
    return "table" if what == "rows" else "queue"


@pytest.mark.parametrize("what", BOUNDED)
def test_each_try_of_a_send_or_checkpoint_call_is_short(what: str) -> None:
    transport = Nowhere()
    service = service_at("http://a.test/", sink_of(what), transport)
    with pytest.raises(Unavailable):
        BOUNDED[what](service)
    service.close()
    assert TRY_S - 1 < transport.limits_s[0] <= TRY_S
    assert max(transport.limits_s) <= TRY_S < LONGEST_CALL_S / 2


def test_a_read_has_more_time_as_nothing_is_sent_under_a_claim_meanwhile() -> None:
    transport = Nowhere()
    service = service_at("http://a.test/", "queue", transport)
    with pytest.raises(Unavailable):
        service.blobs.read(BLOB, 0, 10, None)
    service.close()
    assert transport.limits_s[0] == READ_S


def hangs(_: socket.socket, __: bytes) -> None:
    time.sleep(30)


def drips(connection: socket.socket, _: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
    for _byte in range(300):
        time.sleep(0.1)
        connection.sendall(b"0")


def asks_to_wait(connection: socket.socket, _: bytes) -> None:
    head = b"HTTP/1.1 503 Busy\r\nRetry-After: 600\r\nx-ms-error-code: ServerBusy\r\n"
    connection.sendall(head + b"Content-Length: 0\r\n\r\n")


def asks_to_wait_a_little(connection: socket.socket, _: bytes) -> None:
    head = b"HTTP/1.1 429 Busy\r\nRetry-After: 1\r\nx-ms-error-code: TooMany\r\n"
    connection.sendall(head + b"Content-Length: 0\r\n\r\n")


@pytest.fixture(params=[CurlTransport, BoundedRequestsTransport])
def transport(request: pytest.FixtureRequest) -> Iterator[Any]:
    with request.param(connect_s=5, call_s=60) as made:
        yield made


@pytest.mark.parametrize("serve", [hangs, drips, asks_to_wait, asks_to_wait_a_little])
@pytest.mark.parametrize("what", IN_THIS_THREAD)
def test_a_time_limit_bounds_all_tries_and_waits_together(
    transport: Any, what: str, serve: Serve
) -> None:
    """The limit is set in the thread that makes the calls; the sinks' own threads set another."""
    with serving(serve) as server:
        service = service_at(server.url.partition("/path")[0], sink_of(what), transport)
        call = IN_THIS_THREAD[what]
        began = time.monotonic()
        with pytest.raises(StorageError) as raised, time_limit(1.5):
            call(service)
        took_s = time.monotonic() - began
        service.close()
    assert isinstance(raised.value, Unavailable)
    # A busy machine's slack. The blob client may wait twice more, 3 s and 5 s, and sends nothing.
    assert took_s < 1.5 + (10 if what == "dead letter" else 2)


def test_an_inner_limit_cannot_prolong_an_outer_one() -> None:
    with time_limit(1), time_limit(60):
        assert try_limit_s(READ_S) <= 1
    assert try_limit_s(READ_S) == READ_S


def test_nothing_is_sent_after_the_limit() -> None:
    with time_limit(0.01):
        time.sleep(0.02)
        with pytest.raises(ServiceRequestError, match="no time is left"):
            try_limit_s(READ_S)
