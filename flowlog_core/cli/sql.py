"""Query flow logs with DuckDB's SQL: the view flows has a column for each field of a record.

Times are timestamps in UTC, ports and counters are numbers, addresses are text. More columns:
src_ipv4 and dst_ipv4 (numbers, null for IPv6), service, src_scope, dst_scope, src_tag, dst_tag,
src_name, dst_name. Functions: in_network(ip, '10.0.0.0/8'), ip_number(ip), ip_scope(ip).
Nothing is downloaded: DuckDB may not install or load extensions by itself.

Examples:
  flowlog sql "select rule, count(*) from flows
      where action = 'deny' group by rule" logs/
  flowlog sql "select * from flows
      where in_network(dst_ip, '10.0.0.0/8') limit 10" PT1H.json
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `flowlog sql`."""
    parser.add_argument("query", metavar="QUERY", help="one SQL statement over the view flows")
    add_source_arguments(parser)
    add_names_arguments(parser)
    add_output_argument(parser, "table", KINDS)


def run(options: argparse.Namespace) -> int:
    """Print the result. Returns 1 if anything could not be read, else 0."""
    with usage_errors("sql"):
        need_columns("flowlog sql")
        from flowlog_core.analyze.query import BadQuery, run_sql  # noqa: PLC0415 - needs pyarrow

        reading = Reading(options)
        known = names_of(options)
        try:
            result = run_sql(options.query, lambda names: reading.stream(names, known=known))
        except BadQuery as error:
            raise UsageError(str(error)) from error
        code = reading.end()
        write_result(result, options.output)
        return code
