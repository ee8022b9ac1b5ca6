"""Answers from flow logs in files and accounts: read, filter, sum and export them. Not deployed.

    from flowlog_core import analyze

    for record in analyze.read("logs/", where="action=deny,dst_port=22"):
        print(record.time, record.src_ip)
    analyze.aggregate("logs/", by=["rule"]).to_pandas()

In the order of the data: `sources` finds logs, with `accounts`, `contents` and `selection`; `rows`
makes records of them one by one, `columns` and `scan` Arrow tables, with `tuple_lines`; `where` and
`names` are over columns too; `sums`, `addresses_seen`, `query` and `export` answer.
"""

from __future__ import annotations

from flowlog_core.analyze.api import (
    FlowRecord,
    ProblemWarning,
    aggregate,
    read,
    to_arrow,
    to_pandas,
    to_polars,
)

__all__ = [
    "FlowRecord",
    "ProblemWarning",
    "aggregate",
    "read",
    "to_arrow",
    "to_pandas",
    "to_polars",
]
