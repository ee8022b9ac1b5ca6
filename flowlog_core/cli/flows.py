r"""Print flow records from files, folders, zip files, standard input and storage accounts.

Records come in the order of the logs. What cannot be read is named on standard error, with its
source, byte and reason; the rest is printed, and the exit code is 1. Memory does not grow with the
size of a log. `flowlog parse` is another name of this command.

Examples:
  flowlog flows PT1H.json
  flowlog flows --output table --where "action=deny" logs/ | less -S
  flowlog flows --schema ecs PT1H.json > events.ndjson
  zcat PT1H.json.gz | flowlog flows - --output csv > flows.csv
  flowlog flows --since 2h --fields time,src_ip,dst_ip,service \
      https://ACCOUNT.blob.core.windows.net/insights-logs-flowlogflowevent
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from importlib.util import find_spec

import orjson

from flowlog_core.analyze.names import NAMED_FIELDS, Names
from flowlog_core.analyze.rows import rows
from flowlog_core.cli.analysis import (
    KINDS,
    Reading,
    UsageError,
    add_names_arguments,
    add_source_arguments,
    fields_of,
    names_of,
    need_columns,
    usage_errors,
)
from flowlog_core.cli.options import add_output_argument
from flowlog_core.cli.output import Writer, writer_for
from flowlog_core.parsing.record import FIELDS
from flowlog_core.schemas import SCHEMAS, Mapped
from flowlog_core.shape.rules import Rules


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `flowlog flows`."""
    add_flow_arguments(parser, "ndjson")


def add_flow_arguments(parser: argparse.ArgumentParser, output: str) -> None:
    """Declare what `flows` and `find` have in common."""
    add_source_arguments(parser)
    parser.add_argument(
        "--fields",
        default="",
        metavar="NAMES",
        help="only these fields, in this order; also service, src_scope, dst_scope, src_tag, "
        "dst_tag, src_name, dst_name",
    )
    parser.add_argument(
        "--schema",
        choices=tuple(SCHEMAS),
        default="flowlog",
        help="write records as events of another schema, as NDJSON: docs/schemas.md (default "
        "flowlog)",
    )
    add_names_arguments(parser)
    add_output_argument(parser, output, KINDS)


def run(options: argparse.Namespace) -> int:
    """Print records. Returns 1 if anything could not be read, else 0."""
    with usage_errors(options.command):
        return print_flows(options, options.where)


def print_flows(options: argparse.Namespace, where: Rules | None) -> int:
    """Print the records that match. Raises `UsageError`."""
    fields = fields_of(options.fields, NAMED_FIELDS) if options.fields else None
    if options.schema != "flowlog":
        _need_plain(options)
    known = names_of(options)
    reading = Reading(options, all_are_told=True)
    if options.output == "parquet":
        need_columns("--output parquet")
        from flowlog_core.cli.results import write_parquet  # noqa: PLC0415 - needs pyarrow

        stream = reading.stream(fields or FIELDS, where, known)
        write_parquet(stream.schema, stream)
        return reading.end()
    writer = writer_for(options.output, names=fields)
    if options.schema != "flowlog":
        writer = _EventWriter(writer, SCHEMAS[options.schema])
    if where is not None and find_spec("pyarrow") and find_spec("numpy"):
        _print_matching(reading, where, fields, known, writer)
    else:
        named = [name for name in fields or () if name in NAMED_FIELDS]
        for lines in rows(reading.sources(), reading.problems, where):
            writer.write(_with_names(lines, known, named) if named else lines)
    sys.stdout.flush()
    return reading.end()


def _need_plain(options: argparse.Namespace) -> None:
    """Raises `UsageError` for what events of another schema cannot be combined with."""
    if options.fields:
        raise UsageError(
            f"--fields chooses fields of flow records, and events of {options.schema} have others"
        )
    if options.output != "ndjson":
        raise UsageError(
            f"events of {options.schema} are nested, and cannot be written as {options.output}. "
            "Write --output ndjson"
        )


class _EventWriter:
    """Writes records as events of another schema."""

    def __init__(self, writer: Writer, mapped: Mapped) -> None:
        self._writer, self._mapped = writer, mapped

    def write(self, lines: Iterable[str]) -> None:
        """See `Writer.write`."""
        self._writer.write(
            [orjson.dumps(self._mapped(orjson.loads(line))).decode() for line in lines]
        )


def _print_matching(
    reading: Reading, where: Rules, fields: tuple[str, ...] | None, known: Names, writer: Writer
) -> None:
    """By way of columns: where few records match, few are made."""
    for batch in reading.stream(fields or FIELDS, where, known):
        records = batch.to_pylist()
        for record in records:
            if "time" in record:  # with the three decimals that it has in a record
                record["time"] = (
                    f"{record['time']:%Y-%m-%dT%H:%M:%S}.{record['time'].microsecond // 1000:03}Z"
                )
        writer.write([orjson.dumps(record).decode() for record in records])


def _with_names(lines: list[str], known: Names, named: list[str]) -> Iterator[str]:
    for line in lines:
        yield orjson.dumps(known.added(orjson.loads(line), named)).decode()
