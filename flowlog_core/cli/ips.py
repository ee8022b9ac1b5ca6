r"""List every address: what it sent and received, and when it was seen first and last.

Examples:
  flowlog ips PT1H.json
  flowlog ips --where "action=deny,direction=inbound" --output csv \
      logs/ > denied.csv
"""

from __future__ import annotations

import argparse

from flowlog_core.cli.analysis import (
    KINDS,
    Reading,
    add_source_arguments,
    need_columns,
    usage_errors,
)
from flowlog_core.cli.options import add_output_argument
from flowlog_core.cli.results import write_result


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `flowlog ips`."""
    add_source_arguments(parser)
    add_output_argument(parser, "table", KINDS)


def run(options: argparse.Namespace) -> int:
    """Print the addresses. Returns the exit code."""
    with usage_errors("ips"):
        need_columns("flowlog ips")
        from flowlog_core.analyze import addresses_seen as seen  # noqa: PLC0415 - needs pyarrow

        reading = Reading(options)
        result = seen.addresses_seen(reading.stream(seen.READS))
        code = reading.end()
        write_result(result, options.output)
        return code
