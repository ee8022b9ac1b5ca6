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


@pytest.fixture
def host(app: Path, account: Account) -> Iterator[Host]:
    with running_host(PYTHONS[-1], app, account.environment) as host:
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


def test_a_growing_blob_is_forwarded_exactly_by_two_instances_of_the_app(
    host: Host, app: Path, azurite: Azurite, account: Account
) -> None:
    """An event for each append: each tuple once, whichever of the two takes the event."""
    interface = Interface.vnet()
    writer = account.writer(NetworkWatcherWriter, interface)
    with running_host(PYTHONS[-1], app, account.environment, host.host_id) as other:
        for number in range(20):
            append(writer, interface)
            told = (host, other)[number % 2].post(
                "vnet_FlowLogs", [event(azurite, account, interface)]
            )
            assert told == Answer(202, "")
        hosts = (host, other)
        wait_until(lambda: sum(len(one.found("INVOKED")) for one in hosts) == 20, *hosts)
    assert host.found("FAILED") == other.found("FAILED") == []
    assert len(host.found("INVOKED")) + len(other.found("INVOKED")) == 20  # none is swallowed
    assert [tuple_of(record) for record in account.received()] == writer.written


def test_forty_events_at_once_give_every_tuple_once(
    host: Host, azurite: Azurite, account: Account
) -> None:
    """Of ten blobs, each told of four times; the app sees 16 at a time at most."""
    interfaces = [Interface.vnet(number) for number in range(10)]
    writers = [account.writer(NetworkWatcherWriter, interface) for interface in interfaces]
    for writer, interface in zip(writers, interfaces, strict=True):
        append(writer, interface, entries=3)
    events = [event(azurite, account, interface) for interface in interfaces] * 4
    assert host.post("vnet_FlowLogs", events) == Answer(202, "")
    host.wait_for(r"INVOKED \d+ vnet_FlowLogs", times=40)
    counts = host.counts()
    assert counts.calls == 40
    assert counts.most <= 16
    received = Counter(tuple_of(record) for record in account.received())
    assert received == Counter(text for writer in writers for text in writer.written)


def test_an_event_leaves_one_line_of_the_apps_and_one_of_the_workers(
    host: Host, azurite: Azurite, account: Account
) -> None:
    interface = Interface.vnet()
    writer = account.writer(NetworkWatcherWriter, interface)
    told = []
    for _ in range(2):  # the first one also says what does not fit: an emulator sends no events
        append(writer, interface)
        before = len(host.lines)
        host.post("vnet_FlowLogs", [event(azurite, account, interface)])
        host.wait_for(r"INVOKED \d+ vnet_FlowLogs", since=before)
        lines = host.found("PYTHON", before)
        told.append([re.findall(r"PYTHON (\w+) (\S+)", line)[0] for line in lines])
    assert told[1] == [("INFO", "azure.functions"), ("INFO", "flowlog_core.observe.log")]


def test_events_of_no_blob_and_of_no_function_are_dropped_in_debug_lines(
    host: Host, azurite: Azurite, account: Account
) -> None:
    """The webhook takes them all the same; at the level Information nobody sees what happens."""
    interface = Interface.vnet()
    for function in ("vnet_FlowLogs", "vnet_Nowhere"):
        assert host.post(function, [event(azurite, account, interface)]) == Answer(202, "")
    dropped = host.wait_for(r"Blob '.*' will not be processed", times=2)
    assert [line.split(":")[0] for line in dropped] == ["dbug"] * 2
    told = sorted(line.partition(" because ")[2].partition(". ")[0] for line in dropped)
    # (In the extension's own spelling, "becuase" stands before the other reason.)
    assert told == ["", "function 'Host.Functions.vnet_Nowhere' cannot be found"]
    assert sum("the blob cannot be found" in line for line in dropped) == 1
    assert host.counts().calls == 0
    assert waiting(account.connection_string, host.event_queue) == 0


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
