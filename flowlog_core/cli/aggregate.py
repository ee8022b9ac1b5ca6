r"""Traffic over time: sums of tuples, flows, packets and bytes by time and by any fields.

Each line begins with the start of an interval, in UTC. Intervals without records have no line.

Examples:
  flowlog aggregate --every 1h PT1H.json
  flowlog aggregate --every 5m --by action,service logs/ \
      --output csv > traffic.csv
"""

from __future__ import annotations

import argparse

from flowlog_core.cli.top import add_sum_arguments, run_sums


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `flowlog aggregate`."""
    add_sum_arguments(parser, by="")
    parser.add_argument(
        "--every",
        type=_width_s,
        default=3600,
        metavar="WIDTH",
        help="the length of each time interval: 30s, 5m, 1h, 1d (default 1h); all for one total",
    )


def _width_s(text: str) -> int | None:
    from flowlog_core.analyze.widths import width_s  # noqa: PLC0415 - nothing else needs it

    if text == "all":
        return None
    try:
        return width_s(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run(options: argparse.Namespace) -> int:
    """Print the sums. Returns the exit code."""
    return run_sums(options, every_s=options.every, limit=None)
