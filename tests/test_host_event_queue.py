"""Events through Microsoft's queue trigger into the app: exact, whatever else lies in the queue."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from azure.data.tables import TableServiceClient
from azure.storage.queue import QueueClient, QueueServiceClient
from host.event_grid import blob_created
from host.functions_host import needs_functions_host, running_host, wait_until
from host.queues import waiting
from simulation.fault_proxy import Fault, FaultProxy
from stand_in import stand_in
from support import tuple_of
from test_service import HOUR, Account
from worker_process import PYTHONS

from flowlog_core.demo.azurite import ACCOUNT, Azurite
from flowlog_core.testing.generate import FlowLogGenerator, Interface
from flowlog_core.testing.network_watcher import LogWriter, NetworkWatcherWriter

pytestmark = needs_functions_host

SOON = {"AzureFunctionsJobHost__extensions__queues__visibilityTimeout": "00:00:01"}
"""Events that failed come back after a second instead of a minute, which a test cannot wait for."""


@pytest.fixture
def account(azurite: Azurite, unique: Callable[[str], str]) -> Iterator[Account]:
    account = Account(azurite.connection_string, unique, "queue")
    account.environment["FLOWLOG_TRIGGER_SOURCE"] = "EventQueue"
    account.environment["FLOWLOG_EVENT_QUEUE"] = unique("events")
    queues = QueueServiceClient.from_connection_string(account.connection_string)
    queues.create_queue(account.environment["FLOWLOG_EVENT_QUEUE"])
    yield account
    account.close()


class Events:
    """The event queue as Event Grid fills it: JSON in base64, one event a message."""

    def __init__(self, azurite: Azurite, account: Account) -> None:
        self._azurite, self._account = azurite, account
        self.name = account.environment["FLOWLOG_EVENT_QUEUE"]
        queues = QueueServiceClient.from_connection_string(account.connection_string)
        self.queue: QueueClient = queues.get_queue_client(self.name)

    def of(
        self, interface: Interface, account: str = ACCOUNT, blob_url: str = ""
    ) -> dict[str, Any]:
        """The event of the interface's log as it is now, with its ETag."""
        container, name = self._account.container_of(interface), interface.blob_name(HOUR)
        etag = self._account.blobs.get_blob_client(container, name).get_blob_properties().etag
        return blob_created(account, blob_url or self._azurite.blob_url, container, name, etag)

    def put(self, *messages: dict[str, Any] | bytes) -> None:
        for one in messages:
            content = one if isinstance(one, bytes) else json.dumps(one).encode()
            self.queue.send_message(base64.b64encode(content).decode())

    def all_gone(self) -> bool:
        return waiting(self._account.connection_string, self.name) == 0

    @property
    def poison(self) -> int:
        return waiting(self._account.connection_string, f"{self.name}-poison")


@pytest.fixture
def events(azurite: Azurite, account: Account) -> Events:
    return Events(azurite, account)


def append(writer: LogWriter, interface: Interface, tuples: int = 5) -> None:
    generator = FlowLogGenerator(len(writer.entries))
    writer.append(generator.entry("vnet4", interface, HOUR, tuples))


def let_the_claim_run_out(account: Account) -> None:
    """Put back, in the only checkpoint, the time until which its owner holds it."""
    tables = TableServiceClient.from_connection_string(account.connection_string)
    table = tables.get_table_client(account.environment["FLOWLOG_CHECKPOINT_TABLE"])
    (stored,) = list(table.list_entities())
    assert stored["owner"] != ""
    table.update_entity(stored | {"owned_until": datetime(2026, 1, 1, tzinfo=UTC)})


def test_two_hundred_quick_appends_give_every_tuple_once(
    app: Path, account: Account, events: Events
) -> None:
    """Of ten growing blobs, with an event each, every fifth twice, and junk among them."""
    interfaces = [Interface.vnet(number) for number in range(10)]
    writers = [account.writer(NetworkWatcherWriter, interface) for interface in interfaces]
    junk = [b"hello", b"\xff\xfe", b"[]", json.dumps({"eventType": "x"}).encode()]
    with running_host(PYTHONS[-1], app, account.environment) as host:
        for number in range(200):
            interface = interfaces[number % 10]
            append(writers[number % 10], interface)
            event = events.of(interface)
            events.put(event, *[event] * (number % 5 == 0), *junk[number % 50 : number % 50 + 1])
        wait_until(events.all_gone, host)
        assert host.found("FAILED") == []
        assert host.counts().most <= 16
        named = [line for line in host.found("PYTHON WARNING") if "event queue holds" in line]
        assert len(named) == 2  # no event (three kinds of junk, named once), and a type
    received = Counter(tuple_of(record) for record in account.received())
    assert received == Counter(text for writer in writers for text in writer.written)
    assert events.poison == 0


@pytest.mark.parametrize("unreadable", ["403", "refused"])
def test_a_source_that_cannot_be_read_stops_no_other(
    app: Path, account: Account, events: Events, unreadable: str
) -> None:
    """The host goes on; the events of that account come back, and are poison in the end."""
    interface = Interface.vnet()
    writer = account.writer(NetworkWatcherWriter, interface)
    with stand_in(403, "AuthorizationPermissionMismatch") as refusing:
        address = f"{refusing if unreadable == '403' else 'http://127.0.0.1:9'}/{ACCOUNT}x"
        locked = re.sub("BlobEndpoint=[^;]*", f"BlobEndpoint={address}", account.connection_string)
        locked = locked.replace(f"AccountName={ACCOUNT}", f"AccountName={ACCOUNT}x")
        settings = account.environment | {"FLOWLOG_SOURCES": "FlowLogs,Locked", "Locked": locked}
        # As few deliveries as will do: one to a closed port takes the client's own retries.
        fewer = {"AzureFunctionsJobHost__extensions__queues__maxDequeueCount": "2"}
        with running_host(PYTHONS[-1], app, settings | SOON | fewer) as host:
            append(writer, interface)
            of_locked = events.of(interface, f"{ACCOUNT}x", address)
            for _ in range(5):
                events.put(of_locked)
                append(writer, interface)
                events.put(events.of(interface))
            # Those that come while another is tried are handed over to it, and are gone.
            wait_until(lambda: events.all_gone() and events.poison > 0, host, within_s=150)
            assert host.found("Host is shutting down") == []
            failed = host.found(r"FAILED \d+ events: (NotAllowed|Unavailable|StillClaimed)")
            assert len(failed) == len(host.found("FAILED")) >= 2 * events.poison
    assert [tuple_of(record) for record in account.received()] == writer.written


def test_after_the_death_of_the_worker_its_event_comes_back_and_takes_the_blob_over(
    app: Path, azurite: Azurite, account: Account, events: Events
) -> None:
    """With the blob trigger it would be given up within seconds: see test_host_events."""
    interface = Interface.vnet()
    writer = account.writer(NetworkWatcherWriter, interface)
    for _ in range(10):
        append(writer, interface, tuples=20)
    queues = QueueServiceClient.from_connection_string(account.connection_string)
    queues.create_queue(account.environment["FLOWLOG_QUEUE"])
    with FaultProxy(azurite.queue_url, 1, rate=1, faults={Fault.SILENCE: 1}) as proxy:
        proxy.arm()
        sink = account.connection_string.replace(azurite.queue_url, proxy.url)
        settings = account.environment | {"FLOWLOG_SINK_CONNECTION": "sink", "sink": sink}
        with running_host(PYTHONS[-1], app, settings | SOON) as host:
            events.put(events.of(interface))
            wait_until(lambda: proxy.requests >= 4, host)
            host.kill_worker()
            host.wait_for(r"FAILED \d+ events: the worker process died")
            proxy.disarm()
            wait_until(events.all_gone, host)
    received = account.received()
    assert {tuple_of(record) for record in received} == set(writer.written)
    contents = {record["id"]: record for record in received}
    assert [tuple_of(record) for record in contents.values()] == writer.written
    assert all(record == contents[record["id"]] for record in received)  # again, but the same
    assert events.poison == 0


def test_after_the_death_of_the_host_its_events_are_still_there(
    app: Path, azurite: Azurite, account: Account, events: Events
) -> None:
    """Hidden for ten minutes; the blob's next event does not wait for them."""
    interface = Interface.vnet()
    writer = account.writer(NetworkWatcherWriter, interface)
    append(writer, interface)
    with FaultProxy(azurite.queue_url, 1, rate=1, faults={Fault.SILENCE: 1}) as proxy:
        proxy.arm()
        sink = account.connection_string.replace(azurite.queue_url, proxy.url)
        settings = {"FLOWLOG_SINK_CONNECTION": "sink", "sink": sink, "HOST_LOG_HTTP": "1"}
        with running_host(PYTHONS[-1], app, account.environment | settings | SOON) as host:
            events.put(events.of(interface))
            wait_until(lambda: proxy.requests > 0, host)
            host.kill()
            assert not events.all_gone()
            assert host.found(f"/{account.vnet}/") == []  # it asks the log account for nothing
            asked = host.found(rf"GET .*/{events.name}/messages\?")
            assert {re.findall("visibilitytimeout=([0-9]+)", line)[0] for line in asked} == {"600"}
    tables = TableServiceClient.from_connection_string(account.connection_string)
    (stored,) = tables.get_table_client(
        account.environment["FLOWLOG_CHECKPOINT_TABLE"]
    ).list_entities()
    assert stored["offset"].value == 0
    let_the_claim_run_out(account)
    with running_host(PYTHONS[-1], app, account.environment | SOON) as host:
        append(writer, interface)
        events.put(events.of(interface))
        host.wait_for(r"INVOKED \d+ events")
        wait_until(lambda: waiting(account.connection_string, events.name) == 1, host)
    assert {tuple_of(record) for record in account.received()} == set(writer.written)
