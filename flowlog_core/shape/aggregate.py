"""One record for all tuples of one flow in one entry, its counters summed exactly.

A flow is what agrees in every field but `id`, `time`, `state` and the counters. The record has
those of its first tuple, and

- `id`: the first tuple's with `.agg` behind it, never the id that tuple has alone;
- `time` and `last_time`: the earliest and the latest time of its tuples;
- `state`: theirs if all have the same, else null;
- the counters: sums of what is not null, and null where all are;
- `tuples`: how many it stands for.

Where a sum would come to more than a record's counter holds (2**63 - 1), the flow goes on in
another record, named for the tuple it begins with: sums stay exact, and ids different.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from flowlog_core.parsing.record import COUNTERS, FIELDS, SUM_SUFFIX

AGGREGATE_FIELDS = ("last_time", "tuples")
"""What a sum has behind the fields of every record."""

_MAX_COUNTER = 2**63 - 1
_OF_ONE_TUPLE = frozenset(("id", "time", "state", *COUNTERS))
_OF_THE_FLOW = tuple(name for name in FIELDS if name not in _OF_ONE_TUPLE)


class Sums(NamedTuple):
    """Sums, and what they are of."""

    records: list[dict[str, Any]]
    """In the order of their first tuples."""
    members: list[list[int]]
    """For each, which of the records it stands for, in ascending order."""


def aggregate(records: Iterable[Mapping[str, Any]]) -> Sums:
    """The sums of one entry's records.

    The records are whole, with every field, and all of the same entry.
    """
    sums = Sums([], [])
    open_sums: dict[tuple[Any, ...], int] = {}
    for at, record in enumerate(records):
        flow = tuple(record[name] for name in _OF_THE_FLOW)
        known = open_sums.get(flow)
        if known is not None and _add(sums.records[known], record):
            sums.members[known].append(at)
            continue
        open_sums[flow] = len(sums.records)
        first = {"id": record["id"] + SUM_SUFFIX, "last_time": record["time"], "tuples": 1}
        sums.records.append({**record, **first})
        sums.members.append([at])
    return sums


def _add(known: dict[str, Any], record: Mapping[str, Any]) -> bool:
    """Add a record to a sum; False, and nothing changed, where a counter would not hold it."""
    counters = {}
    for name in COUNTERS:
        one, other = known[name], record[name]
        counters[name] = total = one if other is None else (one or 0) + other
        if total is not None and total > _MAX_COUNTER:
            return False
    known.update(counters)
    # Times of one form compare as their texts do.
    known["time"] = min(known["time"], record["time"])
    known["last_time"] = max(known["last_time"], record["time"])
    if known["state"] != record["state"]:
        known["state"] = None
    known["tuples"] += 1
    return True
