"""End to end on Azurite: real blobs grow, and real queues, tables and containers receive."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient
from host.event_grid import blob_created
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from support import in_order_of_position, names_of_its_own, position_of, tuple_of

from flowlog_core.blob import BlobRef, LogBlob
from flowlog_core.config.settings import Settings
from flowlog_core.consume import decode
from flowlog_core.demo.azurite import ACCOUNT
from flowlog_core.errors import NotAllowed, Unavailable
from flowlog_core.ingest import Outcome
from flowlog_core.observe.otel import MetricsObserver
from flowlog_core.parsing.record import FIELDS
from flowlog_core.service import Service
from flowlog_core.sinks.shards import shard_of
from flowlog_core.testing.generate import FlowLogGenerator, Format, Interface, tuples_in
from flowlog_core.testing.network_watcher import (
    AppendBlobWriter,
    LogWriter,
    NetworkWatcherWriter,
    ReblockedWriter,
    WholeBlobWriter,
)

HOUR = datetime(2026, 1, 1, 7, tzinfo=UTC)
SHARED = Path(__file__).parents[2] / "shared"
TUTORIAL = SHARED / "seed-nsg-flow-log-tutorial.md"


class Account:
    """A service with containers, tables and a queue of its own in a shared Azurite."""

    def __init__(
        self,
        connection_string: str,
        unique: Callable[[str], str],
        sink: str,
        shards: int = 1,
        **changed: str,
    ) -> None:
        self.connection_string = connection_string
        self.environment = names_of_its_own(connection_string, unique) | {
            "FLOWLOG_SINK": sink,
            "FLOWLOG_SHARDS": str(shards),
            "FLOWLOG_SENDS_IN_FLIGHT": "4",
            **changed,
        }
        self.nsg = self.environment["FLOWLOG_NSG_CONTAINER"]
        self.vnet = self.environment["FLOWLOG_VNET_CONTAINER"]
        self.blobs = BlobServiceClient.from_connection_string(connection_string)
        for container in (self.nsg, self.vnet):
            self.blobs.create_container(container)
        self.services = [self.service(), self.service()]

    def service(self) -> Service:
        """Another worker: its own clients, the same settings."""
        return Service(Settings.from_environment(self.environment))

    def container_of(self, interface: Interface) -> str:
        return self.nsg if interface.kind == "nsg" else self.vnet

    def writer(self, kind: type[LogWriter], interface: Interface, seed: int = 0) -> LogWriter:
        name = interface.blob_name(HOUR)
        return kind(self.blobs.get_blob_client(self.container_of(interface), name), seed=seed)

    def ingest(self, interface: Interface, worker: int = 0) -> Outcome:
        container, name = self.container_of(interface), interface.blob_name(HOUR)
        outcome = self.services[worker].ingest_named("FlowLogs", container, name)
        assert outcome is not None
        return outcome

    def received(self) -> list[dict[str, Any]]:
        """All records at the sink, which are taken from it, by their position."""
        if self.environment["FLOWLOG_SINK"] == "table":
            tables = TableServiceClient.from_connection_string(self.connection_string)
            rows = tables.get_table_client(self.environment["FLOWLOG_TABLE"]).list_entities()
            return in_order_of_position(
                {name: getattr(row.get(name), "value", row.get(name)) for name in FIELDS}
                for row in rows
            )
        by_queue = (self.received_from(name) for name in self.services[0].settings.queues)
        return in_order_of_position(record for records in by_queue for record in records)

    def received_from(self, name: str) -> list[dict[str, Any]]:
        """All records in one queue, which are taken from it; none where it is not there."""
        queues = QueueServiceClient.from_connection_string(self.connection_string)
        queue = queues.get_queue_client(name)
        records = []
        with suppress(ResourceNotFoundError):
            while messages := list(queue.receive_messages(max_messages=32)):
                for message in messages:
                    records += decode(message.content).records
                    queue.delete_message(message)
        return records

    def queues_there(self) -> list[Any]:
        """Its queues that exist."""
        queues = QueueServiceClient.from_connection_string(self.connection_string)
        return list(queues.list_queues(name_starts_with=self.environment["FLOWLOG_QUEUE"]))

    def close(self) -> None:
        for service in self.services:
            service.close()


@pytest.fixture
def make_account(
    connection_string: str, unique: Callable[[str], str]
) -> Iterator[Callable[..., Account]]:
    made: list[Account] = []

    def make(sink: str = "queue", shards: int = 1, **changed: str) -> Account:
        made.append(Account(connection_string, unique, sink, shards, **changed))
        return made[-1]

    yield make
    for account in made:
        account.close()


@pytest.fixture
def account(make_account: Callable[..., Account]) -> Account:
    return make_account()


WRITERS = [NetworkWatcherWriter, ReblockedWriter, WholeBlobWriter, AppendBlobWriter]


@pytest.mark.parametrize("sink", ["queue", "table"])
@pytest.mark.parametrize("kind", WRITERS)
def test_a_growing_blob_arrives_whole_however_it_is_written(
    make_account: Callable[..., Account], kind: type[LogWriter], sink: str
) -> None:
    account, interface = make_account(sink), Interface.nsg()
    writer, generator = account.writer(kind, interface), FlowLogGenerator(1)
    writer.append()  # 14 bytes: head and tail, or a head alone
    account.ingest(interface)
    for minute in range(5):
        formats: list[Format] = ["nsg1", "nsg2"] if minute == 2 else ["nsg2"]
        writer.append(*(generator.entry(form, interface, HOUR, 7) for form in formats))
        assert account.ingest(interface).how == "forwarded"
    received = account.received()
    # Azurite gives a blob that is written whole another creation time each second: to Flowlog it
    # was deleted and made anew, and comes again under the next generation.
    latest = max(position_of(record)[1] for record in received)
    assert latest == 0 or kind is WholeBlobWriter
    whole = [tuple_of(record) for record in received if position_of(record)[1] == latest]
    assert whole == writer.written


@hypothesis_settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32), st.integers(1, 6))
def test_growth_in_blocks_cut_anywhere_arrives_whole(
    make_account: Callable[..., Account], seed: int, appends: int
) -> None:
    account, interface = make_account(), Interface.vnet()
    writer, generator = account.writer(ReblockedWriter, interface, seed), FlowLogGenerator(seed)
    for _ in range(appends):
        writer.append(generator.entry("vnet4", interface, HOUR, 5))
        account.ingest(interface)
    assert [tuple_of(record) for record in account.received()] == writer.written


def test_two_workers_on_one_growing_blob_lose_and_double_nothing(account: Account) -> None:
    interface = Interface.nsg()
    writer, generator = account.writer(NetworkWatcherWriter, interface), FlowLogGenerator(2)
    writer.append()
    outcomes: list[Outcome] = []
    written = threading.Event()

    def work(worker: int) -> None:
        while not written.is_set():
            outcomes.append(account.ingest(interface, worker))

    workers = [threading.Thread(target=work, args=(worker,)) for worker in (0, 1, 0, 1)]
    for thread in workers:
        thread.start()
    for _ in range(15):
        writer.append(generator.entry("nsg2", interface, HOUR, 20))
    written.set()
    for thread in workers:
        thread.join()
    account.ingest(interface)
    records = account.received()
    assert len({record["id"] for record in records}) == len(records)
    assert [tuple_of(record) for record in records] == writer.written
    assert {outcome.how for outcome in outcomes} <= {"forwarded", "handed_over"}


def test_sixteen_events_at_once_give_every_tuple_once(account: Account) -> None:
    interface = Interface.vnet()
    writer = account.writer(NetworkWatcherWriter, interface)
    writer.append(*(FlowLogGenerator(3).entry("vnet4", interface, HOUR, 50) for _ in range(4)))
    threads = [
        threading.Thread(target=account.ingest, args=(interface, number % 2))
        for number in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [tuple_of(record) for record in account.received()] == writer.written


def shards_of(account: Account, interface: Interface) -> set[int]:
    """The shard of an interface at three hours."""
    container = account.container_of(interface)
    found = set()
    for hours in range(3):
        log = LogBlob.parse(interface.blob_name(HOUR + timedelta(hours=hours)))
        assert log is not None
        found.add(shard_of(BlobRef("devstoreaccount1", container, log), 3))
    return found


def two_a_shard(account: Account, interfaces: Iterable[Interface]) -> list[Interface]:
    """Which go where follows from the container's name, and that is another in each run."""
    by_shard: dict[int, list[Interface]] = {shard: [] for shard in range(3)}
    for interface in interfaces:
        (shard,) = shards_of(account, interface)
        by_shard[shard].append(interface)
    return [interface for found in by_shard.values() for interface in found[:2]]


def logged_by_twelve(account: Account) -> dict[str, tuple[int, list[str]]]:
    """Twelve interfaces write twice each, and are ingested: shard and tuples, by MAC."""
    made = [
        *two_a_shard(account, map(Interface.nsg, range(99))),
        *two_a_shard(account, map(Interface.vnet, range(99, 199))),
    ]
    assert len(made) == 12
    logged = {}
    for number, interface in enumerate(made):
        writer, generator = account.writer(NetworkWatcherWriter, interface), FlowLogGenerator(6)
        for _ in range(2):
            form: Format = "nsg2" if interface.kind == "nsg" else "vnet4"
            writer.append(generator.entry(form, interface, HOUR, 5))
            account.ingest(interface, worker=number % 2)
        (shard,) = shards_of(account, interface)
        logged[interface.mac] = shard, writer.written
    return logged


def test_each_interface_has_one_queue_and_nothing_is_in_the_one_without_a_number(
    make_account: Callable[..., Account],
) -> None:
    account = make_account("queue", shards=3)
    logged, name = logged_by_twelve(account), account.environment["FLOWLOG_QUEUE"]
    found: dict[str, tuple[int, list[str]]] = {}
    for shard in range(3):
        for record in in_order_of_position(account.received_from(f"{name}-{shard:02}")):
            found.setdefault(record["mac"], (shard, []))[1].append(tuple_of(record))
            assert found[record["mac"]][0] == shard
    assert found == logged
    assert [queue.name for queue in account.queues_there()] == [
        f"{name}-{shard:02}" for shard in range(3)
    ]


def test_rows_of_an_hour_stand_in_a_partition_a_shard_and_one_range_has_them_all(
    make_account: Callable[..., Account],
) -> None:
    account = make_account("table", shards=3)
    logged = logged_by_twelve(account)
    tables = TableServiceClient.from_connection_string(account.connection_string)
    table = tables.get_table_client(account.environment["FLOWLOG_TABLE"])
    found: dict[str, tuple[int, list[str]]] = {}
    hours = set()
    for row in table.list_entities():
        hour, _, shard = row["PartitionKey"].rpartition("|")
        hours.add(hour)
        record = {name: getattr(row.get(name), "value", row.get(name)) for name in FIELDS}
        found.setdefault(row["mac"], (int(shard), []))[1].append(tuple_of(record))
        assert found[row["mac"]][0] == int(shard)
    assert found == logged
    in_ranges = [
        row["RowKey"]
        for hour in hours
        for row in table.query_entities(f"PartitionKey ge '{hour}' and PartitionKey lt '{hour}}}'")
    ]
    assert all(hour.endswith("|2026-01-01T07Z") for hour in hours)
    assert sorted(in_ranges) == sorted(row["RowKey"] for row in table.list_entities())


@pytest.mark.parametrize("sink", ["queue", "table"])
def test_a_change_of_shards_between_two_appends_loses_and_doubles_nothing(
    make_account: Callable[..., Account], sink: str
) -> None:
    account, interface = make_account(sink, shards=3), Interface.nsg()
    writer, generator = account.writer(NetworkWatcherWriter, interface), FlowLogGenerator(7)
    received = []
    for shards in ("3", "1", "2"):
        writer.append(generator.entry("nsg2", interface, HOUR, 5))
        account.environment["FLOWLOG_SHARDS"] = shards
        account.services.append(account.service())
        account.ingest(interface, worker=-1)
        if sink == "queue":
            queues = account.services[-1].settings.queues
            received += [record for name in queues for record in account.received_from(name)]
    received = in_order_of_position(received) if sink == "queue" else account.received()
    assert [tuple_of(record) for record in received] == writer.written


def test_what_cannot_be_read_is_in_the_container_of_dead_letters(account: Account) -> None:
    interface = Interface.nsg()
    client = account.blobs.get_blob_client(account.nsg, interface.blob_name(HOUR))
    entry = FlowLogGenerator(4).entry("nsg2", interface, HOUR, 3)
    raw = entry.raw.replace(entry.tuples[1].encode(), b"not,a,tuple")
    client.upload_blob(b'{"records":[%b,{"broken":tru},%b]}' % (raw, entry.raw))
    outcome = account.ingest(interface)
    assert (outcome.records, outcome.dead_letters) == (5, 2)
    assert [tuple_of(record) for record in account.received()] == [
        entry.tuples[0],
        entry.tuples[2],
        *entry.tuples,
    ]
    dead = account.blobs.get_container_client(account.environment["FLOWLOG_DEAD_LETTER_CONTAINER"])
    items = [json.loads(dead.download_blob(b.name).readall()) for b in dead.list_blobs()]
    assert sorted(item["raw"] for item in items) == ["not,a,tuple", '{"broken":tru}']


class CountingIgnored(MetricsObserver):
    """Counts ignored events by their reason."""

    def __init__(self) -> None:
        super().__init__()
        self.reasons: Counter[str] = Counter()

    def event_ignored(self, reason: str) -> None:
        self.reasons[reason] += 1


def test_what_a_trigger_names_must_be_a_flow_log_in_a_container_of_flow_logs(
    account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    """A subscription without the right filter sends the events of every blob to a function."""
    caplog.set_level(logging.INFO, "flowlog_core")
    interface = Interface.nsg()
    name, backups = interface.blob_name(HOUR), f"{account.nsg}-backups"
    for container in (account.nsg, backups):
        client = account.blobs.get_container_client(container)
        with suppress(ResourceExistsError):
            client.create_container()
        client.upload_blob(f"copies/{name}" if container == account.nsg else name, b"[]")
    metrics = CountingIgnored()
    with closing(Service(Settings.from_environment(account.environment), metrics=metrics)) as app:
        assert app.ingest_named("FlowLogs", account.nsg, f"copies/{name}") is None
        assert app.ingest_named("FlowLogs", account.nsg, "readme.txt") is None
        assert app.ingest_named("FlowLogs", backups, name) is None
        assert app.ingest_named("FlowLogs", backups, name) is None
    assert metrics.reasons == {"not_a_flow_log": 2, "other_container": 2}
    assert account.received() == []
    assert caplog.messages == [
        "Events arrive for blobs that are not named like a flow log, such as "
        + f"{ACCOUNT}/{account.nsg}/copies/{name}"[:200]
        + ". They are ignored. Set a filter "
        "(subject ends with PT1H.json) in the event subscription.",
        f"Events arrive for the container {ACCOUNT}/{backups}, which neither FLOWLOG_NSG_CONTAINER "
        "nor FLOWLOG_VNET_CONTAINER names. They are ignored. Set a filter (subject begins with "
        "/blobServices/default/containers/CONTAINER/) in the event subscription, or correct the "
        "setting.",
    ]


def test_events_of_another_container_are_ignored_and_named_once(
    account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    """The host does not hold an event against the path of its function: docs/host.md."""
    interface = Interface.nsg(7)
    account.blobs.create_container("elsewhere")
    blob = account.blobs.get_blob_client("elsewhere", interface.blob_name(HOUR))
    blob.upload_blob(b'{"records":[]}')
    caplog.set_level(logging.INFO, "flowlog_core")
    for _ in range(2):
        name = interface.blob_name(HOUR)
        assert account.services[0].ingest_named("FlowLogs", "elsewhere", name) is None
    assert caplog.messages == [
        f"Events arrive for the container {ACCOUNT}/elsewhere, which neither FLOWLOG_NSG_CONTAINER "
        "nor FLOWLOG_VNET_CONTAINER names. They are ignored. Set a filter (subject begins with "
        "/blobServices/default/containers/CONTAINER/) in the event subscription, or correct the "
        "setting."
    ]
    assert account.received() == []


def event_of(account: Account, interface: Interface, **changed: str) -> bytes:
    """The message of an event as Event Grid writes it into a queue, without the base64."""
    names = {"container": account.container_of(interface), "name": interface.blob_name(HOUR)}
    where = {"account": ACCOUNT, "blob_url": account.blobs.url.rstrip("/")}
    return json.dumps(blob_created(**(where | names | changed))).encode()


def test_an_event_message_of_any_connection_forwards_its_blob(account: Account) -> None:
    interface = Interface.vnet()
    writer = account.writer(NetworkWatcherWriter, interface)
    writer.append(FlowLogGenerator(5).entry("vnet4", interface, HOUR, 3))
    outcome = account.services[0].ingest_event(event_of(account, interface), 1)
    assert outcome is not None
    assert outcome.how == "forwarded"
    assert [tuple_of(record) for record in account.received()] == writer.written


def test_other_messages_are_named_once_and_stop_nothing(
    account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    interface = Interface.vnet()
    service = account.services[0]
    messages = [
        b"hello",
        b"hello again",
        event_of(account, interface, blob_url="https://theirs.blob.core.windows.net"),
        event_of(account, interface, blob_url="https://others.blob.core.windows.net"),
        event_of(account, interface, container="pictures"),
        event_of(account, interface, name="readme.txt"),
        event_of(account, interface, name="readme.md"),
    ]
    for message in messages * 2:
        assert service.ingest_event(message, 1) is None
    named = "\n".join(caplog.messages)
    assert len(caplog.messages) == 5
    for what in (
        "theirs.blob",
        "others.blob",
        "devstoreaccount1/pictures",
        "readme.txt",
        "not an event",
    ):
        assert named.count(what) == 1


def test_without_events_the_sweep_forwards_what_was_committed_just_now(account: Account) -> None:
    """Elsewhere it leaves young commits to their events."""
    interface = Interface.vnet()
    account.environment["FLOWLOG_CATCH_UP_SINCE"] = "2026-01-01"  # the log's hour is long ago
    writer, generator = account.writer(NetworkWatcherWriter, interface), FlowLogGenerator(9)
    writer.append(generator.entry("vnet4", interface, HOUR, 3))
    for source, forwarded in (("EventQueue", 0), ("Timer", 1)):
        account.environment["FLOWLOG_TRIGGER_SOURCE"] = source
        account.services.append(account.service())
        report = account.services[-1].sweep()
        assert (report.looked_at, report.forwarded) == (1, forwarded)
    assert [tuple_of(record) for record in account.received()] == writer.written


def test_an_unreachable_storage_moves_nothing(account: Account) -> None:
    interface = Interface.nsg()
    writer = account.writer(NetworkWatcherWriter, interface)
    writer.append(FlowLogGenerator(5).entry("nsg2", interface, HOUR, 3))
    nowhere = re.sub(
        r"QueueEndpoint=[^;]*", "QueueEndpoint=http://127.0.0.1:9/x", account.connection_string
    )
    broken = Service(
        Settings.from_environment(
            {**account.environment, "FLOWLOG_SINK_CONNECTION": "sink", "sink": nowhere}
        )
    )
    with pytest.raises(Unavailable, match=r"sending message .* to queue"):
        broken.ingest_named("FlowLogs", account.nsg, interface.blob_name(HOUR))
    broken.close()
    account.ingest(interface)
    assert [tuple_of(record) for record in account.received()] == writer.written


def test_no_secret_is_in_the_error_of_a_wrong_key(account: Account) -> None:
    interface = Interface.nsg()
    account.writer(NetworkWatcherWriter, interface).append()
    key = "d3Jvbmd3cm9uZ3dyb25n"
    wrong = re.sub(r"AccountKey=[^;]*", f"AccountKey={key}", account.connection_string)
    service = Service(
        Settings.from_environment({**account.environment, "AzureWebJobsStorage": wrong})
    )
    with pytest.raises(NotAllowed) as caught:
        service.ingest_named("FlowLogs", account.nsg, interface.blob_name(HOUR))
    service.close()
    assert key not in f"{caught.value!r} {caught.value} {caught.value.__cause__!r}"


@pytest.mark.parametrize(
    ("capture", "tuples"),
    [
        ("nsg-v2.json", 153),
        ("vnet-v4-virtualnetwork.json", 166),
        ("vnet-v4-subnet.json", 68),
        ("vnet-v4-networkinterface.json", 61),
    ],
)
def test_every_capture_arrives_whole(account: Account, capture: str, tuples: int) -> None:
    file = SHARED / "samples" / capture
    if not file.exists():
        pytest.skip("the captures are not in ../shared/samples")
    interface = Interface.nsg() if capture.startswith("nsg") else Interface.vnet()
    data = file.read_bytes()
    name = interface.blob_name(HOUR)
    account.blobs.get_blob_client(account.container_of(interface), name).upload_blob(data)
    account.ingest(interface)
    received = [tuple_of(record) for record in account.received()]
    assert received == tuples_in(data)
    assert len(received) == tuples


def test_both_examples_of_the_tutorial_arrive_whole(account: Account) -> None:
    if not TUTORIAL.exists():
        pytest.skip("the tutorial is not in ../shared")
    examples = re.findall(r"```json\n(.*?)```", TUTORIAL.read_text(), re.DOTALL)
    assert len(examples) == 2
    data = ('{"records":[' + ",".join(examples) + "]}").encode()
    interface = Interface.nsg()
    account.blobs.get_blob_client(account.nsg, interface.blob_name(HOUR)).upload_blob(data)
    account.ingest(interface)
    records = account.received()
    assert [tuple_of(record) for record in records] == tuples_in(data)
    assert [record["version"] for record in records] == [1] + [2] * 7


def test_an_event_hub_gets_every_record(make_account: Callable[..., Account]) -> None:
    pytest.importorskip("proton", reason="python-qpid-proton is missing: it needs a C compiler")
    from amqp_broker import Broker  # noqa: PLC0415 - needs proton

    with Broker() as broker:
        account = make_account(
            "eventhub",
            FLOWLOG_SINK_CONNECTION="Hub",
            FLOWLOG_EVENT_HUB=broker.hub,
            Hub=broker.connection_string,
        )
        interface = Interface.vnet()
        generator = FlowLogGenerator(3)
        writer = account.writer(NetworkWatcherWriter, interface)
        expected = []
        for worker in (0, 1):
            entries = [generator.entry("vnet4", interface, HOUR, 40) for _ in range(2)]
            for entry in entries:
                writer.append(entry)
            expected += [each for entry in entries for each in entry.tuples]
            outcome = account.ingest(interface, worker)
            assert (outcome.records, outcome.messages) == (80, 2)
        batches = [decode(event.body) for event in broker.events]
        assert [batch.id for batch in batches] == [event.id for event in broker.events]
        received = in_order_of_position(r for batch in batches for r in batch.records)
        assert [tuple_of(record) for record in received] == expected
        account.close()


def test_what_only_an_event_hub_needs_is_imported_where_it_is_the_sink(
    make_account: Callable[..., Account],
) -> None:
    account = make_account("table")
    script = (
        "import os, sys; from flowlog_core.service import Service; "
        "from flowlog_core.config.settings import Settings; "
        "Service(Settings.from_environment(os.environ)); "
        "print('azure.eventhub' in sys.modules)"
    )
    hub = {
        "FLOWLOG_SINK": "eventhub",
        "FLOWLOG_SINK_CONNECTION": "Hub",
        "Hub": "Endpoint=sb://127.0.0.1:9;SharedAccessKeyName=a;SharedAccessKey=Yg==",
    }
    said = [
        subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | account.environment | changed,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
        for changed in ({}, hub)
    ]
    assert said == ["False\n", "True\n"]
