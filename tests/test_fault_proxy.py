"""The fault proxy in front of Azurite, used through the SDK."""

from __future__ import annotations

import logging
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest
from azure.core.exceptions import AzureError
from azure.data.tables import TableServiceClient, UpdateMode
from azure.storage.blob import BlobClient, BlobServiceClient
from azure.storage.queue import QueueClient, QueueServiceClient
from simulation.fault_proxy import EVERY_FAULT, Fault, FaultProxy

from flowlog_core.demo.azurite import Azurite
from flowlog_core.errors import Unavailable, storage_errors
from flowlog_core.storage.bounded_requests import BoundedRequestsTransport
from flowlog_core.storage.curl_transport import CurlTransport

Transport = type[CurlTransport] | type[BoundedRequestsTransport]
TRANSPORTS = (CurlTransport, BoundedRequestsTransport)
ONE_TRY: dict[str, Any] = {"retry_total": 0, "read_timeout": 1}


@contextmanager
def proxied(azurite: Azurite, *, seed: int = 1) -> Iterator[tuple[Azurite, list[FaultProxy]]]:
    """The emulator with a proxy before each service, harmless so far."""
    with ExitStack() as stack:
        proxies = [
            stack.enter_context(FaultProxy(url, seed))
            for url in (azurite.blob_url, azurite.queue_url, azurite.table_url)
        ]
        blob, queue, table = (proxy.url for proxy in proxies)
        yield replace(azurite, blob_url=blob, queue_url=queue, table_url=table), proxies


@contextmanager
def always(
    azurite: Azurite, fault: Fault, queue: str, transport: Transport = CurlTransport
) -> Iterator[tuple[QueueClient, QueueClient, FaultProxy]]:
    """An empty queue: a client whose requests all meet `fault`, one that meets none, the proxy."""
    with ExitStack() as stack:
        proxy = stack.enter_context(FaultProxy(azurite.queue_url, 1, rate=1, faults={fault: 1}))
        direct = stack.enter_context(
            QueueServiceClient.from_connection_string(azurite.connection_string)
        )
        through = stack.enter_context(
            QueueServiceClient.from_connection_string(
                replace(azurite, queue_url=proxy.url).connection_string,
                transport=transport(connect_s=5, call_s=5),
                retry_total=0,
            )
        )
        direct.create_queue(queue)
        proxy.arm()
        yield through.get_queue_client(queue), direct.get_queue_client(queue), proxy


def test_it_changes_nothing_until_it_is_armed(
    azurite: Azurite, unique: Callable[[str], str]
) -> None:
    """Signatures, chunked answers, batches and whole blobs pass through all three."""
    content = bytes(range(256)) * 8192
    rows = [{"PartitionKey": "p", "RowKey": str(number)} for number in range(20)]
    with proxied(azurite) as (through, proxies):
        text = through.connection_string
        with BlobServiceClient.from_connection_string(text) as blobs:
            blob = blobs.create_container(unique("blobs")).upload_blob("a/b c", content)
            assert blob.download_blob().readall() == content
            assert not blob.get_blob_properties().deleted  # a HEAD
        with QueueServiceClient.from_connection_string(text) as queues:
            queue = queues.create_queue(unique("queue"))
            queue.send_message("content")
            assert [message.content for message in queue.receive_messages()] == ["content"]
        with TableServiceClient.from_connection_string(text) as tables:
            table = tables.create_table(unique("table"))
            table.submit_transaction(
                [("upsert", row, {"mode": UpdateMode.REPLACE}) for row in rows]
            )
            assert len(list(table.list_entities())) == 20
        assert all(proxy.requests >= 3 for proxy in proxies)
        assert [proxy.injected for proxy in proxies] == [Counter()] * 3


HAPPENED = [
    Fault.CUT_AFTER,
    Fault.CUT_IN_HEAD,
    Fault.CUT_IN_BODY,
    Fault.SILENCE,
    Fault.ERROR_AFTER,
]
DID_NOT = [Fault.CUT_BEFORE, Fault.BUSY, Fault.TOO_MANY, Fault.ERROR]


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("fault", [*HAPPENED, *DID_NOT])
def test_the_client_fails_whether_the_request_was_passed_on_or_not(
    azurite: Azurite, unique: Callable[[str], str], fault: Fault, transport: Transport
) -> None:
    with always(azurite, fault, unique("queue"), transport) as (through, direct, proxy):
        with pytest.raises(Unavailable), storage_errors("sending"):
            through.send_message("content")
        tries = proxy.injected[fault]
        assert proxy.injected == {fault: tries}
        assert len(direct.peek_messages(32)) == (tries if fault in HAPPENED else 0)


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Fault.BUSY, 503, "ServerBusy"),
        (Fault.TOO_MANY, 429, "TooManyRequests"),
        (Fault.ERROR, 500, "InternalError"),
        (Fault.ERROR_AFTER, 500, "OperationTimedOut"),
    ],
)
def test_its_answers_read_like_the_services(
    azurite: Azurite, unique: Callable[[str], str], fault: Fault, status: int, code: str
) -> None:
    with always(azurite, fault, unique("queue")) as (through, _, _):
        with pytest.raises(AzureError) as caught:
            through.send_message("content")
        error = vars(caught.value)
        assert (error["status_code"], error["error_code"]) == (status, code)
        assert error["response"].headers.get("Retry-After") == (
            "1" if fault in (Fault.BUSY, Fault.TOO_MANY) else None
        )


def test_a_late_request_is_answered_all_the_same(
    azurite: Azurite, unique: Callable[[str], str]
) -> None:
    with always(azurite, Fault.DELAY, unique("queue")) as (through, direct, proxy):
        through.send_message("content")
        assert len(direct.peek_messages(32)) == 1
        assert proxy.injected == {Fault.DELAY: 1}


def test_what_arrives_of_a_cut_body_is_its_beginning_and_less_than_was_announced(
    azurite: Azurite, unique: Callable[[str], str]
) -> None:
    """Read without any library: an announced length, and fewer bytes than that."""
    content = b"0123456789" * 1000
    container = unique("blobs")
    with (
        BlobServiceClient.from_connection_string(azurite.connection_string) as blobs,
        FaultProxy(azurite.blob_url, 1, rate=1, faults={Fault.CUT_IN_BODY: 1}) as proxy,
    ):
        blob: BlobClient = blobs.create_container(container, public_access="blob").upload_blob(
            "blob", content
        )
        proxy.arm()
        parts = urlsplit(blob.url.replace(azurite.blob_url, proxy.url))
        assert parts.hostname is not None
        with socket.create_connection((parts.hostname, parts.port or 0), timeout=10) as connection:
            connection.sendall(f"GET {parts.path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            answer = b""
            while received := connection.recv(65536):
                answer += received
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"content-length: 10000" in head.lower()
    assert len(body) < len(content)
    assert content.startswith(body)


def test_a_faults_share_and_order_follow_from_rate_and_seed(
    azurite: Azurite, unique: Callable[[str], str]
) -> None:
    name = unique("queue")
    with QueueServiceClient.from_connection_string(azurite.connection_string) as queues:
        queues.create_queue(name)

    def run(seed: int) -> tuple[list[bool], Counter[Fault]]:
        faults = {Fault.ERROR: 1, Fault.TOO_MANY: 1}
        with FaultProxy(azurite.queue_url, seed, rate=0.5, faults=faults) as proxy:
            text = replace(azurite, queue_url=proxy.url).connection_string
            with QueueServiceClient.from_connection_string(text, **ONE_TRY) as queues:
                queue = queues.get_queue_client(name)
                went_well = []
                proxy.arm()
                for number in range(60):
                    if number == 50:
                        proxy.disarm()
                    try:
                        queue.peek_messages()
                        went_well.append(True)
                    except AzureError:
                        went_well.append(False)
            assert proxy.requests == 60
            return went_well, proxy.injected

    first, injected = run(1)
    assert (first, injected) == run(1)
    assert first != run(2)[0]
    assert first.count(False) == injected.total()
    assert 10 < first[:50].count(False) < 40
    assert all(first[50:])


def test_leaving_closes_its_port_and_connections_whatever_is_under_way(azurite: Azurite) -> None:
    with FaultProxy(azurite.queue_url, 1) as proxy:
        parts = urlsplit(proxy.url)
        address = (parts.hostname or "", parts.port or 0)
        idle = socket.create_connection(address, timeout=10)
        idle.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert idle.recv(65536).startswith(b"HTTP/1.1 400 ")
        idle.sendall(b"GET / HTTP/1.1\r\n")  # and no more
    with idle:
        assert idle.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=10)


def test_a_service_that_is_not_there_ends_the_clients_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "asyncio")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        with FaultProxy(f"http://127.0.0.1:{port}/x", 1) as proxy:
            parts = urlsplit(proxy.url)
            with socket.create_connection((parts.hostname or "", parts.port or 0), 10) as client:
                client.sendall(b"GET / HTTP/1.1\r\n\r\n")
                assert client.recv(1) == b""
    assert caplog.messages == []


def test_every_kind_of_fault_has_a_weight() -> None:
    assert set(EVERY_FAULT) == set(Fault)
    assert {fault for fault, weight in EVERY_FAULT.items() if not weight} == {Fault.SILENCE}
