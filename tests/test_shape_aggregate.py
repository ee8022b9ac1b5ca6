from __future__ import annotations

from collections import Counter
from typing import Any

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

from flowlog_core.parsing.record import COUNTERS, FIELDS
from flowlog_core.shape.aggregate import AGGREGATE_FIELDS, aggregate, written

FLOW = [name for name in FIELDS if name not in ("id", "time", "state", *COUNTERS)]
ID = "0123456789abcdef01234567.0.12."


def entry(*tuples: str) -> Any:
    groups = [{"rule": "r", "flowTuples": list(tuples)}]
    return {
        "category": "FlowLogFlowEvent",
        "flowLogVersion": 4,
        "flowRecords": {"flows": [{"aclID": "a", "flowGroups": groups}]},
    }


def flow_of(record: Record) -> tuple[Any, ...]:
    return tuple(record[name] for name in FLOW)


def test_one_record_stands_for_the_tuples_of_a_flow() -> None:
    first, other, second, third = records_of(
        entry(
            "1735636262000,10.1.0.4,20.0.0.1,5000,443,6,O,B,NX,,,,",
            "1735636261000,10.1.0.4,20.0.0.2,5000,443,6,O,E,NX,1,2,3,4",
            "1735636260000,10.1.0.4,20.0.0.1,5000,443,6,O,C,NX,10,200,,0",
            "1735636263000,10.1.0.4,20.0.0.1,5000,443,6,O,E,NX,1,50,,7",
        )
    )
    assert sums_of([first, other, second, third]) == [
        {
            **first,
            "id": f"{ID}0.agg",
            "time": "2024-12-31T09:11:00.000Z",
            "last_time": "2024-12-31T09:11:03.000Z",
            "tuples": 3,
            "state": None,
            "packets_src_to_dst": 11,
            "bytes_src_to_dst": 250,
            "packets_dst_to_src": None,
            "bytes_dst_to_src": 7,
        },
        {**other, "id": f"{ID}1.agg", "last_time": other["time"], "tuples": 1},
    ]


def test_a_state_that_all_share_stays() -> None:
    text = "1735636262000,10.1.0.4,20.0.0.1,5000,443,6,I,D,NX,0,0,0,0"
    (made,) = sums_of(records_of(entry(text, text)))
    assert (made["state"], made["tuples"], made["bytes_src_to_dst"]) == ("deny", 2, 0)


def test_a_sum_no_counter_holds_goes_on_in_another_record() -> None:
    text = f"1735636262000,10.1.0.4,20.0.0.1,5000,443,6,O,C,NX,1,{2**62},1,1"
    made = sums_of(records_of(entry(*[text] * 5)))
    assert [one["id"] for one in made] == [f"{ID}{at}.agg" for at in range(5)]
    small = f"1735636262000,10.1.0.4,20.0.0.1,5000,443,6,O,C,NX,1,{2**62 - 1},1,1"
    made = sums_of(records_of(entry(text, small, small, "1735636262000,::1,::2,5,4,6,O,C,NX,,,,")))
    assert [(one["id"], one["bytes_src_to_dst"], one["tuples"]) for one in made] == [
        (f"{ID}0.agg", 2**63 - 1, 2),
        (f"{ID}2.agg", 2**62 - 1, 1),
        (f"{ID}3.agg", None, 1),
    ]


def assert_sums_are_exact(records: list[Record]) -> None:
    sums = aggregate(records)
    made, members = list(written(sums, records)), [one.members for one in sums]
    assert sorted(at for some in members for at in some) == [*range(len(records))]
    for one, some in zip(made, members, strict=True):
        assert some == sorted(some)
        assert one["id"] == records[some[0]]["id"] + ".agg"
        assert one["tuples"] == len(some)
        assert {flow_of(records[at]) for at in some} == {flow_of(one)}
    assert all(tuple(one) == (*FIELDS, *AGGREGATE_FIELDS) for one in made)
    assert sum(one["tuples"] for one in made) == len(records)
    ids = [one["id"] for one in made]
    assert len(set(ids)) == len(ids)
    assert not {*ids} & {record["id"] for record in records}
    assert {one.removesuffix(".agg") for one in ids} <= {record["id"] for record in records}
    for name in COUNTERS:
        expected: Counter[tuple[Any, ...]] = Counter()
        known = set()
        for record in records:
            if record[name] is not None:
                expected[flow_of(record)] += record[name]
                known.add(flow_of(record))
        found: Counter[tuple[Any, ...]] = Counter()
        for one in made:
            assert one[name] is None or 0 <= one[name] <= 2**63 - 1
            found[flow_of(one)] += one[name] or 0
        assert {flow: found[flow] for flow in known} == {flow: expected[flow] for flow in known}
        assert {flow_of(one) for one in made if one[name] is not None} == known
    for one in made:
        assert one["time"] <= one["last_time"]
    assert {one["time"] for one in made} | {one["last_time"] for one in made} <= {
        record["time"] for record in records
    }


def test_sums_of_captures_and_of_made_up_logs_are_exact() -> None:
    fewer = 0
    for one in (*sample_entries(), *generated_entries()):
        records = records_of(one)
        assert_sums_are_exact(records)
        fewer += len(records) - len(sums_of(records))
    assert fewer > 50


@given(hostile_entries(max_tuples=6), st.data())
def test_sums_are_exact_whatever_the_entry_holds(made: Any, data: st.DataObject) -> None:
    records = records_of(made)
    # As generated, hardly two tuples are of one flow: some become so.
    alike = {name: records[0][name] for name in FLOW}
    picked = data.draw(st.sets(st.sampled_from(range(len(records)))))
    mixed = [one | alike if at in picked else one for at, one in enumerate(records)]
    assert_sums_are_exact(mixed)


def test_the_records_that_were_summed_stay_as_they_are() -> None:
    records = records_of(next(generated_entries()))
    before = [dict(record) for record in records]
    assert sums_of(records)
    assert records == before
    assert sums_of([]) == []
