"""One record for all tuples of one flow in one entry, its counters summed exactly.

Tuples belong to one flow if they agree in every field but `id`, `time`, `state` and the counters.
The record has the fields of the first tuple, except

- `id`: that of the first tuple, followed by `.agg`, so that it never equals a tuple's own id;
- `time` and `last_time`: the earliest and the latest time of the tuples;
- `state`: their state if it is the same in all, otherwise null;
- the counters: the sums of the values that are not null; null if all are null;
- `tuples`: the number of tuples.

If a sum exceeds what a record's counter can hold (2**63 - 1), the rest of the flow is in another
record, whose id is made from its own first tuple. So sums are always exact, and ids unique.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from flowlog_core.parsing.record import COUNTERS, FIELDS, SUM_SUFFIX

AGGREGATE_FIELDS = ("last_time", "tuples")
"""The fields that a sum has in addition to those of every record."""

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
    """Add a record to a sum. Returns False, and changes nothing, if a counter would overflow."""
    counters = {}
    for name in COUNTERS:
        one, other = known[name], record[name]
        counters[name] = total = one if other is None else (one or 0) + other
        if total is not None and total > _MAX_COUNTER:
            return False
    known.update(counters)
    # Times have one form, so their texts compare as the times do.
    known["time"] = min(known["time"], record["time"])
    known["last_time"] = max(known["last_time"], record["time"])
    if known["state"] != record["state"]:
        known["state"] = None
    known["tuples"] += 1
    return True
