r"""Write a report: one HTML page of who talked to whom, what was denied, and when.

The page loads nothing, so you can mail and archive it. It is at most 2 MB for any logs: addresses
with little traffic are summed as "others". Click on anything to filter the page by it, and copy the
table behind each chart as CSV.

Examples:
  flowlog report -o report.html logs/
  flowlog report --since 24h --names servers.csv \
      https://ACCOUNT.blob.core.windows.net/insights-logs-flowlogflowevent
"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from flowlog_core.cli.analysis import (
    Reading,
    UsageError,
    add_names_arguments,
    add_source_arguments,
    names_of,
    need_columns,
    usage_errors,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `flowlog report`."""
    add_source_arguments(parser)
    parser.add_argument(
        "-o",
        dest="to",
        default="report.html",
        metavar="FILE",
        help="the file to write (default report.html)",
    )
    parser.add_argument(
        "--title", default="Network flow logs", metavar="TEXT", help="the title of the page"
    )
    add_names_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Write the page. Returns 1 if anything could not be read, or if there are no records."""
    with usage_errors("report"):
        need_columns("flowlog report")
        from flowlog_core.analyze.report import READS, report_of  # noqa: PLC0415 - needs pyarrow
        from flowlog_core.analyze.report_page import page  # noqa: PLC0415 - beside it

        known, to = names_of(options), Path(options.to)
        if not to.parent.is_dir():
            raise UsageError(f"there is no folder {to.parent} to write to")
        reading = Reading(options)
        report = report_of(reading.stream(READS, known=known))
        code = reading.end()
        if report is None:
            print("flowlog report: no records were found; nothing is written", file=sys.stderr)
            return 1
        text = page(
            report,
            options.title,
            datetime.now(UTC),
            lambda address: known.names.name_of(address) or known.tags.name_of(address),
        )
        _write(to, text)
        print(f"{to}: {report.records:,} records, {len(text.encode()):,} bytes", file=sys.stderr)
        return code


def _write(to: Path, text: str) -> None:
    """Whole or not at all: a full disk must not take the report that was there."""
    partial = to.with_name(f".{to.name}.{os.getpid()}")
    try:
        partial.write_text(text, "utf-8", newline="\n")
        partial.replace(to)
    finally:
        partial.unlink(missing_ok=True)
