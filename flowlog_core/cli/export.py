r"""Write flow logs as Parquet, partitioned as in Hive: DIR/date=2026-01-31/hour=09/….parquet.

DuckDB, Polars, Spark, Synapse and Azure Data Explorer read such a folder. Dates and hours are UTC.
The columns are the fields of a record, and src_ipv4 and dst_ipv4, the IPv4 addresses as numbers.
Each run adds files: if you export the same logs twice, every record is there twice.

Examples:
  flowlog export --to flows logs/
  flowlog export --to flows --since 24h --where "action=deny" \
      https://ACCOUNT.blob.core.windows.net/insights-logs-flowlogflowevent
  duckdb -c "select count(*) from
      read_parquet('flows/**/*.parquet', hive_partitioning=true)"
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from flowlog_core.cli.analysis import Reading, add_source_arguments, need_columns, usage_errors


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `flowlog export`."""
    add_source_arguments(parser)
    parser.add_argument("--to", required=True, metavar="DIR", help="the folder to write to")


def run(options: argparse.Namespace) -> int:
    """Write the files. Returns 1 if anything could not be read, else 0."""
    with usage_errors("export"):
        need_columns("flowlog export")
        from flowlog_core.analyze.export import export  # noqa: PLC0415 - needs pyarrow
        from flowlog_core.parsing.record import FIELDS  # noqa: PLC0415 - beside it

        reading = Reading(options)
        done = export(reading.stream(FIELDS), Path(options.to))
        code = reading.end()
        print(
            f"{done.rows:,} records in {done.files:,} files, {done.parquet_bytes:,} bytes",
            file=sys.stderr,
        )
        return code
