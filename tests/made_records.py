"""Flow records for tests of code that uses records: from samples, generated, and hostile.

This is the only place in these tests that knows how an entry becomes records.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import strategies as st

from flowlog_core.parsing.entry import normalize
from flowlog_core.shape.aggregate import aggregate, written
from flowlog_core.testing.generate import FlowLogGenerator, Format, Interface

Record = dict[str, Any]

PREFIX = "0123456789abcdef01234567.0.12."
SAMPLES = Path(__file__).resolve().parents[2] / "shared/samples"
FORMATS: tuple[Format, ...] = ("nsg1", "nsg2", "vnet4")


def records_of(entry: Any, prefix: str = PREFIX) -> list[Record]:
    """The records of an entry without faults."""
    made = normalize(entry, prefix)
    assert made.bad == []
    return [orjson.loads(line) for line in made.lines]


def sums_of(records: list[Record]) -> list[Record]:
    """The sums of their flows."""
    return list(written(aggregate(records), records))


def sample_entries() -> list[Any]:
    """Every entry of the captures."""
    if not SAMPLES.is_dir():
        pytest.skip(f"there are no captures in {SAMPLES}")
    files = sorted(SAMPLES.glob("*.json"))
    return [entry for file in files for entry in json.loads(file.read_bytes())["records"]]


def generated_entries(entries_each: int = 2, tuples: int = 40) -> Iterator[Any]:
    """Made-up entries of each format, as Azure writes them."""
    for form in FORMATS:
        interface = Interface.vnet() if form == "vnet4" else Interface.nsg()
        minutes = FlowLogGenerator(7).minutes(
            form, interface, datetime(2026, 1, 1, 7, tzinfo=UTC), tuples=tuples
        )
        for _ in range(entries_each):
            for entry in next(minutes):
                yield json.loads(entry.raw)


def known_records() -> list[Record]:
    """Every record of captures and of made-up logs."""
    return [one for entry in (*sample_entries(), *generated_entries()) for one in records_of(entry)]


_TEXTS = st.none() | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=40
)  # JSON holds no half of a surrogate pair
_NAMES = st.none() | st.sampled_from(
    [
        "",
        "000D3AF87856",
        "00-0d-3a-f8-78-56",
        "2024-12-31T09:11:37.7568150Z",
        "2024-02-30T00:00:00Z",
        "9999-12-31T23:59:59.999999999-23:59",
        "0001-01-01T00:00:00+23:59",
        "/SUBSCRIPTIONS/S/RESOURCEGROUPS/G",
        "/subscriptions/",
        "x" * 2000,
    ]
)
_ADDRESSES = st.ip_addresses().map(str) | st.sampled_from(
    [
        "10.0.0.1",
        "172.31.255.255",
        "::",
        "::1",
        "::ffff:10.0.0.1",
        "FE80::ABCD",
        "2001:db8::1.2.3.4",
    ]
)
_COUNTERS = st.just("") | st.sampled_from(["0", "1", str(2**62), str(2**63 - 1)])
_TIMES = st.sampled_from(["0", "1", "99999999999", "1735636259007", "253402300799999"])
_PORTS = st.integers(0, 65535).map(str)


@st.composite
def hostile_entries(draw: st.DrawFn, max_tuples: int = 1) -> Any:
    """Entries that are valid, and as odd as valid ones can be."""
    form = draw(st.sampled_from(FORMATS))
    count = draw(st.integers(1, max_tuples))
    tuples = [draw(_tuples(form)) for _ in range(count)]
    texts = _NAMES | _TEXTS
    entry: dict[str, Any] = {"time": draw(texts), "macAddress": draw(texts)}
    if form == "vnet4":
        groups = [{"rule": draw(texts), "flowTuples": tuples}]
        flows = [{"aclID": draw(texts), "flowGroups": groups}]
        return entry | {
            "category": "FlowLogFlowEvent",
            "flowLogResourceID": draw(texts),
            "targetResourceID": draw(texts),
            "flowLogVersion": 4,
            "flowRecords": {"flows": flows},
        }
    inner = [{"mac": draw(texts), "flowTuples": tuples}]
    return entry | {
        "category": "NetworkSecurityGroupFlowEvent",
        "resourceId": draw(texts),
        "properties": {
            "Version": int(form[-1]),
            "flows": [{"rule": draw(texts), "flows": inner}],
        },
    }


def _tuples(form: Format) -> st.SearchStrategy[str]:
    start = (_TIMES, _ADDRESSES, _ADDRESSES, _PORTS, _PORTS)
    fields: tuple[st.SearchStrategy[str], ...]
    direction = st.sampled_from("IO")
    counters = (_COUNTERS,) * 4
    if form == "vnet4":
        number = st.integers(0, 255).map(str)
        encryption = st.sampled_from(["", "X", "NX", 'new "one"'])
        fields = (*start, number, direction, st.sampled_from("BCED"), encryption, *counters)
    else:
        fields = (*start, st.sampled_from("TU"), direction, st.sampled_from("AD"))
        if form == "nsg2":
            fields = (*fields, st.sampled_from("BCE"), *counters)
    return st.tuples(*fields).map(",".join)


def hostile_records() -> st.SearchStrategy[Record]:
    """One record of an odd entry."""
    return hostile_entries().map(lambda entry: records_of(entry)[0])
