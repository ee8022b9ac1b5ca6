"""What flowed, summed up for a dashboard: who with whom, by which rule, allowed or denied.

Rows are few however much flows. Where there are too many, the smallest are folded into coarser
ones, which name less and add up to the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, zip_longest
from operator import add
from typing import Any, NamedTuple

import orjson

from flowlog_core.parsing.record import COUNTERS, Lines

MOST_SENT = 1_000
"""Rows that one sending carries."""
MOST_HELD = 4_000
"""Rows that are held in memory; when there are more, they are folded to half of that."""
_READ_AT_ONCE = 256  # records, which are few beside the rows that are held
_MOST_CHARACTERS = 512  # of a name or an id, which Azure lets have some hundred

# A flow that goes on is told of again and again; it is counted where it begins. NSG version 1 knows
# no states and tells of a flow once. Denied is told as `deny` (VNet) or `begin` (NSG version 2).
_BEGINNINGS = ("begin", "deny", None)

Row = dict[str, str | int | None]
"""A row of the workspace's table, ready to be written as JSON."""


class Key(NamedTuple):
    """What is summed up together. None where a row was folded."""

    minute: str
    """That the tuple's own time is in, RFC 3339 UTC; of folded rows perhaps the hour's first."""
    logged_resource_id: str | None
    """Of VNet logs the network, subnet or interface; of NSG logs the group. As written."""
    rule: str | None
    direction: str
    action: str
    src_ip: str | None
    dst_ip: str | None
    dst_port: int | None
    protocol: str | None


MEASURES = ("records", "flows", *COUNTERS)
"""What is summed up: flow records, flows that began, and the records' counters (null counts 0)."""
_MOST = 2**63 - 1  # of the table's numbers; a single counter may be as much


class Traffic:
    """Sums by `Key`, at most `most_rows` of them. Not for several threads at the same time.

    However rows are added, merged and folded, and in whatever order: the sums over all rows with
    the same direction and action are exact. So are those by minute, resource and rule, unless
    these alone are too many for the rows there may be (see `fold`).
    """

    def __init__(self, most_rows: int = MOST_HELD) -> None:
        self._most_rows = most_rows
        self._sums: dict[Key, list[int]] = {}

    @classmethod
    def of_rows(cls, rows: Iterable[Row]) -> Traffic:
        """What `rows` gave, taken back."""
        traffic = cls()
        for row in rows:
            key = Key(*(row[name] for name in Key._fields))  # type: ignore[arg-type]  # as in `rows`
            traffic._put(key, [int(row[name] or 0) for name in MEASURES])
        return traffic

    def add(self, lines: Lines) -> None:
        """Count finished flow records."""
        for start in range(0, len(lines), _READ_AT_ONCE):
            run = range(start, min(start + _READ_AT_ONCE, len(lines)))
            for record in orjson.loads(b"".join((b"[", lines.joined(run), b"]"))):
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
        sums = self._sums.get(key)
        if sums is None:
            sums = self._sums[key] = [0] * len(MEASURES)
        sums[0] += 1
        sums[1] += record["state"] in _BEGINNINGS
        for at, name in enumerate(COUNTERS, start=2):
            if count := record[name]:
                sums[at] += count

    def merge(self, other: Traffic) -> None:
        """Count what `other` counted; it stays as it is."""
        for key, sums in other._sums.items():
            self._put(key, sums.copy())
        self._keep_within_bounds()

    def rows(self) -> list[Row]:
        """The sums as rows, with the minute as the `TimeGenerated` that the workspace asks for."""
        return [
            {
                "TimeGenerated": key.minute,
                **key._asdict(),
                **{name: min(sum_, _MOST) for name, sum_ in zip(MEASURES, sums, strict=True)},
            }
            for key, sums in self._sums.items()
        ]

    def fold(self, most_rows: int) -> None:
        """Make the least of the rows coarser, until there are at most `most_rows`, 4 or more.

        First they lose addresses, port and protocol. Only if that is not enough, they are put
        into their hour; then they lose resource and rule; then they count to the newest time.
        """
        for coarser in (_without_ends, _of_the_hour, _without_rule, self._of_the_newest()):
            for key in self._least_first():
                if len(self._sums) <= most_rows:
                    return
                if (coarse := coarser(key)) != key:
                    self._put(coarse, self._sums.pop(key))

    def _put(self, key: Key, sums: list[int]) -> None:
        known = self._sums.get(key)
        self._sums[key] = sums if known is None else list(map(add, known, sums))

    def _keep_within_bounds(self) -> None:
        if len(self._sums) > self._most_rows:
            self.fold(self._most_rows // 2)

    def _least_first(self) -> Iterator[Key]:
        """Allowed by bytes and denied by flows, in turns: what is denied has no bytes to show."""
        most_first: dict[bool, list[Key]] = {True: [], False: []}
        for key in sorted(self._sums, key=self._size, reverse=True):
            most_first[key.action == "deny"].append(key)
        in_turns = [one for one in chain(*zip_longest(*most_first.values())) if one is not None]
        return reversed(in_turns)

    def _size(self, key: Key) -> tuple[int, int, int]:
        records, flows, _, bytes_out, _, bytes_back = self._sums[key]
        return bytes_out + bytes_back, flows, records

    def _of_the_newest(self) -> Callable[[Key], Key]:
        newest = max((key.minute for key in self._sums), default="")
        return lambda key: _without_rule(key)._replace(minute=newest)


def _brief(name: str | None) -> str | None:
    return name and name[:_MOST_CHARACTERS]


def _without_ends(key: Key) -> Key:
    return key._replace(src_ip=None, dst_ip=None, dst_port=None, protocol=None)


def _of_the_hour(key: Key) -> Key:
    return _without_ends(key)._replace(minute=f"{key.minute[:13]}:00:00Z")


def _without_rule(key: Key) -> Key:
    return _of_the_hour(key)._replace(logged_resource_id=None, rule=None)
