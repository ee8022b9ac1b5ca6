"""Rules over columns give the answers that they give for each record."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_records import generated_entries, records_of
from made_rules import term_texts
from reference_rules import matches

from flowlog_core.analyze.columns import table_of
from flowlog_core.analyze.where import mask, matching
from flowlog_core.parsing.record import FIELDS
from flowlog_core.shape.rules import parse

RECORDS = [one for entry in generated_entries(3, 12) for one in records_of(entry)]
LARGEST = 2**63 - 1
RECORDS += [
    RECORDS[0] | dict.fromkeys(FIELDS[-4:], LARGEST),
    RECORDS[0] | dict.fromkeys(FIELDS[-4:], None) | {"bytes_dst_to_src": 7},
    RECORDS[0] | dict.fromkeys(("rule", "mac", "acl_id", "log_time", "encryption", "state")),
]
TABLE = table_of(RECORDS, FIELDS)


@given(st.lists(st.lists(term_texts(), min_size=1, max_size=3), min_size=1, max_size=3))
def test_columns_match_as_the_language_says(rules: list[list[str]]) -> None:
    text = "; ".join(",".join(terms) for terms in rules)
    expected = [matches(text, record) for record in RECORDS]
    assert mask(TABLE, parse(text)).to_pylist() == expected


@pytest.mark.parametrize(
    "text",
    [
        f"bytes>={2 * LARGEST}",
        f"bytes={LARGEST}",
        "bytes=7",
        "bytes!=*",
        "packets!=0",
        "time<2026-01-01T07:00",
        "time>=2026-01-01T06:59:30",
        "ip=10.0.0.0/8,port!=443",
        "rule!=*",
        "mac=*; encryption=NX*",
        "id=*.0.12.3",
        "version=1,2",
    ],
)
def test_sums_times_and_nulls_are_as_in_records(text: str) -> None:
    expected = [matches(text, record) for record in RECORDS]
    assert mask(TABLE, parse(text)).to_pylist() == expected


def test_all_of_several_rules_must_match() -> None:
    first, other = "action=deny", "version=4"
    found = matching(TABLE, [parse(first), parse(other)]).column("id").to_pylist()
    assert found == [r["id"] for r in RECORDS if matches(first, r) and matches(other, r)]
    assert found
