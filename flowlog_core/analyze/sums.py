"""Sums over flow records: who sent how much, by any fields and by time.

Tuples of one flow say what came since the tuple before, so sums of them are sums of the flow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from flowlog_core.analyze.duck import answer
from flowlog_core.analyze.names import NAMED_FIELDS
from flowlog_core.parsing.record import COUNTERS, FIELDS

MEASURES = ("tuples", "flows", "packets", "bytes", *COUNTERS)
"""What is summed: tuples; tuples that begin a flow; both directions together; each counter."""

SORTS = ("bytes", "packets", "flows", "tuples")
BUCKET = "time"
GROUP_FIELDS = (
    *(name for name in FIELDS if name not in ("id", BUCKET, *COUNTERS)),
    *NAMED_FIELDS,
)
"""The fields that records can be grouped by, beside time."""


@dataclass(frozen=True)
class Sums:
    """What to group by, and how the groups are ordered and limited.

    `every_s` groups by time too: records of that many seconds, counted from 1970, are together.
    Groups come by time first; then the largest `sort` first. Groups that are alike come in the
    order of what they are grouped by, so the same input gives the same output.
    """

    by: tuple[str, ...] = ()
    every_s: int | None = None
    sort: str = "bytes"
    limit: int | None = None

    @property
    def reads(self) -> tuple[str, ...]:
        """The record fields that are needed."""
        time = ("time",) if self.every_s is not None else ()
        return (*time, *self.by, *(name for name in ("state", *COUNTERS) if name not in self.by))

    def of(self, rows: pa.RecordBatchReader) -> pa.Table:
        """The groups of rows that have the columns `reads`.

        Counters are null where no tuple of the group has them, and exact otherwise.
        """
        keys = [f'"{name}"' for name in self.by]
        selected, order = [*keys, *_MEASURES_SQL], [f"{key} NULLS LAST" for key in keys]
        order = [f'"{self.sort}" DESC NULLS LAST', '"tuples" DESC', *order]
        if self.every_s is not None:
            width_ms = self.every_s * 1000
            start_ms = f"epoch_ms(time) // {width_ms} * {width_ms}"
            selected.insert(0, f"epoch_ms({start_ms})::TIMESTAMP_MS AS {BUCKET}")
            order.insert(0, BUCKET)
        # Of names of fields and of numbers, checked; nothing in it is as a user wrote it.
        sql = (
            f"SELECT {', '.join(selected)} FROM flows GROUP BY ALL ORDER BY {', '.join(order)}"  # noqa: S608
            f"{f' LIMIT {self.limit}' if self.limit is not None else ''}"
        )
        found = answer(rows, "flows", sql)
        if self.every_s is not None:
            times = found.column(0).cast(pa.timestamp("ms")).cast(pa.timestamp("ms", tz="UTC"))
            found = found.set_column(0, BUCKET, times)
        return found


def _both(unit: str) -> str:
    there, back = f"{unit}_src_to_dst", f"{unit}_dst_to_src"
    # Null where neither direction was counted; a direction that was not counted adds nothing.
    return (
        f"CASE WHEN count({there}) + count({back}) > 0"
        f" THEN coalesce(sum({there}), 0) + coalesce(sum({back}), 0) END AS {unit}"
    )


_MEASURES_SQL = (
    "count(*) AS tuples",
    "count(*) FILTER (WHERE state IS NULL OR state IN ('begin', 'deny')) AS flows",
    _both("packets"),
    _both("bytes"),
    *(f'sum("{name}") AS "{name}"' for name in COUNTERS),
)


def checked_names(names: Sequence[str]) -> tuple[str, ...]:
    """Fields to group by, each once. Raises ValueError for one that records do not have."""
    for name in names:
        if name not in GROUP_FIELDS:
            raise ValueError(
                f"{name!r} is not a field to group by. There are: {', '.join(GROUP_FIELDS)}"
            )
    return tuple(dict.fromkeys(names))
