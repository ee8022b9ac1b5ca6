"""Rules asked of tuples give the answers of the reference on their records."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson
import pytest
import reference_rules
from hypothesis import given
from hypothesis import strategies as st
from made_records import PREFIX, Record, generated_entries, hostile_entries, records_of
from made_records import sample_entries as captures
from made_rules import rule_texts

from flowlog_core.parsing import time_of
from flowlog_core.parsing.entry import Normalized, normalize
from flowlog_core.shape.keep_drop import KeepDrop
from flowlog_core.shape.tuple_filter import tuple_filters

TEXTS = (
    "action=deny",
    "protocol=udp,dst_port=123",
    "protocol_number=6,direction=inbound",
    "state=begin;state=end,bytes>=1000",
    "encryption!=X",
    "packets!=*",
    "rule=Default*,ip=10.0.0.0/8",
    "time>=2024-12-31T09:11;version=2",
    "time>2024-12-31T09:11:30,port!=443",
    "acl_id!=*,mac=*",
    "id=*.5,log_time=2024*;dst_port=443,8000-65535",
    "log_time!=2024*;bytes=1-50,100-200,300-400,500-600,1000-99999",
    f"id={PREFIX}3",
    "src_ip=10.0.0.0/8,52.0.0.0-60.255.255.255,2603::/16",
    "ip=10.1.0.4,20.0.0.0/8,2000::/3",
)


def is_kept(keep: str, drop: str, record: Record) -> bool:
    """By the plainest means."""
    wanted = not keep.strip("; ") or reference_rules.matches(keep, record)
    return wanted and not reference_rules.matches(drop, record)


def assert_filtered(made: Normalized, records: list[Record], keep: str, drop: str) -> None:
    kept = [is_kept(keep, drop, record) for record in records]
    assert [orjson.loads(line) for line in made.lines] == [
        record for record, one in zip(records, kept, strict=True) if one
    ]
    indexes = [int(record["id"].rpartition(".")[2]) for record in records]
    assert made.dropped == [i for i, one in zip(indexes, kept, strict=True) if not one]
    times = [record["time"] for record, one in zip(records, kept, strict=True) if one]
    last_time = time_of(made.last) if made.last else None
    assert last_time == (datetime.fromisoformat(times[-1]) if times else None)


@pytest.mark.parametrize("text", TEXTS)
def test_captures_and_made_up_logs_are_filtered_as_the_reference_says(text: str) -> None:
    keeps, drops = tuple_filters(KeepDrop.parse(text, "")), tuple_filters(KeepDrop.parse("", text))
    dropped = total = 0
    for entry in (*captures(), *generated_entries(3)):
        records = records_of(entry)
        assert_filtered(normalize(entry, PREFIX, keeps), records, text, "")
        made = normalize(entry, PREFIX, drops)
        assert_filtered(made, records, "", text)
        dropped += len(made.dropped)
        total += len(records)
    assert 0 < dropped < total


@given(rule_texts, rule_texts, st.lists(hostile_entries(max_tuples=4), min_size=1, max_size=3))
def test_any_entry_is_filtered_as_the_reference_says(
    keep: str, drop: str, entries: list[Any]
) -> None:
    drops = tuple_filters(KeepDrop.parse(keep, drop))
    for entry in entries:
        assert_filtered(normalize(entry, PREFIX, drops), records_of(entry), keep, drop)


GOOD = "1735636259204,10.1.0.4,20.0.0.1,56347,443,6,O,E,NX,12,5045,13,5902"
BAD = GOOD.replace("10.1.0.4", "10.1.0.999")


def entry_of(*tuples: Any, rule: str = "r") -> Any:
    groups = [{"rule": rule, "flowTuples": list(tuples)}]
    return {
        "category": "FlowLogFlowEvent",
        "flowLogVersion": 4,
        "flowRecords": {"flows": [{"aclID": "a", "flowGroups": groups}]},
    }


@pytest.mark.parametrize("beside", [[], [GOOD], [7], [GOOD, "x", GOOD]])
def test_what_is_bad_is_bad_whatever_the_rules(beside: list[Any]) -> None:
    """Nothing that cannot be read is taken for something that nobody wants."""
    entry = entry_of(*beside, BAD, GOOD.replace(",443,", ",80,"))
    without = normalize(entry, PREFIX)
    drops = tuple_filters(KeepDrop.parse("", "dst_port=443"))
    made = normalize(entry, PREFIX, drops)
    assert made.bad == without.bad
    assert len(made.bad) == 1 + sum(one != GOOD for one in beside)
    assert made.dropped == [at for at, one in enumerate(beside) if one == GOOD]
    assert [*made.lines] == [without.lines[len(without.lines) - 1]]


def test_a_bad_tuple_is_bad_where_all_would_be_dropped() -> None:
    entry = entry_of(GOOD, BAD)
    made = normalize(entry, PREFIX, tuple_filters(KeepDrop.parse("", "dst_port=443")))
    assert (made.bad, made.dropped, [*made.lines]) == (normalize(entry, PREFIX).bad, [0], [])
    assert [one.index for one in made.bad] == [1]


def test_what_is_remembered_of_groups_is_bounded() -> None:
    drops = tuple_filters(KeepDrop.parse("", "rule=r1*,dst_port=443"))
    for number in range(5000):
        made = normalize(entry_of(GOOD, rule=f"r{number}"), PREFIX, drops)
        assert len(made.dropped) == str(number).startswith("1")
    known = drops[4]._known
    assert 0 < len(known) <= 4096
    normalize(entry_of(GOOD, rule="r" * 3000), PREFIX, drops)
    assert not any(len(str(key)) > 2048 for key in known)
