"""Turn local PT1H.json files into flow records on standard output.

Records appear in the files' order. Whatever cannot be read is named on standard error with its
file, byte and reason; the rest is printed all the same, and the exit code is 1. Memory does not
grow with the size of a file.

Examples:
  flowlog parse PT1H.json
  flowlog parse --output table */PT1H.json | less -S
  zcat PT1H.json.gz | flowlog parse - --output csv > flows.csv
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

from flowlog_core.blob import BlobRef, Position
from flowlog_core.cli.output import WRITERS, Writer, printable, writer_for
from flowlog_core.parsing import Damaged, read

_READ_BYTES = 1024 * 1024


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `flowlog parse`."""
    parser.add_argument(
        "files", nargs="+", metavar="FILE", type=_name, help="a PT1H.json, or - for standard input"
    )
    parser.add_argument(
        "--output",
        choices=sorted(WRITERS),
        default="ndjson",
        help="ndjson: a JSON object a line (default); csv: with a header; table: to look at",
    )


def _name(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("the name of a file is empty")
    return text


def run(options: argparse.Namespace) -> int:
    """Parse all files. Returns 1 if anything in them could not be read, else 0."""
    writer = writer_for(options.output)
    problems = 0
    for name in options.files:
        for problem in _parse(name, writer):
            problems += 1
            print(f"{printable(name)}: {printable(problem)}", file=sys.stderr)
    sys.stdout.flush()
    return 1 if problems else 0


def _parse(name: str, writer: Writer) -> Iterator[str]:
    """Write the records of one file; yields what could not be read, in words."""
    position = Position(BlobRef.of_file(name))
    items = read(_pieces(name), lambda offset: position.at(offset).entry_id)
    while True:
        try:
            item = next(items, None)
        except OSError as error:
            yield f"cannot be read: {error.strerror or error}"
            return
        if item is None:
            return
        if isinstance(item, Damaged):
            yield f"byte {item.start}: {item.reason} ({item.end - item.start} bytes)"
            continue
        writer.write(item.lines)
        for bad in item.bad:
            yield f"byte {item.start}, tuple {bad.index}: {bad.reason}: {bad.raw}"


def _pieces(name: str) -> Iterator[bytes]:
    """Raises `OSError`."""
    if name == "-" and sys.stdin is None:  # as Python has it where it is closed
        raise OSError("standard input is closed")
    with nullcontext(sys.stdin.buffer) if name == "-" else Path(name).open("rb") as file:
        while data := file.read(_READ_BYTES):
            yield data
