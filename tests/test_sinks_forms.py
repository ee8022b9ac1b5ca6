"""Records in every form, in a queue and in a table."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from azure.data.tables import EntityProperty, TableClient, TableServiceClient
from hypothesis import given
from made_records import generated_entries, hostile_entries, records_of, sums_of

from flowlog_core.blob import Position
from flowlog_core.parallel import Parallel
from flowlog_core.parsing import ParsedEntry
from flowlog_core.parsing.entry import normalize
from flowlog_core.schemas import SCHEMAS, row_of
from flowlog_core.shape.fields import Fields
from flowlog_core.shape.shaper import Shaper
from flowlog_core.sinks import EntryRecords
from flowlog_core.sinks.table import Batch, TableSink
from flowlog_core.sinks.table_batch import _content
from flowlog_core.testing.memory import some_blob

POSITION = Position(some_blob(), 1, 12)
PREFIX = f"{POSITION.entry_id}."
OTHERS = ("ecs", "ocsf", "asim")
MAX_ENTITY_BYTES = 1024 * 1024  # learn.microsoft.com, "Understanding the Table service data model"
MAX_TRANSACTION_BYTES = 4 * 1024 * 1024  # "Performing entity group transactions"

# It is asked to pack, and never to send.
SINK = TableSink(TableClient("https://a.table.core.windows.net?sig=x", "records"), Parallel(1))


def sent(entry: Any, shaper: Shaper) -> EntryRecords:
    made = normalize(entry, PREFIX, shaper.drops)
    return shaper(POSITION, ParsedEntry(12, 99, b"", *made)).sent


def batches(entry: EntryRecords, left_out: int = 0) -> list[Batch]:
    """As they would be sent; nothing is opened for that."""
    packed = SINK.pack(entry)
    assert len(packed.too_large) == left_out
    return list(packed.messages)


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """What a reader of a row finds, without its keys."""
    return {
        name: value.value if isinstance(value, EntityProperty) else value
        for name, value in row.items()
        if name not in ("PartitionKey", "RowKey")
    }


@pytest.mark.parametrize("sums", [False, True])
@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_table_holds_the_events_of_a_schema(
    connection_string: str, unique: Callable[[str], str], schema: str, sums: bool
) -> None:
    entry = next(generated_entries())
    records = records_of(entry, PREFIX)
    if sums:
        records = sums_of(records)
    service = TableServiceClient.from_connection_string(connection_string)
    table, parallel = service.get_table_client(unique("records")), Parallel(2)
    sink = TableSink(table, parallel)
    for _ in range(2):  # a repeated send leaves the table as it was
        sink.send(sink.pack(sent(entry, Shaper(aggregates=sums, schema=schema))).messages)
    parallel.close()
    expected = [row_of(SCHEMAS[schema](record)) for record in records]
    assert [plain(dict(row)) for row in table.list_entities()] == expected


@pytest.mark.parametrize("schema", OTHERS)
def test_a_property_of_other_schemas_has_one_type(schema: str) -> None:
    types: dict[str, set[type]] = {}
    for entry in generated_entries():
        for batch in batches(sent(entry, Shaper(schema=schema))):
            for row in batch.rows:
                for name, value in row.items():
                    types.setdefault(name, set()).add(type(value))
    assert {name for name, some in types.items() if len(some) > 1} == set()
    assert {EntityProperty, str} == {one for some in types.values() for one in some}


def test_sums_have_rows_of_their_own() -> None:
    """Who sums flows from now on replaces no row of a single tuple, and so loses none."""
    entry = next(generated_entries())
    (alone, *_), (summed, *_) = (batches(sent(entry, Shaper(aggregates=s))) for s in (False, True))
    keys = [row["RowKey"] for row in alone.rows]
    assert summed.rows[0]["RowKey"] == f"{keys[0]}.agg"
    assert not {row["RowKey"] for row in summed.rows} & set(keys)
    assert summed.first_id == f"{alone.first_id}.agg" == f"{PREFIX}0.agg"


@given(hostile_entries(max_tuples=3))
def test_a_row_is_one_that_a_table_takes(entry: Any) -> None:
    for schema in SCHEMAS:
        for batch in batches(sent(entry, Shaper(schema=schema))):
            for row in batch.rows:
                assert (
                    len(row) <= 252
                )  # as on the page "Understanding the Table service data model"
                for name, value in row.items():
                    assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,254}", name, re.ASCII)
                    if isinstance(value, EntityProperty):
                        assert -(2**63) <= value.value < 2**63
                    else:
                        assert isinstance(value, str | int)


LONG = "é" * 32_000  # a property holds 32,768 characters
TEXTS = ("log_time", "resource_id", "target_resource_id", "mac", "rule", "acl_id", "encryption")


@pytest.mark.parametrize("schema", SCHEMAS)
def test_the_longest_texts_fit_a_row_and_many_rows_their_transactions(schema: str) -> None:
    (record, *_) = records_of(list(generated_entries())[-1], PREFIX)
    assert record["category"] == "FlowLogFlowEvent"
    line = orjson.dumps(record | dict.fromkeys(TEXTS, LONG)).decode()
    parsed = ParsedEntry(12, 99, b"", [line] * 12, [], [])
    made = batches(Shaper(schema=schema)(POSITION, parsed).sent)
    assert sum(len(batch.rows) for batch in made) == 12
    for batch in made:
        content = _content("https://a.table.core.windows.net/records", batch.rows, b"x" * 46)
        assert len(content) <= MAX_TRANSACTION_BYTES
        for row in batch.rows:
            values = [value for value in row.values() if isinstance(value, str)]
            assert 2 * sum(map(len, (*values, *row))) + 16 * len(row) <= MAX_ENTITY_BYTES


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_text_that_no_property_holds_is_given_back(schema: str) -> None:
    (record, *_) = records_of(next(generated_entries()), PREFIX)
    lines = [orjson.dumps(record | {"rule": rule}).decode() for rule in ("x" * 33_000, "r")]
    parsed = ParsedEntry(12, 99, b"", list(lines), [], [])
    made = batches(Shaper(schema=schema)(POSITION, parsed).sent, left_out=1)
    assert [len(batch.rows) for batch in made] == [1]


def test_a_table_has_the_fields_that_are_chosen() -> None:
    entry = next(generated_entries())
    shaper = Shaper(fields=Fields.parse("src_ip,encryption,bytes_src_to_dst"), names_blob=False)
    rows = [plain(row) for batch in batches(sent(entry, shaper)) for row in batch.rows]
    names = ("id", "src_ip", "bytes_src_to_dst")  # a null is no property
    assert rows == [
        {name: record[name] for name in names if record[name] is not None}
        for record in records_of(entry, PREFIX)
    ]
