"""Columns hold the same rows as records do, whatever the input."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from fuzz.fuzz_documents import ODD_FIELDS, ODD_VALUES
from hypothesis import given
from hypothesis import strategies as st

from flowlog_core.analyze import columns, tuple_lines
from flowlog_core.analyze.columns import blocks, convert
from flowlog_core.analyze.problems import Problem
from flowlog_core.parsing import Damaged, Framer, read
from flowlog_core.parsing.entry import Normalized, normalize
from flowlog_core.parsing.record import FIELDS
from flowlog_core.parsing.recovery import MAX_KEPT_BYTES
from flowlog_core.parsing.tuples import VNET4
from flowlog_core.testing.generate import FlowLogGenerator, Format, Interface

HOUR = datetime(2026, 1, 1, 7, tzinfo=UTC)
FORMATS: tuple[Format, ...] = ("nsg1", "nsg2", "vnet4")
Rows = list[dict[str, Any]]


def by_columns(data: bytes, names: tuple[str, ...] = FIELDS) -> tuple[Rows, list[Problem]]:
    """All rows of a log, by way of its columns, and what could not be read."""
    framer = Framer()
    items = ((f"x.{item.start}.", item) for item in [*framer.feed(data), *framer.end(final=True)])
    rows: Rows = []
    problems: list[Problem] = []
    for block in blocks(items):
        table, wrong = convert(block, names)
        assert table.schema.names == list(names)
        rows += table.to_pylist()
        problems += wrong
    return rows, problems


def by_records(data: bytes, names: tuple[str, ...] = FIELDS) -> tuple[Rows, list[Problem]]:
    """The same by way of `parsing.read`."""
    rows: Rows = []
    problems: list[Problem] = []
    for item in read([data], lambda start: f"x.{start}"):
        if isinstance(item, Damaged):
            size = item.end - item.start
            problems.append(Problem(item.start, item.reason, damaged_bytes=size))
            continue
        for line in item.lines:
            record = orjson.loads(line)
            record["time"] = datetime.fromisoformat(record["time"])
            rows.append({name: record[name] for name in names})
        problems += (Problem(item.start, bad.reason, bad.index, bad.raw) for bad in item.bad)
    return rows, problems


def entry(log_format: Format, seed: int, tuples: int) -> dict[str, Any]:
    interface = Interface.vnet() if log_format == "vnet4" else Interface.nsg()
    made = FlowLogGenerator(seed).entry(log_format, interface, HOUR, tuples)
    value: dict[str, Any] = orjson.loads(made.raw)
    return value


def groups_of(value: dict[str, Any]) -> Iterator[list[Any]]:
    """The lists of tuples of an entry."""
    body = value.get("flowRecords") or value["properties"]
    for flow in body["flows"]:
        for group in flow.get("flowGroups") or flow.get("flows"):
            yield group["flowTuples"]


ODD_TUPLE_FIELDS = (
    *ODD_FIELDS,
    *(" 443", "443 ", "0x1F", "0X1f", "007", "-0", "1_000", "1e2", "\t6", "6\r", "NX\r", "N\nX"),
    *("0", "00", "99999999999", "100000000000", "253402300799999", "253402300800000", "0123"),
    *("10.0.0.01", "1.2.3.4.5", "256.1.1.1", "::ffff:1.2.3.4", "1::2::3", ":", "::", "1:2:3"),
    *("9223372036854775807", "9223372036854775808", "65535", "255", "T", "U", "I", "O", "A", "B"),
    *("C", "E", "D", "NX", "\u2028", "\ufeff", "\ud800", '"NX"', "null", "#", "a" * 300),
)


@st.composite
def hostile(draw: st.DrawFn) -> bytes:
    """A log in which some tuples, groups and values of entries are not what they should be."""
    entries = []
    for _ in range(draw(st.integers(1, 4))):
        value = entry(draw(st.sampled_from(FORMATS)), draw(st.integers(0, 50)), 6)
        groups = list(groups_of(value))
        for _ in range(draw(st.integers(0, 3))):
            group = draw(st.sampled_from(groups))
            at = draw(st.integers(0, len(group) - 1))
            if isinstance(group[at], str) and draw(st.integers(0, 3)):
                fields = group[at].split(",")
                where = draw(st.integers(0, len(fields) - 1))
                fields[where] = draw(st.sampled_from(ODD_TUPLE_FIELDS))
                group[at] = ",".join(fields)
            else:
                group[at] = draw(st.sampled_from(ODD_VALUES))
        if not draw(st.integers(0, 5)):
            value[draw(st.sampled_from(sorted(value)))] = draw(st.sampled_from(ODD_VALUES))
        entries.append(value)
    text = b'{"records":[' + b",".join(map(_json, entries)) + b"]}"
    if not draw(st.integers(0, 4)):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.binary(max_size=4)) + text[at + draw(st.integers(0, 9)) :]
    return text


def _json(value: Any) -> bytes:
    # orjson writes no half surrogate pairs, and a log may hold them.
    return json.dumps(value).encode()


@given(hostile(), st.sets(st.sampled_from(FIELDS), min_size=1))
def test_columns_and_records_are_the_same_rows(data: bytes, chosen: set[str]) -> None:
    names = tuple(name for name in FIELDS if name in chosen)
    assert by_columns(data) == by_records(data)
    assert by_columns(data, names) == by_records(data, names)


@pytest.mark.parametrize("log_format", FORMATS)
@pytest.mark.parametrize("odd", ODD_TUPLE_FIELDS)
def test_a_field_that_is_odd_is_judged_the_same_both_ways(log_format: Format, odd: str) -> None:
    width = 8 if log_format == "nsg1" else 13
    for at in range(width):
        value = entry(log_format, at, 3)
        group = next(groups_of(value))
        fields = group[0].split(",")
        fields[at] = odd
        group[0] = ",".join(fields)
        data = b'{"records":[' + _json(value) + b"]}"
        assert by_columns(data) == by_records(data)


def test_one_bad_tuple_does_not_send_its_neighbours_the_ordinary_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = [entry("nsg2", seed, 6) for seed in range(64)]
    next(groups_of(values[20]))[0] = "1,2"
    data = b'{"records":[' + b",".join(map(_json, values)) + b"]}"
    ordinary: list[int] = []

    def counted(value: dict[str, Any], id_prefix: str) -> Normalized:
        ordinary.append(values.index(value))
        return normalize(value, id_prefix)

    monkeypatch.setattr(columns, "normalize", counted)
    rows, problems = by_columns(data)
    assert ordinary == [20]
    assert (len(rows), len(problems)) == (64 * 6 - 1, 1)


@pytest.mark.parametrize("log_format", FORMATS)
def test_what_is_usual_never_goes_the_ordinary_way(
    log_format: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(columns, "normalize")
    value = entry(log_format, 7, 300)
    rows, problems = by_columns(b'{"records":[' + _json(value) + b"]}")
    assert (len(rows), problems) == (300, [])


@pytest.mark.parametrize("version", [4, 5])
def test_an_entry_too_large_to_keep_is_read_like_the_others(version: int) -> None:
    """Whether or not it can be read; a bad tuple in it is reported as well."""
    large = entry("vnet4", 2, 6)
    large["flowLogVersion"], large["unknown"] = version, "x" * MAX_KEPT_BYTES
    next(groups_of(large))[0] = "bad"
    data = b",".join(map(_json, [entry("vnet4", 1, 6), large, entry("vnet4", 3, 6)]))
    rows, problems = by_columns(data)
    assert (rows, problems) == by_records(data)
    assert (len(rows), len(problems)) == ({4: 17, 5: 12}[version], 1)


def test_a_format_that_has_no_columns_yet_is_read_by_way_of_its_records(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A version that is new in `parsing` is right at once, and fast later."""
    data = b'{"records":[' + _json(entry("vnet4", 7, 30)) + b"]}"
    expected = by_columns(data)
    monkeypatch.delitem(tuple_lines._FORMATS, VNET4)
    assert by_columns(data) == expected
    assert len(expected[0]) == 30
