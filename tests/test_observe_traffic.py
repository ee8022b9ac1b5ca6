"""Sums of flow records: what counts as what, and that nothing gets lost however they are folded."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlog_core.observe.traffic import MAX_ROWS_HELD, MEASURES, Key, Row, Traffic
from flowlog_core.parsing.entry import normalize
from flowlog_core.parsing.record import COUNTERS, FIELDS
from flowlog_core.testing.generate import FlowLogGenerator, Format, Interface

HOUR = datetime(2026, 1, 31, 9, tzinfo=UTC)
RECORD: dict[str, Any] = {
    "id": "a.0.12.0",
    "time": "2026-01-31T09:07:59.999Z",
    "log_time": "2026-01-31T09:08:00.1234567Z",
    "category": "FlowLogFlowEvent",
    "version": 4,
    "resource_id": "/SUBSCRIPTIONS/S/…/FLOWLOGS/NET",
    "target_resource_id": "/subscriptions/s/…/virtualNetworks/net",
    "mac": "6045BDEC2532",
    "rule": "DefaultRule_AllowInternetOutBound",
    "acl_id": "unspecified",
    "src_ip": "10.1.0.4",
    "src_port": 35620,
    "dst_ip": "20.98.192.237",
    "dst_port": 443,
    "protocol": "tcp",
    "protocol_number": 6,
    "direction": "outbound",
    "action": "allow",
    "state": "begin",
    "encryption": "NX",
    "packets_src_to_dst": 0,
    "bytes_src_to_dst": 0,
    "packets_dst_to_src": 0,
    "bytes_dst_to_src": 0,
}
COUNTED = {
    "packets_src_to_dst": 1,
    "bytes_src_to_dst": 20,
    "packets_dst_to_src": 300,
    "bytes_dst_to_src": 4000,
}
NOT_COUNTED: dict[str, Any] = dict.fromkeys(COUNTERS)


def line(**changed: Any) -> str:
    assert tuple(RECORD) == FIELDS
    return orjson.dumps({**RECORD, **changed}).decode()


def traffic_of(*lines: str) -> Traffic:
    traffic = Traffic()
    traffic.add(lines)
    return traffic


def only(*lines: str) -> Row:
    (row,) = traffic_of(*lines).rows()
    return row


def test_a_flow_that_is_told_of_three_times_is_one_flow_of_three_records() -> None:
    ongoing = [line(state=state, **COUNTED) for state in ("continue", "end")]
    assert only(line(), *ongoing) == {
        "TimeGenerated": "2026-01-31T09:07:00Z",
        "minute": "2026-01-31T09:07:00Z",
        "logged_resource_id": "/subscriptions/s/…/virtualNetworks/net",
        "rule": "DefaultRule_AllowInternetOutBound",
        "direction": "outbound",
        "action": "allow",
        "src_ip": "10.1.0.4",
        "dst_ip": "20.98.192.237",
        "dst_port": 443,
        "protocol": "tcp",
        "records": 3,
        "flows": 1,
        "packets_src_to_dst": 2,
        "bytes_src_to_dst": 40,
        "packets_dst_to_src": 600,
        "bytes_dst_to_src": 8000,
    }


@pytest.mark.parametrize(
    ("record", "flows"),
    [
        (line(version=1, state=None, **NOT_COUNTED), 1),
        (line(version=2, state="begin", action="deny", **NOT_COUNTED), 1),
        (line(state="deny", action="deny"), 1),
        (line(state="continue", **COUNTED), 0),
        (line(state="end", **COUNTED), 0),
    ],
    ids=["nsg1", "nsg2 denied", "vnet denied", "goes on", "ends"],
)
def test_a_flow_counts_where_it_begins(record: str, flows: int) -> None:
    assert (only(record)["records"], only(record)["flows"]) == (1, flows)


def test_counters_that_a_tuple_leaves_empty_count_nothing() -> None:
    assert [only(line(**NOT_COUNTED))[name] for name in COUNTERS] == [0, 0, 0, 0]


def test_of_nsg_logs_the_group_is_what_is_logged() -> None:
    assert only(line(target_resource_id=None))["logged_resource_id"] == RECORD["resource_id"]


@pytest.mark.parametrize(
    "changed",
    [
        {"time": "2026-01-31T09:08:00.000Z"},
        {"target_resource_id": "another"},
        {"rule": "another"},
        {"direction": "inbound"},
        {"action": "deny"},
        {"src_ip": "10.1.0.5"},
        {"dst_ip": "10.1.0.5"},
        {"dst_port": 444},
        {"protocol": "udp"},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_what_differs_is_summed_up_apart(changed: dict[str, Any]) -> None:
    assert len(traffic_of(line(), line(**changed)).rows()) == 2


def test_source_ports_do_not_tell_flows_apart() -> None:
    """Every connection has another; nobody asks for the top talkers among them."""
    assert only(line(), line(src_port=1))["records"] == 2


def test_no_number_is_more_than_the_table_can_hold() -> None:
    most = line(bytes_src_to_dst=2**63 - 1)
    assert only(most, most)["bytes_src_to_dst"] == 2**63 - 1


def test_no_name_is_longer_than_azure_lets_names_be() -> None:
    row = only(line(rule="r" * 100_000, target_resource_id="t" * 100_000))
    assert (row["rule"], row["logged_resource_id"]) == ("r" * 512, "t" * 512)


@pytest.mark.parametrize("form", ["nsg1", "nsg2", "vnet4"])
def test_every_format_can_be_summed_up(form: Format) -> None:
    interface = Interface.vnet() if form == "vnet4" else Interface.nsg()
    entry = FlowLogGenerator(1).entry(form, interface, HOUR, 50)
    lines = normalize(orjson.loads(entry.raw), "a.0.12.").lines
    rows = traffic_of(*lines).rows()
    expected = [sum(record[name] or 0 for record in map(orjson.loads, lines)) for name in COUNTERS]
    assert total(rows, "records") == 50
    assert [total(rows, name) for name in COUNTERS] == expected


def total(rows: Iterable[Row], name: str) -> int:
    return sum(int(row[name] or 0) for row in rows)


def totals(rows: Iterable[Row], by: Callable[[Row], Hashable]) -> dict[Hashable, tuple[int, ...]]:
    """All measures, summed up by the value of `by` for a row."""
    found: dict[Hashable, tuple[int, ...]] = defaultdict(lambda: (0,) * len(MEASURES))
    for row in rows:
        sums = zip(found[by(row)], MEASURES, strict=True)
        found[by(row)] = tuple(known + int(row[name] or 0) for known, name in sums)
    return dict(found)


def by_decision(row: Row) -> Hashable:
    return row["direction"], row["action"]


def by_hour(row: Row) -> Hashable:
    return by_decision(row), str(row["minute"])[:13]


def by_rule(row: Row) -> Hashable:
    return by_hour(row), row["rule"], row["logged_resource_id"]


def by_minute(row: Row) -> Hashable:
    return by_rule(row), row["minute"]


LINES = st.builds(
    line,
    time=st.builds("2026-01-31T{:02}:{:02}:01.000Z".format, st.integers(0, 3), st.integers(0, 3)),
    target_resource_id=st.sampled_from([None, "net1", "net2"]),
    rule=st.sampled_from(["a", "b"]),
    direction=st.sampled_from(["inbound", "outbound"]),
    action=st.sampled_from(["allow", "deny"]),
    state=st.sampled_from([None, "begin", "continue", "end", "deny"]),
    src_ip=st.integers(0, 9).map("10.0.0.{}".format),
    dst_port=st.sampled_from([53, 443]),
    bytes_src_to_dst=st.none() | st.integers(0, 2**40),
    packets_src_to_dst=st.none() | st.integers(0, 2**40),
)
MANY = st.lists(LINES, max_size=60)


@given(MANY, st.integers(4, 60))
def test_folding_leaves_few_rows_with_the_same_totals(lines: list[str], max_rows: int) -> None:
    """However few rows may be left, totals are exact by all that these rows can tell apart."""
    traffic = traffic_of(*lines)
    before = traffic.rows()
    traffic.fold(max_rows)
    after = traffic.rows()
    assert len(after) <= max_rows
    assert totals(after, by_decision) == totals(before, by_decision)
    for by in (by_hour, by_rule, by_minute):
        # So many rows are enough to tell these apart, with all else left out.
        if len(totals(before, by)) <= max_rows:
            assert totals(after, by) == totals(before, by)
        else:
            break
    if len(before) <= max_rows:
        assert after == before


@given(MANY, MANY, MANY)
def test_sums_are_the_same_in_whatever_order_they_are_merged(
    a: list[str], b: list[str], c: list[str]
) -> None:
    """Of fewer rows than are held, so that none is folded."""
    expected = as_set(traffic_of(*a, *b, *c))
    for first, second, third in itertools.permutations((a, b, c)):
        left, inner = traffic_of(*first), traffic_of(*second)
        inner.merge(traffic_of(*third))
        left.merge(inner)
        assert as_set(left) == expected
        assert as_set(inner) == as_set(traffic_of(*second, *third))  # it was left as it is


def as_set(traffic: Traffic) -> set[tuple[object, ...]]:
    return {tuple(row.values()) for row in traffic.rows()}


@given(MANY, st.integers(4, 60))
def test_what_was_made_rows_can_be_taken_back(lines: list[str], max_rows: int) -> None:
    traffic = traffic_of(*lines)
    traffic.fold(max_rows)
    assert Traffic.of_rows(traffic.rows()).rows() == traffic.rows()


@given(MANY, MANY)
def test_memory_is_bounded_and_totals_stay(a: list[str], b: list[str]) -> None:
    both = Traffic(max_rows=8)
    both.add(a)
    both.merge(traffic_of(*b))
    assert len(both.rows()) <= 8
    assert totals(both.rows(), by_decision) == totals(traffic_of(*a, *b).rows(), by_decision)


def test_the_largest_keep_their_names() -> None:
    """Allowed by bytes, denied by how often, as these have no bytes; both have their share."""
    lines = [
        line(src_ip=f"10.0.0.{host}", state="continue", bytes_dst_to_src=host * 1000)
        for host in range(100)
    ]
    for host in range(100):
        lines += [line(src_ip=f"10.1.0.{host}", action="deny", state="deny", rule="no")] * host
    traffic = traffic_of(*lines)
    traffic.fold(12)
    named = {row["src_ip"] for row in traffic.rows()}
    assert named == {None} | {f"10.{net}.0.{host}" for net in (0, 1) for host in range(95, 100)}


def test_addresses_go_first_then_minutes_then_rules() -> None:
    lines = [
        line(src_ip=f"10.0.0.{host}", time=f"2026-01-31T09:{minute:02}:01.000Z", rule=rule)
        for host in range(3)
        for minute in (1, 2, 3, 4)
        for rule in ("a", "b", "c", "d", "e")
    ]
    told = {}
    for max_rows in (60, 20, 5, 4):
        traffic = traffic_of(*lines)
        traffic.fold(max_rows)
        columns = ("src_ip", "minute", "rule")
        rows = traffic.rows()
        told[max_rows] = [len({row[name] for row in rows}) for name in columns]
    assert told == {60: [3, 4, 5], 20: [1, 4, 5], 5: [1, 1, 5], 4: [1, 1, 4]}


def test_a_flood_of_addresses_stays_within_the_bound() -> None:
    """As a scan of a network is, in one entry of a log."""
    traffic = Traffic()
    ends = (f"10.0.{n >> 8}.{n & 255}" for n in range(MAX_ROWS_HELD + 1))
    traffic.add([line(dst_ip=end, state="deny") for end in ends])
    rows = traffic.rows()
    assert len(rows) <= MAX_ROWS_HELD
    assert total(rows, "flows") == MAX_ROWS_HELD + 1


def test_the_key_is_of_fields_of_the_record_but_for_two() -> None:
    assert set(Key._fields) - {*FIELDS} == {"minute", "logged_resource_id"}
