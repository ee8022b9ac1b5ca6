"""What is sent of an entry under each setting, and the ids of its messages."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_records import (
    Record,
    generated_entries,
    hostile_entries,
    records_of,
    sample_entries,
    sums_of,
)
from made_rules import rule_texts
from test_shape_tuple_filter import GOOD, entry_of, is_kept

from flowlog_core.blob import Position
from flowlog_core.config.settings import Settings
from flowlog_core.consume import decode
from flowlog_core.parsing import ParsedEntry
from flowlog_core.parsing.entry import normalize
from flowlog_core.parsing.packed_text import PackedText
from flowlog_core.parsing.record import FIELDS
from flowlog_core.schemas import SCHEMAS
from flowlog_core.shape.fields import Fields, lean
from flowlog_core.shape.keep_drop import KeepDrop
from flowlog_core.shape.shaper import Shaped, Shaper
from flowlog_core.sinks.message import Message, messages_of
from flowlog_core.testing.memory import some_blob

POSITION = Position(some_blob(), 1, 12)
PREFIX = f"{POSITION.entry_id}."
FORMS = ("all", "lean", "time,src_ip", "src_ip,time", "id,tuples,rule", "ecs", "ocsf", "asim")


def shaper_of(form: str = "all", keep: str = "", drop: str = "", *, sums: bool = False) -> Shaper:
    rules = KeepDrop.parse(keep, drop)
    if form in SCHEMAS:
        return Shaper(rules, aggregates=sums, schema=form)
    return Shaper(rules, Fields.parse(form), aggregates=sums)


def shaped_by(shaper: Shaper, entry: Any) -> Shaped:
    made = normalize(entry, PREFIX, shaper.drops)
    return shaper(POSITION, ParsedEntry(12, 99, b"", *made))


def expected_of(
    form: str, keep: str, drop: str, *, sums: bool, records: list[Record]
) -> list[Record]:
    """By the plainest means."""
    kept = [record for record in records if is_kept(keep, drop, record)]
    whole = sums_of(kept) if sums else kept
    if form in SCHEMAS:
        return [SCHEMAS[form](record) for record in whole]
    if form == "lean":
        return [lean(record, POSITION.blob.name) for record in whole]
    if form == "all":
        return whole
    names = form.split(",") if "id" in form.split(",") else ["id", *form.split(",")]
    return [{name: record[name] for name in names if name in record} for record in whole]


forms = st.sampled_from(FORMS)
shapes = st.tuples(forms, rule_texts, rule_texts, st.booleans())


def test_by_default_records_are_sent_as_they_are() -> None:
    entry = entry_of(GOOD, "bad", GOOD)
    made = normalize(entry, PREFIX)
    parsed = ParsedEntry(12, 99, b"", *made)
    assert Shaper().drops is None
    shaped = Shaper()(POSITION, parsed)
    assert shaped.sent is shaped.kept
    assert shaped.sent.lines is made.lines  # nothing was done with them
    assert shaped.sent.tuple_indexes == [0, 2]
    assert (shaped.sent.form.schema, shaped.sent.form.mark) == ("flowlog/1", "")


@given(shapes, hostile_entries(max_tuples=4))
def test_what_is_sent_is_what_each_setting_says(
    shape: tuple[str, str, str, bool], entry: Any
) -> None:
    form, keep, drop, sums = shape
    shaped = shaped_by(shaper_of(form, keep, drop, sums=sums), entry)
    records = records_of(entry, PREFIX)
    expected = expected_of(form, keep, drop, sums=sums, records=records)
    assert [orjson.loads(line) for line in shaped.sent.lines] == expected
    kept = [record for record in records if is_kept(keep, drop, record)]
    assert [orjson.loads(line) for line in shaped.kept.lines] == kept
    assert len(shaped.kept.left_out) == len(records) - len(kept)
    if sums:
        assert shaped.sent.sums is not None
        tuples = sorted(index for some in shaped.sent.sums for index in some)
        assert [POSITION.record_id(index) for index in tuples] == [one["id"] for one in kept]


@pytest.mark.parametrize("sums", [False, True], ids=["records", "sums"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("drop", ["", "dst_port=443", "id=*.1"])
def test_what_is_sent_of_a_large_entry_is_packed_as_its_records_are(
    form: str, sums: bool, drop: str
) -> None:
    entry = entry_of(GOOD, "bad", *(GOOD.replace(",443,", f",{port},") for port in range(440, 450)))
    shaper = shaper_of(form, "", drop, sums=sums)
    made = normalize(entry, PREFIX, shaper.drops, packed=True)
    shaped = shaper(POSITION, ParsedEntry(12, 99, b"", *made))
    plain = shaped_by(shaper, entry)
    for packed, whole in ((shaped.sent, plain.sent), (shaped.kept, plain.kept)):
        assert isinstance(packed.lines, PackedText)
        assert list(packed.lines) == list(whole.lines) != []
        assert packed._replace(lines=whole.lines) == whole


def test_summing_a_large_entry_holds_no_more_than_its_text() -> None:
    entry = entry_of(*(GOOD.replace(",443,", f",{port},") for port in range(3_000)), rule="r" * 400)
    made = normalize(entry, PREFIX, packed=True)
    parsed, shaper = ParsedEntry(12, 99, b"", *made), shaper_of(sums=True)
    tracemalloc.start()
    try:
        shaped = shaper(POSITION, parsed)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(shaped.sent.lines) == 3_000
    assert peak_bytes < 1.2 * sum(map(len, made.lines))


def messages_by(shaper: Shaper, entry: Any, max_message_bytes: int = 3000) -> list[Message]:
    messages, _ = messages_of(shaped_by(shaper, entry).sent, "json", max_message_bytes)
    return list(messages)


@given(st.lists(shapes, min_size=2, max_size=4), hostile_entries(max_tuples=6))
def test_one_id_never_has_two_contents_whatever_was_set(
    some: list[tuple[str, str, str, bool]], entry: Any
) -> None:
    """Nor does it matter how large messages may be."""
    contents: dict[str, str] = {}
    for form, keep, drop, sums in some:
        for limit in (3000, 6000, 65536):
            for message in messages_by(shaper_of(form, keep, drop, sums=sums), entry, limit):
                assert contents.setdefault(message.id, message.text) == message.text


def test_every_form_has_ids_of_its_own() -> None:
    entry = entry_of(GOOD, GOOD, GOOD.replace(",443,", ",80,"))
    ids = {
        (form, sums): [one.id for one in messages_by(shaper_of(form, sums=sums), entry, 65536)]
        for form in FORMS
        for sums in (False, True)
    }
    assert ids["all", False] == [f"{PREFIX}m0.3"]
    assert ids["lean", False] == [f"{PREFIX}m0.3.lean"]
    assert ids["ecs", True] == [f"{PREFIX}m0.3.agg.ecs"]
    assert ids["all", True] == [f"{PREFIX}m0.3.agg"]
    assert len({one for some in ids.values() for one in some}) == len(ids)


def test_what_is_left_out_is_told_by_the_id() -> None:
    """The same tuples under other rules: the same id. Other tuples, as many: another."""
    tuples = [GOOD.replace(",443,", f",{port},") for port in (1, 2, 3, 4)]
    drops = ("dst_port=2", "dst_port=2-2;dst_port=9", "dst_port=3", "dst_port=4", "dst_port=1-4")
    ids = [[one.id for one in messages_by(shaper_of(drop=text), entry_of(*tuples), 65536)]
           for text in drops]  # fmt: skip
    assert ids[0] == ids[1] != ids[2]
    assert ids[3] == [f"{PREFIX}m0.3"]
    assert ids[4] == []


def test_sums_of_other_tuples_have_other_ids() -> None:
    """Each is the one record `….0.agg`, and the message says of which tuples."""
    entry = entry_of(GOOD, GOOD.replace(",E,", ",B,"), GOOD.replace(",E,", ",C,"))
    (every,) = messages_by(shaper_of(sums=True), entry)
    (some,) = messages_by(shaper_of(drop="state=begin", sums=True), entry)
    (first,) = messages_by(shaper_of(keep="state=end", sums=True), entry)
    assert (every.id, first.id) == (f"{PREFIX}m0.3.agg", f"{PREFIX}m0.1.agg")
    assert some.id.startswith(f"{PREFIX}m0.2.")
    assert len({every.id, some.id, first.id}) == 3
    assert {decode(one.text).records[0]["id"] for one in (every, some, first)} == {f"{PREFIX}0.agg"}


def entries() -> Iterator[Any]:
    yield from sample_entries()
    yield from generated_entries(2)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("sums", [False, True])
def test_consumers_read_every_form(form: str, sums: bool) -> None:
    shaper = shaper_of(form, sums=sums)
    for entry in entries():
        records = records_of(entry, PREFIX)
        read = [decode(one.text) for one in messages_by(shaper, entry, 8192)]
        found = [record for batch in read for record in batch.records]
        # Lean records are whole again.
        of = "all" if form == "lean" else form
        assert found == expected_of(of, "", "", sums=sums, records=records)
        assert {batch.schema.partition("/")[0] for batch in read} == {
            form if form in SCHEMAS else "flowlog"
        }
        if form == "lean":
            assert all(tuple(record)[: len(FIELDS)] == FIELDS for record in found)


def test_a_table_gets_what_its_rows_do_not_tell_otherwise() -> None:
    environment = dict.fromkeys(("FlowLogs", "AzureWebJobsStorage"), "UseDevelopmentStorage=true")
    for sink, is_told in (("queue", False), ("table", True)):
        shaper = Shaper.of(
            Settings.from_environment(
                {**environment, "FLOWLOG_SINK": sink, "FLOWLOG_FIELDS": "lean"}
            )
        )
        record = dict.fromkeys(FIELDS) | {
            "id": f"{PREFIX}0",
            "category": "NetworkSecurityGroupFlowEvent",
            "resource_id": POSITION.blob.log.resource_id,
            "mac": POSITION.blob.log.mac,
        }
        parsed = ParsedEntry(12, 99, b"", [orjson.dumps(record).decode()], [], [])
        (line,) = shaper(POSITION, parsed).sent.lines
        assert set(orjson.loads(line)) == {
            "id",
            *(("category", "resource_id", "mac") if is_told else ()),
        }


def test_the_settings_are_those_of_the_environment() -> None:
    shaper = Shaper.of(
        Settings.from_environment(
            {
                "FlowLogs": "UseDevelopmentStorage=true",
                "AzureWebJobsStorage": "UseDevelopmentStorage=true",
                "FLOWLOG_KEEP": "action=deny",
                "FLOWLOG_DROP": "dst_port=53",
                "FLOWLOG_AGGREGATE": "true",
                "FLOWLOG_SCHEMA": "ocsf",
            }
        )
    )
    assert shaper == Shaper(
        KeepDrop.parse("action=deny", "dst_port=53"), aggregates=True, schema="ocsf"
    )
