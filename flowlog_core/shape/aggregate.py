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

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import orjson

from flowlog_core.parsing.record import COUNTERS, FIELDS, SUM_SUFFIX

AGGREGATE_FIELDS = ("last_time", "tuples")
"""The fields that a sum has in addition to those of every record."""

_MAX_COUNTER = 2**63 - 1
_OF_ONE_TUPLE = frozenset(("id", "time", "state", *COUNTERS))
_OF_THE_FLOW = tuple(name for name in FIELDS if name not in _OF_ONE_TUPLE)


@dataclass(slots=True)
class Sum:
    """The sum of a flow: what has to be known of it until its record is written.

    An entry may have 100,000 flows, and records are many times as large.
    """

    members: list[int]
    """The indexes of the records that it sums, in ascending order."""
    counters: list[int | None]
    time: str
    last_time: str
    state: str | None

    def add(self, at: int, record: Mapping[str, Any]) -> bool:
        """Add a record. Returns False, and changes nothing, if a counter would overflow."""
        counters = [
            one if other is None else (one or 0) + other
            for one, other in zip(self.counters, map(record.get, COUNTERS), strict=True)
        ]
        if any(total is not None and total > _MAX_COUNTER for total in counters):
            return False
        self.members.append(at)
        self.counters = counters
        # Times have one form, so their texts compare as the times do.
        self.time = min(self.time, record["time"])
        self.last_time = max(self.last_time, record["time"])
        if self.state != record["state"]:
            self.state = None
        return True


def aggregate(records: Iterable[Mapping[str, Any]]) -> list[Sum]:
    """The sums of one entry's records, in the order of their first tuples.

    The records are whole, with every field.
    """
    sums: list[Sum] = []
    open_sums: dict[bytes, Sum] = {}
    for at, record in enumerate(records):
        flow = blake2b(orjson.dumps([record[name] for name in _OF_THE_FLOW])).digest()
        known = open_sums.get(flow)
        if known is not None and known.add(at, record):
            continue
        counters = [record[name] for name in COUNTERS]
        open_sums[flow] = one = Sum([at], counters, record["time"], record["time"], record["state"])
        sums.append(one)
    return sums


def written(sums: Iterable[Sum], records: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The records of sums, one by one. `records` are those that were summed."""
    numbered = enumerate(records)
    for one in sums:
        record = next(record for at, record in numbered if at == one.members[0])
        yield {
            **record,
            "id": record["id"] + SUM_SUFFIX,
            "time": one.time,
            "state": one.state,
            **dict(zip(COUNTERS, one.counters, strict=True)),
            "last_time": one.last_time,
            "tuples": len(one.members),
        }
