"""Events on their way through Microsoft's webhook, queue and blob trigger into the app."""

from __future__ import annotations

import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.storage.queue import QueueServiceClient
from host.event_grid import blob_created, validation
from host.functions_host import Answer, Host, needs_functions_host, running_host, wait_until
from host.queues import visible, waiting
from simulation.fault_proxy import Fault, FaultProxy
from stand_in import stand_in
from support import tuple_of
from test_service import HOUR, Account
from worker_process import PYTHONS

from flowlog_core.demo.azurite import ACCOUNT, Azurite
from flowlog_core.testing.generate import FlowLogGenerator, Interface
from flowlog_core.testing.network_watcher import LogWriter, NetworkWatcherWriter

pytestmark = needs_functions_host


@pytest.fixture
def account(azurite: Azurite, unique: Callable[[str], str]) -> Iterator[Account]:
    account = Account(azurite.connection_string, unique, "queue")
    account.environment["FLOWLOG_TRIGGER_SOURCE"] = "EventGrid"
    yield account
    account.close()


@pytest.fixture(scope="module")
def shared(azurite: Azurite, unique: Callable[[str], str]) -> Iterator[Account]:
    """The account of `host`; each test has an interface of its own in it."""
    account = Account(azurite.connection_string, unique, "queue")
    account.environment["FLOWLOG_TRIGGER_SOURCE"] = "EventGrid"
    yield account
    account.close()


@pytest.fixture(scope="module")
def host(app: Path, shared: Account) -> Iterator[Host]:
    """For tests that neither end it nor need other settings: its start takes longer than these."""
    with running_host(PYTHONS[-1], app, shared.environment) as host:
        yield host


def event(azurite: Azurite, account: Account, interface: Interface) -> dict[str, Any]:
    """The event of one append to the interface's log."""
    container, name = account.container_of(interface), interface.blob_name(HOUR)
    return blob_created(ACCOUNT, azurite.blob_url, container, name)


def append(writer: LogWriter, interface: Interface, entries: int = 1, tuples: int = 20) -> None:
    generator = FlowLogGenerator(len(writer.entries))
    for _ in range(entries):
        writer.append(generator.entry("vnet4", interface, HOUR, tuples))


def test_the_webhook_answers_the_handshake_and_takes_events_with_the_key_alone(host: Host) -> None:
    handshake = [validation("0815")]
    told = host.post("nsg_FlowLogs", handshake, kind="SubscriptionValidation")
    assert told == Answer(200, '{"validationResponse":"0815"}')
    # Also of a function that there is not: a handshake proves no name.
    told = host.post("nsg_Nowhere", handshake, kind="SubscriptionValidation")
    assert told == Answer(200, '{"validationResponse":"0815"}')
    assert host.post("nsg_FlowLogs", handshake, key="wrong").status == 401


def test_two_hundred_quick_appends_give_every_tuple_once_though_a_source_cannot_be_read(
    app: Path, azurite: Azurite, account: Account
) -> None:
    """Of ten growing blobs, by two instances, with wrong events among them, and then forty at once.

    An event of the account that refuses everything stops the host; started again, as Azure does, it
    goes on with the other account.
    """
    interfaces = [Interface.vnet(number) for number in range(10)]
    writers = [account.writer(NetworkWatcherWriter, interface) for interface in interfaces]
    strange = account.blobs.get_container_client(account.vnet)
    strange.upload_blob("PT1H.txt", b"no flow log")
    elsewhere = account.environment["FLOWLOG_DEAD_LETTER_CONTAINER"]
    name = interfaces[0].blob_name(HOUR)
    account.blobs.create_container(elsewhere).upload_blob(name, b"of another container")
    wrong = [
        blob_created(ACCOUNT, azurite.blob_url, account.vnet, "PT1H.txt"),
        blob_created(ACCOUNT, azurite.blob_url, elsewhere, name),
    ]
    with stand_in(403, "AuthorizationPermissionMismatch") as closed:
        locked = account.connection_string.replace(azurite.blob_url, f"{closed}/{ACCOUNT}x")
        locked = locked.replace(f"AccountName={ACCOUNT};", f"AccountName={ACCOUNT}x;")
        settings = account.environment | {"FLOWLOG_SOURCES": "FlowLogs,Locked", "Locked": locked}
        with running_host(PYTHONS[-1], app, settings) as host:
            with running_host(PYTHONS[-1], app, settings, host.host_id) as other:
                hosts = host, other
                for number in range(200):
                    append(writers[number % 10], interfaces[number % 10], tuples=5)
                    events = [event(azurite, account, interfaces[number % 10])]
                    events += wrong if number % 50 == 0 else []
                    assert hosts[number % 2].post("vnet_FlowLogs", events) == Answer(202, "")
                for writer, interface in zip(writers, interfaces, strict=True):
                    append(writer, interface)
                events = [event(azurite, account, interface) for interface in interfaces] * 4
                assert host.post("vnet_FlowLogs", events) == Answer(202, "")
                # None is swallowed.
                wait_until(lambda: sum(one.counts().calls for one in hosts) == 248, *hosts)
                wait_until(lambda: sum(one.counts().running for one in hosts) == 0, *hosts)
                assert max(one.counts().most for one in hosts) <= 16
                assert host.found("FAILED") == other.found("FAILED") == []
                named = [*host.found("are ignored. Set"), *other.found("are ignored. Set")]
                assert 2 <= len(named) <= 4  # once of each kind by each instance that met it
            host.post(
                "vnet_Locked", [blob_created(f"{ACCOUNT}x", f"{closed}/x", account.vnet, name)]
            )
            assert host.wait_for_end() == 0
            stopped = len(host.lines)
            host.start()
            append(writers[0], interfaces[0])
            host.post("vnet_FlowLogs", [event(azurite, account, interfaces[0])])
            host.wait_for(r"INVOKED \d+ vnet_FlowLogs", since=stopped)
    received = Counter(tuple_of(record) for record in account.received())
    assert received == Counter(text for writer in writers for text in writer.written)


def test_an_event_leaves_one_line_of_the_apps_and_one_of_the_workers(
    host: Host, azurite: Azurite, shared: Account
) -> None:
    interface = Interface.vnet(1)
    writer = shared.writer(NetworkWatcherWriter, interface)
    told = []
    for _ in range(2):  # the first one also says what does not fit: an emulator sends no events
        append(writer, interface)
        before = len(host.lines)
        host.post("vnet_FlowLogs", [event(azurite, shared, interface)])
        host.wait_for(r"INVOKED \d+ vnet_FlowLogs", since=before)
        lines = host.found("PYTHON", before)
        told.append([re.findall(r"PYTHON (\w+) (\S+)", line)[0] for line in lines])
    assert told[1] == [("INFO", "azure.functions"), ("INFO", "flowlog_core.observe.log")]


def test_events_of_no_blob_and_of_no_function_are_dropped_in_debug_lines(
    host: Host, azurite: Azurite, shared: Account
) -> None:
    """The webhook takes them all the same; at the level Information nobody sees what happens."""
    interface, before = Interface.vnet(2), host.counts().calls
    for function in ("vnet_FlowLogs", "vnet_Nowhere"):
        assert host.post(function, [event(azurite, shared, interface)]) == Answer(202, "")
    dropped = host.wait_for(r"Blob '.*' will not be processed", times=2)
    assert [line.split(":")[0] for line in dropped] == ["dbug"] * 2
    told = sorted(line.partition(" because ")[2].partition(". ")[0] for line in dropped)
    # (In the extension's own spelling, "becuase" stands before the other reason.)
    assert told == ["", "function 'Host.Functions.vnet_Nowhere' cannot be found"]
    assert sum("the blob cannot be found" in line for line in dropped) == 1
    assert host.counts().calls == before
    assert waiting(shared.connection_string, host.event_queue) == 0


def test_after_the_death_of_the_worker_the_retry_takes_over_and_forwards_everything(
    app: Path, azurite: Azurite, account: Account
) -> None:
    """Of six blobs, within 15 s, without a new event and without a sweep."""
    interfaces = [Interface.vnet(number) for number in range(6)]
    writers = [account.writer(NetworkWatcherWriter, interface) for interface in interfaces]
    for writer, interface in zip(writers, interfaces, strict=True):
        append(writer, interface, entries=10)
    queues = QueueServiceClient.from_connection_string(account.connection_string)
    queues.create_queue(account.environment["FLOWLOG_QUEUE"])
    # What is sent arrives, and the worker is never told so.
    with FaultProxy(azurite.queue_url, 1, rate=1, faults={Fault.SILENCE: 1}) as proxy:
        proxy.arm()
        sink = account.connection_string.replace(azurite.queue_url, proxy.url)
        settings = account.environment | {"FLOWLOG_SINK_CONNECTION": "sink", "sink": sink}
        with running_host(PYTHONS[-1], app, settings) as host:
            events = [event(azurite, account, interface) for interface in interfaces]
            host.post("vnet_FlowLogs", events)
            wait_until(lambda: proxy.requests >= 6, host)
            proxy.disarm()
            host.kill_worker()
            killed_at = time.monotonic()
            host.wait_for(r"worker process \d+ ended with 137")
            host.wait_for(r"INVOKED \d+ vnet_FlowLogs", times=6, within_s=15)
            took_s = time.monotonic() - killed_at
            received = account.received()
            taken_over = host.found("is taken over from flowlog-owner-")
            assert host.found("handed_over") == []
    texts = {tuple_of(record) for record in received}
    assert texts == {text for writer in writers for text in writer.written}
    assert took_s < 15
    assert len(taken_over) == 6
    by_id = {record["id"]: record for record in received}
    assert all(by_id[record["id"]] == record for record in received)  # a repeat is the same


def test_a_blob_that_kills_the_worker_kills_it_twice_and_then_waits_for_the_sweep(
    app: Path, azurite: Azurite, account: Account, tmp_path: Path
) -> None:
    """The five good ones among which it comes arrive."""
    interfaces = [Interface.vnet(number) for number in range(6)]
    writers = [account.writer(NetworkWatcherWriter, interface) for interface in interfaces]
    for writer, interface in zip(writers, interfaces, strict=True):
        append(writer, interface)
    deadly = interfaces[3]
    copy = tmp_path / "deadly-app"
    shutil.copytree(app, copy)
    main = copy / "function_app.py"
    main.write_text(f"{main.read_text()}{_DEADLY.format(mac=deadly.mac)}")
    with running_host(PYTHONS[-1], copy, account.environment) as host:
        events = [event(azurite, account, interface) for interface in interfaces]
        host.post("vnet_FlowLogs", events)
        host.wait_for(r"worker process \d+ ended with 137", times=2)
        host.wait_for("handed_over")  # by the third try, which leaves it to the sweep
        good = {text for at, writer in enumerate(writers) if at != 3 for text in writer.written}
        wait_until(lambda: {tuple_of(one) for one in account.received()} == good, host)
        time.sleep(3)
        for _ in range(2):  # nor does an event that follows
            host.post("vnet_FlowLogs", [events[3]])
        time.sleep(3)
        assert len(host.found(r"worker process \d+ ended with 137")) == 2


_DEADLY = """

from flowlog_core.sinks.queue import QueueSink
_pack = QueueSink.pack

def _die(sink, entry):
    if "{mac}" in entry.position.blob.name:
        import signal
        os.kill(os.getpid(), signal.SIGKILL)
    return _pack(sink, entry)

QueueSink.pack = _die
"""


def test_after_the_death_of_the_host_its_events_are_hidden_for_ten_minutes(
    app: Path, azurite: Azurite, account: Account
) -> None:
    interface = Interface.vnet()
    append(account.writer(NetworkWatcherWriter, interface), interface)
    with FaultProxy(azurite.queue_url, 1, rate=1, faults={Fault.SILENCE: 1}) as proxy:
        proxy.arm()
        sink = account.connection_string.replace(azurite.queue_url, proxy.url)
        settings = {"FLOWLOG_SINK_CONNECTION": "sink", "sink": sink, "HOST_LOG_HTTP": "1"}
        with running_host(PYTHONS[-1], app, account.environment | settings) as host:
            host.post("vnet_FlowLogs", [event(azurite, account, interface)])
            wait_until(lambda: proxy.requests > 0, host)
            host.kill()
            assert waiting(account.connection_string, host.event_queue) == 1
            assert visible(account.connection_string, host.event_queue) == 0
            # Before the call it asks for the blob's properties three times: docs/host.md.
            assert len(host.found(rf"HEAD .*/{account.vnet}/")) == 3
            asked = host.found(rf"GET .*/{host.event_queue}/messages\?")
            assert {re.findall("visibilitytimeout=([0-9]+)", line)[0] for line in asked} == {"600"}


def test_polling_leaves_one_receipt_for_each_append(app: Path, account: Account) -> None:
    """For ever, in the host's account; and what it finds is forwarded exactly."""
    interface = Interface.vnet()
    writer = account.writer(NetworkWatcherWriter, interface)
    polling = {"FLOWLOG_TRIGGER_SOURCE": "LogsAndContainerScan"}
    append(writer, interface)
    with running_host(PYTHONS[-1], app, account.environment | polling) as host:
        host.wait_for(r"INVOKED 1 vnet_FlowLogs")
        time.sleep(1.1)  # a scan sees changes by the second
        append(writer, interface)
        host.wait_for(r"INVOKED 2 vnet_FlowLogs")
        receipts = account.blobs.get_container_client("azure-webjobs-hosts").list_blob_names(
            name_starts_with=f"blobreceipts/{host.host_id}/"
        )
        assert len(list(receipts)) == 2
    assert [tuple_of(record) for record in account.received()] == writer.written
