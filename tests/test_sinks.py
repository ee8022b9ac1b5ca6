"""Both sinks on Azurite: what is sent can be read, exactly; what is absent is created."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from azure.data.tables import TableServiceClient
from azure.storage.queue import QueueClient, QueueServiceClient
from simulation.fault_proxy import Fault, FaultProxy
from support import tuple_of

from flowlog_core.blob import BlobRef, Position
from flowlog_core.consume import decode
from flowlog_core.demo.azurite import Azurite
from flowlog_core.errors import ItemRefused, NotFound, Unavailable
from flowlog_core.parallel import Parallel
from flowlog_core.parsing.entry import normalize
from flowlog_core.parsing.record import FIELDS
from flowlog_core.sinks import EntryRecords, Sink, TooLarge
from flowlog_core.sinks.message import Encoding, Message
from flowlog_core.sinks.queue import QueueSink
from flowlog_core.sinks.table import MAX_BATCH_ROWS, Batch, TableSink
from flowlog_core.testing.generate import FlowLogGenerator, Format, GeneratedEntry, Interface
from flowlog_core.testing.memory import some_blob

BLOB = some_blob()
HOUR = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def parallel() -> Iterator[Parallel]:
    pool = Parallel(4)
    yield pool
    pool.close()


def generated(form: Format, tuples: int, seed: int = 1) -> GeneratedEntry:
    interface = Interface.vnet() if form == "vnet4" else Interface.nsg()
    return FlowLogGenerator(seed).entry(form, interface, HOUR, tuples)


def entry_records(
    entry: GeneratedEntry, offset: int = 12, blob: BlobRef = BLOB, generation: int = 0
) -> EntryRecords:
    position = Position(blob, generation, offset)
    lines = normalize(orjson.loads(entry.raw), f"{position.entry_id}.").lines
    return EntryRecords(position, lines)


@pytest.mark.parametrize(("encoding", "messages"), [("json", 11), ("gzip", 2)])
def test_the_queue_holds_every_record_and_comes_into_being_by_itself(
    connection_string: str,
    unique: Callable[[str], str],
    parallel: Parallel,
    encoding: Encoding,
    messages: int,
) -> None:
    queue = QueueServiceClient.from_connection_string(connection_string).get_queue_client(
        unique("records")
    )
    sink = QueueSink(queue, encoding, parallel)
    entry = generated("nsg2", 700)
    packed = sink.pack(entry_records(entry))
    assert packed.too_large == []
    sent = sink.send(packed.messages)
    assert sent == messages
    received = [decode(message.content) for message in queue.receive_messages()]
    received.sort(key=lambda batch: int(batch.source["first_tuple"]))
    assert len(received) == sent
    assert [tuple_of(r) for batch in received for r in batch.records] == list(entry.tuples)


def test_a_message_waits_for_its_consumer_for_ever(
    connection_string: str, unique: Callable[[str], str], parallel: Parallel
) -> None:
    """By default a queue throws a message away after seven days."""
    queue = QueueServiceClient.from_connection_string(connection_string).get_queue_client(
        unique("records")
    )
    sink = QueueSink(queue, "json", parallel)
    sink.send(sink.pack(entry_records(generated("nsg1", 1))).messages)
    (message,) = queue.peek_messages()
    assert message.expires_on is not None
    assert message.expires_on.year == 9999


@pytest.fixture
def table(connection_string: str, unique: Callable[[str], str]) -> Any:
    service = TableServiceClient.from_connection_string(connection_string)
    return service.get_table_client(unique("records"))


def rows_of(table: Any) -> list[dict[str, Any]]:
    """The rows as flow records, in the order of their keys."""
    return [
        {name: getattr(row.get(name), "value", row.get(name)) for name in FIELDS}
        for row in table.list_entities()
    ]


@pytest.mark.parametrize("form", ["nsg1", "nsg2", "vnet4"])
def test_the_table_holds_every_record_in_the_files_order(
    table: Any, parallel: Parallel, form: Format
) -> None:
    sink = TableSink(table, parallel)
    entry = entry_records(generated(form, 250))
    batches = list(sink.pack(entry).messages)
    assert [len(batch.rows) for batch in batches] == [MAX_BATCH_ROWS, MAX_BATCH_ROWS, 50]
    sink.send(batches)
    assert rows_of(table) == [orjson.loads(line) for line in entry.lines]


def test_a_repeated_send_leaves_the_table_as_it_was(table: Any, parallel: Parallel) -> None:
    sink = TableSink(table, parallel)
    entry = entry_records(generated("nsg2", 30))
    for _ in range(2):
        sink.send(sink.pack(entry).messages)
    assert rows_of(table) == [orjson.loads(line) for line in entry.lines]


def test_rows_of_other_accounts_generations_and_offsets_stay_apart(
    table: Any, parallel: Parallel
) -> None:
    sink = TableSink(table, parallel)
    entry = generated("nsg2", 2)
    elsewhere = BlobRef("otheraccount", BLOB.container, BLOB.log)
    for records in (
        entry_records(entry),
        entry_records(entry, offset=500),
        entry_records(entry, generation=1),
        entry_records(entry, blob=elsewhere),
    ):
        sink.send(sink.pack(records).messages)
    assert len({row["id"] for row in rows_of(table)}) == 8


def test_what_is_too_large_is_blamed_on_its_entry(
    connection_string: str, unique: Callable[[str], str], parallel: Parallel, table: Any
) -> None:
    """As the emulator answers. Neither sink packs such a thing."""
    queue = QueueServiceClient.from_connection_string(connection_string).get_queue_client(
        unique("records")
    )
    row = {"PartitionKey": "p", "RowKey": "r", "rule": "x" * 40_000}
    large: list[tuple[Sink, Any]] = [
        (QueueSink(queue, "json", parallel), Message("ab.3.12.m0.1", "x" * 70_000)),
        (TableSink(table, parallel), Batch("ab.3.12.0", [row])),
    ]
    for sink, item in large:
        with pytest.raises(ItemRefused, match="TooLarge") as caught:
            sink.send([item])
        assert caught.value.entry_id == "ab.3.12"


@pytest.mark.parametrize("mac", ["002248000001", "m" * 400, "m" * 500, "\u00e9" * 500])
def test_no_key_is_too_long_and_those_that_fit_are_as_they_were(
    table: Any, parallel: Parallel, mac: str
) -> None:
    """A key may have 1 KiB, which is 512 characters in UTF-16; the service takes it then."""
    blob = some_blob(mac=mac)
    packed = TableSink(table, parallel, "|07").pack(entry_records(generated("nsg2", 1), blob=blob))
    ((row,),) = [batch.rows for batch in packed.messages]
    digest = Position(blob).blob_digest
    rest = f"|000000000012|0000000|{digest}.0"
    key = row["RowKey"]
    assert key.endswith(rest)
    if len(mac + rest) <= 512 and mac.isascii():
        assert key == mac + rest
    else:
        assert len(key) == 512
        other = some_blob(mac=f"{mac}x")
        packed_other = TableSink(table, parallel).pack(
            entry_records(generated("nsg2", 1), blob=other)
        )
        ((row_of_other,),) = [batch.rows for batch in packed_other.messages]
        assert row_of_other["RowKey"].split("|")[0] != key.split("|")[0]
    assert len(row["PartitionKey"]) <= 512
    table.create_table()
    table.upsert_entity({"PartitionKey": row["PartitionKey"], "RowKey": key})


def test_a_field_too_long_for_a_table_is_given_back(table: Any, parallel: Parallel) -> None:
    entry = entry_records(generated("nsg2", 2))
    line = entry.lines[0].replace('"rule":"', '"rule":"' + "é" * 33_000)
    packed = TableSink(table, parallel).pack(EntryRecords(entry.position, [line, entry.lines[1]]))
    assert packed.too_large == [TooLarge(0, "a field is longer than a table property may be")]
    assert [len(batch.rows) for batch in packed.messages] == [1]


def test_long_fields_that_fit_a_table_are_not_given_back(table: Any, parallel: Parallel) -> None:
    """Together they are longer than one may be."""
    entry = entry_records(generated("nsg2", 2))
    line = entry.lines[0].replace('"rule":"', '"rule":"' + "é" * 20_000)
    line = line.replace('"resource_id":"', '"resource_id":"' + "😀" * 16_000)
    packed = TableSink(table, parallel).pack(EntryRecords(entry.position, [line, entry.lines[1]]))
    assert packed.too_large == []
    assert [len(batch.rows) for batch in packed.messages] == [2]


def test_batches_stay_below_the_size_that_a_transaction_may_have(
    table: Any, parallel: Parallel
) -> None:
    entry = entry_records(generated("nsg2", 100))
    long = [line.replace('"rule":"', '"rule":"' + "x" * 30_000) for line in entry.lines]
    sink = TableSink(table, parallel)
    packed = sink.pack(EntryRecords(entry.position, list(long)))
    assert packed.too_large == []
    assert sink.send(packed.messages) > 1
    assert rows_of(table) == [orjson.loads(line) for line in long]


def test_a_queue_that_cannot_be_created_either_is_an_error(
    connection_string: str, parallel: Parallel
) -> None:
    class Gone(QueueClient):
        def create_queue(self, **_: Any) -> None:
            """Pretends; the queue stays absent."""

    queue = Gone.from_connection_string(connection_string, "never-created")
    sink = QueueSink(queue, "json", parallel)
    with pytest.raises(NotFound, match="to queue never-created: 404 QueueNotFound"):
        sink.send(sink.pack(entry_records(generated("nsg1", 1))).messages)


# The SDK does not close the connection of a batch's answer that it did not read to its end.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("fault", [Fault.CUT_IN_HEAD, Fault.CUT_IN_BODY])
def test_a_batch_of_which_no_whole_answer_came_has_failed(
    azurite: Azurite, unique: Callable[[str], str], parallel: Parallel, fault: Fault
) -> None:
    """Its status says 202 whatever became of it; the SDK takes a missing body for no answers."""
    name = unique("rows")
    with FaultProxy(azurite.table_url, 1, rate=1, faults={fault: 1}) as proxy:
        text = replace(azurite, table_url=proxy.url).connection_string
        with TableServiceClient.from_connection_string(text, retry_total=0) as tables:
            table = tables.create_table(name)
            sink = TableSink(table, parallel)
            batches = list(sink.pack(entry_records(generated("vnet4", 7))).messages)
            proxy.arm()
            for _ in range(20):
                with pytest.raises(Unavailable):
                    sink.send(batches)
            proxy.disarm()
            assert len(list(table.list_entities())) == 7
    gc.collect()  # so that what it warns of is not another test's


def test_a_batch_is_one_request(
    azurite: Azurite, unique: Callable[[str], str], parallel: Parallel
) -> None:
    """What the SDK would do anew, when the answers do not say that all is written, is not done."""
    with FaultProxy(azurite.table_url, 1) as proxy:
        text = replace(azurite, table_url=proxy.url).connection_string
        with TableServiceClient.from_connection_string(text) as tables:
            table = tables.create_table(unique("rows"))
            sink = TableSink(table, parallel)
            before = proxy.requests
            assert sink.send(sink.pack(entry_records(generated("vnet4", 250))).messages) == 3
            assert proxy.requests - before == 3
