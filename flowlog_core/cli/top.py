r"""Who sends most: the largest sums of tuples, flows, packets and bytes, by any fields.

Bytes and packets are those of both directions together; the four counters of each are there too.
Flows are the tuples that begin one. Fields to group by are those of a record, and service,
src_scope, dst_scope, src_tag, dst_tag, src_name, dst_name.

Examples:
  flowlog top PT1H.json
  flowlog top --by src_ip,dst_port -n 20 --denied logs/
  flowlog top --by dst_tag --service-tags ServiceTags_Public.json --since 24h \
      https://ACCOUNT.blob.core.windows.net/insights-logs-flowlogflowevent
"""

from __future__ import annotations

import argparse

from flowlog_core.cli.analysis import (
    KINDS,
    Reading,
    UsageError,
    add_names_arguments,
    add_source_arguments,
    names_of,
    need_columns,
    usage_errors,
)
from flowlog_core.cli.options import add_output_argument
from flowlog_core.cli.results import write_result
from flowlog_core.shape.rules import Rules, parse

_SORTS = ("bytes", "packets", "flows", "tuples")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `flowlog top`."""
    add_sum_arguments(parser, by="src_ip,dst_ip,service")
    parser.add_argument(
        "-n", type=_count, default=10, metavar="N", help="number of groups to show (default 10)"
    )


def add_sum_arguments(parser: argparse.ArgumentParser, by: str) -> None:
    """Declare what `top` and `aggregate` have in common."""
    add_source_arguments(parser)
    parser.add_argument(
        "--by", default=by, metavar="FIELDS", help=f"fields to group by (default {by or 'none'})"
    )
    parser.add_argument("--denied", action="store_true", help="only what was denied")
    parser.add_argument(
        "--sort",
        choices=_SORTS,
        default="bytes",
        help="the largest first, by this sum (default bytes)",
    )
    add_names_arguments(parser)
    add_output_argument(parser, "table", KINDS)


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def run(options: argparse.Namespace) -> int:
    """Print the groups. Returns the exit code."""
    return run_sums(options, every_s=None, limit=options.n)


def run_sums(options: argparse.Namespace, every_s: int | None, limit: int | None) -> int:
    """Sum and print. Returns 1 if anything could not be read."""
    with usage_errors(options.command):
        need_columns(f"flowlog {options.command}")
        from flowlog_core.analyze.sums import Sums, checked_names  # noqa: PLC0415 - needs pyarrow

        try:
            by = checked_names([name.strip() for name in options.by.split(",") if name.strip()])
        except ValueError as error:
            raise UsageError(str(error)) from error
        sums = Sums(by, every_s, options.sort, limit)
        reading = Reading(options)
        stream = reading.stream(sums.reads, denied_too(options), names_of(options))
        result = sums.of(stream)
        code = reading.end()
        write_result(result, options.output)
        return code


def denied_too(options: argparse.Namespace) -> Rules | None:
    """The rules of `--where`, each of which must be about what was denied with `--denied`."""
    where: Rules | None = options.where
    if not options.denied:
        return where
    denied = parse("action=deny")
    return denied if where is None else both(where, denied)


def both(one: Rules, other: Rules) -> Rules:
    """Rules that match what both match."""
    return Rules(tuple((*terms, *more) for terms in one.rules for more in other.rules))
