"""Sums are those of the records, exact, and in a fixed order."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pyarrow as pa
import pytest
from made_records import Record, generated_entries, records_of

from flowlog_core.analyze.addresses_seen import READS, addresses_seen
from flowlog_core.analyze.columns import table_of
from flowlog_core.analyze.sums import MEASURES, Sums, checked_names
from flowlog_core.analyze.widths import width_s
from flowlog_core.parsing.record import COUNTERS, FIELDS

RECORDS = [one for entry in generated_entries(6, 40) for one in records_of(entry)]
LARGEST = 2**63 - 1


def stream(records: list[Record], names: tuple[str, ...]) -> pa.RecordBatchReader:
    table = table_of(records, tuple(name for name in FIELDS if name in names))
    return pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=50))


def summed(records: list[Record]) -> dict[str, Any]:
    """What a group's sums are, said plainly."""
    row: dict[str, Any] = {
        "tuples": len(records),
        "flows": sum(r["state"] in (None, "begin", "deny") for r in records),
    }
    for name in COUNTERS:
        there = [r[name] for r in records if r[name] is not None]
        row[name] = sum(there) if there else None
    for unit in ("packets", "bytes"):
        both = [row[f"{unit}_src_to_dst"], row[f"{unit}_dst_to_src"]]
        row[unit] = sum(x or 0 for x in both) if both != [None, None] else None
    return row


@pytest.mark.parametrize("by", [("src_ip", "dst_port"), ("rule",), ("version", "state"), ()])
def test_groups_are_those_of_the_records(by: tuple[str, ...]) -> None:
    groups: dict[tuple[Any, ...], list[Record]] = defaultdict(list)
    for record in RECORDS:
        groups[tuple(record[name] for name in by)].append(record)
    expected = [dict(zip(by, key, strict=True)) | summed(some) for key, some in groups.items()]
    sums = Sums(by)
    found = sums.of(stream(RECORDS, sums.reads)).to_pylist()
    assert [tuple(row) for row in found] == [(*by, *MEASURES)] * len(found)
    by_key = lambda row: str([row[name] for name in by])  # noqa: E731
    assert sorted(found, key=by_key) == sorted(expected, key=by_key)
    assert [row["bytes"] or 0 for row in found] == sorted(
        (row["bytes"] or 0 for row in found), reverse=True
    )


def test_a_limit_and_another_order() -> None:
    sums = Sums(("dst_port",), sort="flows", limit=3)
    everything = Sums(("dst_port",), sort="flows").of(stream(RECORDS, sums.reads)).to_pylist()
    assert sums.of(stream(RECORDS, sums.reads)).to_pylist() == everything[:3]
    assert [row["flows"] for row in everything] == sorted(
        (row["flows"] for row in everything), reverse=True
    )


def test_sums_beyond_64_bits_are_exact() -> None:
    records = [RECORDS[0] | dict.fromkeys(COUNTERS, LARGEST) for _ in range(3)]
    sums = Sums(("src_ip",))
    (row,) = sums.of(stream(records, sums.reads)).to_pylist()
    assert (row["bytes"], row["bytes_src_to_dst"]) == (6 * LARGEST, 3 * LARGEST)


def test_by_time_each_width_is_a_group_and_the_earliest_comes_first() -> None:
    sums = Sums((), every_s=60)
    found = sums.of(stream(RECORDS, sums.reads)).to_pylist()
    minutes: dict[str, list[Record]] = defaultdict(list)
    for record in RECORDS:
        minutes[record["time"][:16]].append(record)
    expected = [(minute, summed(minutes[minute])) for minute in sorted(minutes)]
    assert [(f"{row.pop('time'):%Y-%m-%dT%H:%M}", row) for row in found] == expected


def test_widths_and_fields_that_there_are_not_are_refused() -> None:
    assert [width_s(text) for text in ("30s", "5m", "1h", "1d")] == [30, 300, 3600, 86400]
    with pytest.raises(ValueError, match="'5x' is not a length of time"):
        width_s("5x")
    with pytest.raises(ValueError, match="'id' is not a field to group by"):
        checked_names(["rule", "id"])


def test_an_address_has_what_it_sent_and_received_at_either_end() -> None:
    sent: dict[str, int] = defaultdict(int)
    received: dict[str, int] = defaultdict(int)
    tuples: dict[str, int] = defaultdict(int)
    alone = RECORDS[-1] | {"src_ip": "10.9.9.9", "dst_ip": "10.9.9.9"}
    records = [*RECORDS, alone]
    for r in records:
        ends = [("src", r["src_ip"]), ("dst", r["dst_ip"])]
        for side, address in ends if r["src_ip"] != r["dst_ip"] else ends[:1]:
            there, back = r["bytes_src_to_dst"] or 0, r["bytes_dst_to_src"] or 0
            sent[address] += there if side == "src" else back
            received[address] += back if side == "src" else there
            tuples[address] += 1
    rows = addresses_seen(stream(records, READS)).to_pylist()
    assert {
        row["ip"]: (row["tuples"], row["bytes_sent"] or 0, row["bytes_received"] or 0)
        for row in rows
    } == {address: (tuples[address], sent[address], received[address]) for address in tuples}
    first = min(r["time"] for r in records if rows[0]["ip"] in (r["src_ip"], r["dst_ip"]))
    assert f"{rows[0]['first_time']:%Y-%m-%dT%H:%M:%S}" == first[:19]
