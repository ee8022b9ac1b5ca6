"""Traffic summaries for a dashboard: who talked to whom, by which rule, allowed or denied.

The number of rows is limited. If there are too many, the smallest are folded into coarser rows,
which have fewer details and the same totals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, zip_longest
from operator import add
from typing import Any, NamedTuple

import orjson

from flowlog_core.parsing.record import COUNTERS

MAX_ROWS_SENT = 1_000
"""Rows in one upload."""
MAX_ROWS_HELD = 4_000
"""Rows in memory; when there are more, they are folded to half of that."""
_READ_AT_ONCE = 256  # records; few compared with the rows in memory
_MAX_CHARACTERS = 512  # of a name or an id; Azure allows some hundred

# A flow that continues has many records; it is counted where it begins. NSG version 1 has no states
# and one record for each flow. A denied flow has `deny` (VNet) or `begin` (NSG version 2).
_BEGINNINGS = ("begin", "deny", None)

Row = dict[str, str | int | None]
"""A row of the workspace's table, with values that JSON has."""


class Key(NamedTuple):
    """What is added up together. A folded row has None in the fields that it lost."""

    minute: str
    """The minute of the tuple's own time, RFC 3339 UTC; a folded row may have the hour's first."""
    logged_resource_id: str | None
    """For VNet logs the network, subnet or interface; for NSG logs the group. As written."""
    rule: str | None
    direction: str
    action: str
    src_ip: str | None
    dst_ip: str | None
    dst_port: int | None
    protocol: str | None


MEASURES = ("records", "flows", *COUNTERS)
"""What is added up: flow records, flows that began, and the records' counters (null counts 0)."""
_MAX_LONG = 2**63 - 1  # of the table's columns; a single counter can be that large


class Traffic:
    """Sums by `Key`, at most `max_rows` of them. Not thread-safe.

    Totals by direction and action are exact, in whatever order rows are added, merged and folded.
    Totals by minute, resource and rule are exact too, unless these alone need more than `max_rows`
    rows (see `fold`).
    """

    def __init__(self, max_rows: int = MAX_ROWS_HELD) -> None:
        self._max_rows = max_rows
        self._sums: dict[Key, list[int]] = {}

    @classmethod
    def of_rows(cls, rows: Iterable[Row]) -> Traffic:
        """The inverse of `rows`."""
        traffic = cls()
        for row in rows:
            key = Key(*(row[name] for name in Key._fields))  # type: ignore[arg-type]  # as in `rows`
            traffic._put(key, [int(row[name] or 0) for name in MEASURES])
        return traffic

    def add(self, lines: Sequence[str]) -> None:
        """Count finished flow records."""
        for start in range(0, len(lines), _READ_AT_ONCE):
            for record in orjson.loads(f"[{','.join(lines[start : start + _READ_AT_ONCE])}]"):
                self._count(record)
            self._keep_within_bounds()

    def _count(self, record: dict[str, Any]) -> None:
        key = Key(
            f"{record['time'][:16]}:00Z",
            _brief(record["target_resource_id"] or record["resource_id"]),
            _brief(record["rule"]),
            record["direction"],
            record["action"],
            record["src_ip"],
            record["dst_ip"],
            record["dst_port"],
            record["protocol"],
        )
        began = record["state"] in _BEGINNINGS
        self._put(key, [1, began, *(record[name] or 0 for name in COUNTERS)])

    def merge(self, other: Traffic) -> None:
        """Add the sums of `other`, which stays unchanged."""
        for key, sums in other._sums.items():
            self._put(key, sums.copy())
        self._keep_within_bounds()

    def rows(self) -> list[Row]:
        """The sums as rows. `TimeGenerated`, which the workspace requires, is the minute."""
        return [
            {
                "TimeGenerated": key.minute,
                **key._asdict(),
                **{name: min(sum_, _MAX_LONG) for name, sum_ in zip(MEASURES, sums, strict=True)},
            }
            for key, sums in self._sums.items()
        ]

    def fold(self, max_rows: int) -> None:
        """Make the smallest rows coarser until at most `max_rows` (4 or more) are left.

        Rows first lose addresses, port and protocol. If that is not enough, they are merged into
        their hour, then lose resource and rule, then count towards the newest time.
        """
        for coarser in (_without_ends, _of_the_hour, _without_rule, self._of_the_newest()):
            for key in self._smallest_first():
                if len(self._sums) <= max_rows:
                    return
                if (coarse := coarser(key)) != key:
                    self._put(coarse, self._sums.pop(key))

    def _put(self, key: Key, sums: list[int]) -> None:
        known = self._sums.get(key)
        self._sums[key] = sums if known is None else list(map(add, known, sums))

    def _keep_within_bounds(self) -> None:
        if len(self._sums) > self._max_rows:
            self.fold(self._max_rows // 2)

    def _smallest_first(self) -> Iterator[Key]:
        """In turn an allowed row, by bytes, and a denied row, by flows, as it has no bytes."""
        largest_first: dict[bool, list[Key]] = {True: [], False: []}
        for key in sorted(self._sums, key=self._size, reverse=True):
            largest_first[key.action == "deny"].append(key)
        in_turns = [one for one in chain(*zip_longest(*largest_first.values())) if one is not None]
        return reversed(in_turns)

    def _size(self, key: Key) -> tuple[int, int, int]:
        records, flows, _, bytes_out, _, bytes_back = self._sums[key]
        return bytes_out + bytes_back, flows, records

    def _of_the_newest(self) -> Callable[[Key], Key]:
        newest = max((key.minute for key in self._sums), default="")
        return lambda key: _without_rule(key)._replace(minute=newest)


def _brief(name: str | None) -> str | None:
    return name and name[:_MAX_CHARACTERS]


def _without_ends(key: Key) -> Key:
    return key._replace(src_ip=None, dst_ip=None, dst_port=None, protocol=None)


def _of_the_hour(key: Key) -> Key:
    return _without_ends(key)._replace(minute=f"{key.minute[:13]}:00:00Z")


def _without_rule(key: Key) -> Key:
    return _of_the_hour(key)._replace(logged_resource_id=None, rule=None)
