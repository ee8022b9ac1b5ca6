"""What a report shows: flow records summed to few cells, however many records there are.

A cell is one time, action, kind of traffic, source, destination, service and rule. The names with
most traffic are kept; all others are summed as "others", so totals stay exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from flowlog_core.analyze.duck import connected
from flowlog_core.parsing.record import COUNTERS

READS = (
    *("time", "action", "src_ip", "dst_ip", "service", "rule", "state"),
    *("src_scope", "dst_scope", *COUNTERS),
)
"""The fields that rows need."""

KINDS = ("internal to internal", "internal to internet", "internet to internal", "other")
DIMENSIONS = ("src_ip", "dst_ip", "service", "rule")
MAX_CELLS = 16_000
MAX_NEW_PORTS = 50
_OTHERS = -1
_SIZES = ((60, 72), (30, 72), (15, 72), (15, 24))
"""How many names to keep by each measure, and how many times; the first that gives few cells."""
MAX_NAMES = 3 * _SIZES[0][0]
"""Of each dimension."""

_WIDTHS_S = (60, 300, 900, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86400, 7 * 86400)


@dataclass(frozen=True)
class Report:
    """What the page shows."""

    first_ms: int
    """When the first time slot begins: milliseconds since 1970."""
    width_s: int
    """Seconds in a time slot."""
    records: int
    names: dict[str, list[str | None]]
    """By dimension, the names that are kept; a cell refers to them by index."""
    found: dict[str, int]
    """By dimension, how many names the logs have."""
    cells: list[list[int]]
    """Slot, denied (0 or 1), index in `KINDS`, the four dimensions (-1: others), flows, packets,
    bytes."""
    summed_flows: int
    """Flows whose four dimensions are all "others", because there were too many cells."""
    new_ports: list[dict[str, Any]]
    """Services that were first allowed after the first quarter of the time."""
    new_ports_found: int


# Null counters add nothing. A minute is the finest time that a report shows.
_SEEN = """
CREATE TEMP TABLE seen AS
SELECT epoch_ms(time) // 60000 AS minute, (action = 'deny')::TINYINT AS denied,
    CASE WHEN src_scope = 'private' AND dst_scope = 'private' THEN 0
         WHEN src_scope = 'private' AND dst_scope = 'public' THEN 1
         WHEN src_scope = 'public' AND dst_scope = 'private' THEN 2 ELSE 3 END AS kind,
    src_ip, dst_ip, service, rule, count(*) AS records,
    count(*) FILTER (WHERE state IS NULL OR state IN ('begin', 'deny')) AS flows,
    coalesce(sum(packets_src_to_dst), 0) + coalesce(sum(packets_dst_to_src), 0) AS packets,
    coalesce(sum(bytes_src_to_dst), 0) + coalesce(sum(bytes_dst_to_src), 0) AS bytes
FROM records GROUP BY ALL
"""

_TOTALS = "SELECT min(minute), max(minute), sum(records) FROM seen"

# The names with most flows, bytes or denied flows; those with most flows come first.
_NAMES = """
CREATE OR REPLACE TEMP TABLE names_{name} AS
SELECT {name} AS name, (row_number() OVER (ORDER BY flows DESC, bytes DESC, name) - 1)::INT AS id
FROM (
    SELECT * FROM (
        SELECT {name}, sum(flows) AS flows, sum(bytes) AS bytes, sum(flows * denied) AS denied_flows
        FROM seen GROUP BY {name}
    )
    QUALIFY least(row_number() OVER (ORDER BY flows DESC, {name}),
        row_number() OVER (ORDER BY bytes DESC, {name}),
        row_number() OVER (ORDER BY denied_flows DESC, {name})) <= {count}
)
"""

_CELLS = """
CREATE OR REPLACE TEMP TABLE cells AS
SELECT (minute - {first_minute}) // {width_minutes} AS slot, denied, kind,
    {ids}, sum(flows) AS flows, sum(packets) AS packets, sum(bytes) AS bytes
FROM seen {joins}
GROUP BY ALL
"""

# All cells, or, of too many, those with fewest flows without the four dimensions.
_FEW_CELLS = """
WITH ranked AS (
    SELECT *, row_number() OVER (
        ORDER BY flows DESC, bytes DESC, slot, denied, kind, src_ip, dst_ip, service, rule
    ) <= {kept} AS is_kept FROM cells
), mapped AS (
    SELECT slot, denied, kind, {ids}, flows, packets, bytes, if(is_kept, 0, flows) AS lost
    FROM ranked
)
SELECT * EXCLUDE (flows, packets, bytes, lost), sum(flows), sum(packets), sum(bytes), sum(lost)
FROM mapped GROUP BY ALL ORDER BY ALL
"""

_NEW_PORTS = """
SELECT service, min(minute) AS first_minute, arg_min(src_ip, (minute, src_ip, dst_ip)) AS src_ip,
    arg_min(dst_ip, (minute, src_ip, dst_ip)) AS dst_ip, sum(flows) AS flows, sum(bytes) AS bytes
FROM seen WHERE denied = 0 GROUP BY service HAVING min(minute) >= {after}
ORDER BY flows DESC, bytes DESC, service
"""


def report_of(rows: pa.RecordBatchReader) -> Report | None:
    """Sum rows that have the columns `READS`; None where there are none."""
    with connected() as connection:
        connection.register("records", rows)
        connection.execute(_SEEN)
        first, last, records = _row(connection, _TOTALS)
        if first is None:
            return None
        minutes = last - first + 1
        for count, slots in _SIZES:
            width_s = _width_s(minutes, slots)
            start_s = first * 60 // width_s * width_s
            if _make_cells(connection, count, start_s // 60, width_s // 60) <= MAX_CELLS:
                break
        cells, summed_flows = _few_cells(connection)
        new_ports = _dicts(connection, _NEW_PORTS.format(after=first + -(-minutes // 4)))
        return Report(
            first_ms=start_s * 1000,
            width_s=width_s,
            records=int(records),
            names={name: _names(connection, name) for name in DIMENSIONS},
            found={name: _distinct(connection, name) for name in DIMENSIONS},
            cells=cells,
            summed_flows=summed_flows,
            new_ports=new_ports[:MAX_NEW_PORTS],
            new_ports_found=len(new_ports),
        )


def _width_s(minutes: int, slots: int) -> int:
    """The width of a time slot that makes about so many of them at most."""
    for width_s in _WIDTHS_S:
        if minutes * 60 <= width_s * slots:
            return width_s
    return -(-minutes // (24 * 60 * slots)) * 86400


def _make_cells(
    connection: duckdb.DuckDBPyConnection, count: int, first_minute: int, width_minutes: int
) -> int:
    for name in DIMENSIONS:
        connection.execute(_NAMES.format(name=name, count=count))
    ids = ", ".join(f"coalesce(names_{name}.id, {_OTHERS}) AS {name}" for name in DIMENSIONS)
    joins = " ".join(
        f"LEFT JOIN names_{name} ON seen.{name} IS NOT DISTINCT FROM names_{name}.name"
        for name in DIMENSIONS
    )
    connection.execute(
        _CELLS.format(ids=ids, joins=joins, first_minute=first_minute, width_minutes=width_minutes)
    )
    return int(_row(connection, "SELECT count(*) FROM cells")[0])


def _few_cells(connection: duckdb.DuckDBPyConnection) -> tuple[list[list[int]], int]:
    """At most `MAX_CELLS`, and how many flows lost their names for that."""
    (cells,) = _row(connection, "SELECT count(*) FROM cells")
    (rest,) = _row(
        connection, "SELECT count(*) FROM (SELECT DISTINCT slot, denied, kind FROM cells)"
    )
    kept = cells if cells <= MAX_CELLS else MAX_CELLS - rest
    ids = ", ".join(f"if(is_kept, {name}, {_OTHERS}) AS {name}" for name in DIMENSIONS)
    rows = connection.execute(_FEW_CELLS.format(kept=kept, ids=ids)).fetchall()
    return [[int(value) for value in row[:-1]] for row in rows], int(sum(row[-1] for row in rows))


def _names(connection: duckdb.DuckDBPyConnection, name: str) -> list[str | None]:
    rows = connection.execute(f"SELECT name FROM names_{name} ORDER BY id").fetchall()  # noqa: S608 - a field's name
    return [row[0] for row in rows]


def _distinct(connection: duckdb.DuckDBPyConnection, name: str) -> int:
    return int(_row(connection, f"SELECT count(*) FROM (SELECT DISTINCT {name} FROM seen)")[0])  # noqa: S608 - a field's name


def _row(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[Any, ...]:
    """The one row that sums and counts have."""
    return connection.execute(sql).fetchall()[0]


def _dicts(connection: duckdb.DuckDBPyConnection, sql: str) -> list[dict[str, Any]]:
    found = connection.execute(sql)
    columns = [column[0] for column in found.description or ()]
    return [
        {
            name: value if isinstance(value, str | None) else int(value)
            for name, value in zip(columns, row, strict=True)
        }
        for row in found.fetchall()
    ]
