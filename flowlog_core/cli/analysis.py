"""What the commands that read flow logs share: sources, what is wanted of them, what went wrong."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING

from flowlog_core.analyze.names import BadNames, Names, Networks, read_names, read_service_tags
from flowlog_core.analyze.problems import Problems
from flowlog_core.analyze.selection import Selection, moment
from flowlog_core.analyze.sources import Source, expand
from flowlog_core.cli.output import printable
from flowlog_core.parsing.record import FIELDS
from flowlog_core.shape.rules import Rules, parse

if TYPE_CHECKING:
    import pyarrow as pa

KINDS = ("table", "ndjson", "csv", "parquet")
_MAX_TOLD_A_SOURCE = 20


class UsageError(Exception):
    """What was asked for cannot be done; the text says why. Exit code 2."""


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sources, and what of them is wanted."""
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        type=_name,
        help="a file (also .gz or zip), a folder, - for standard input, or "
        "https://ACCOUNT.blob.core.windows.net/CONTAINER[/PREFIX]",
    )
    wanted = parser.add_argument_group("what is read")
    for bound, meaning in (("since", "from then on"), ("until", "before then")):
        wanted.add_argument(
            f"--{bound}",
            metavar="TIME",
            type=_moment,
            help=f"only records {meaning}: 2026-01-31, 2026-01-31T09:30 (UTC), or 24h for 24 hours "
            "ago. Blobs of other hours are not read",
        )
    wanted.add_argument(
        "--resource",
        default="",
        metavar="TEXT",
        help="only logs of resources with this in their id, such as the name of an NSG",
    )
    wanted.add_argument(
        "--mac", default="", help="only logs of the network interface with this MAC"
    )
    wanted.add_argument(
        "--where",
        type=_rules,
        metavar="RULE",
        help="only records that a rule matches: docs/rules.md",
    )


def add_names_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the files that give names to addresses."""
    names = parser.add_argument_group("names", "for src_tag, dst_tag, src_name and dst_name")
    names.add_argument(
        "--service-tags", metavar="FILE", help="Microsoft's ServiceTags_Public_….json, downloaded"
    )
    names.add_argument(
        "--names", metavar="FILE", help="a CSV of addresses or networks and their names"
    )


def add_output_argument(parser: argparse.ArgumentParser, default: str) -> None:
    """Declare `--output`."""
    parser.add_argument(
        "--output",
        choices=KINDS,
        default=default,
        help="table: to look at; ndjson: a JSON object a line; csv: with a header; parquet: to a "
        f"file that standard output is sent to (default {default})",
    )


def _name(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("the name of a source is empty")
    return text


def _moment(text: str) -> datetime:
    try:
        return moment(text, datetime.now(UTC))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _rules(text: str) -> Rules:
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


@dataclass
class Reading:
    """The sources of a command, and what could not be read in them."""

    options: argparse.Namespace
    problems: Problems = field(init=False)
    all_are_told: bool = False
    """Otherwise only the first few of each source."""
    _told: dict[str, int] = field(default_factory=dict)
    _progress: ProgressLine | None = None

    def __post_init__(self) -> None:
        self.problems = Problems(self._tell)

    def sources(self) -> Iterator[Source]:
        """Raises `UsageError` for an address that names no container."""
        options = self.options
        wanted = Selection(options.since, options.until, options.resource, options.mac)
        try:
            yield from expand(options.sources, wanted)
        except ValueError as error:
            raise UsageError(str(error)) from error
        except ModuleNotFoundError as error:  # only storage accounts need what is not there
            raise UsageError(
                f"reading a storage account needs packages that are not installed (no module "
                f"{error.name}). Run: pip install 'flowlog-azure[analyze]'"
            ) from error

    def stream(
        self, names: Iterable[str], where: Rules | None = None, known: Names | None = None
    ) -> pa.RecordBatchReader:
        """The records that are wanted, as columns; progress is shown on a terminal."""
        from flowlog_core.analyze.scan import Query, reader  # noqa: PLC0415 - needs pyarrow

        where = where or self.options.where
        query = Query(tuple(names), where, known or Names())
        self._progress = ProgressLine()
        return reader(self.sources(), self.problems, query, self._progress.add)

    def end(self) -> int:
        """Sum up what could not be read; the exit code."""
        if self._progress is not None:
            self._progress.clear()
        left_out = self.problems.count - sum(self._told.values())
        if left_out:
            print(f"and {left_out:,} more that could not be read", file=sys.stderr)
        return 1 if self.problems.count else 0

    def _tell(self, name: str, problem: str) -> None:
        told = self._told.get(name, 0)
        if self.all_are_told or told < _MAX_TOLD_A_SOURCE:
            self._told[name] = told + 1
            if self._progress is not None:
                self._progress.clear()
            print(f"{printable(name)}: {printable(problem)}", file=sys.stderr)


def names_of(options: argparse.Namespace) -> Names:
    """What `--service-tags` and `--names` hold. Raises `UsageError`."""
    try:
        tags = read_service_tags(options.service_tags) if options.service_tags else Networks()
        return Names(tags, read_names(options.names) if options.names else Networks())
    except BadNames as error:
        raise UsageError(str(error)) from error


def fields_of(text: str, others: Iterable[str] = ()) -> tuple[str, ...]:
    """The fields named in an option, in its order, each once. Raises `UsageError`."""
    known = (*FIELDS, *others)
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in known:
            raise UsageError(f"there is no field {name!r}. There are: {', '.join(known)}")
    return tuple(dict.fromkeys(names))


def need_columns(command: str) -> None:
    """Raises `UsageError` where the packages of the extra `analyze` are not installed."""
    missing = [name for name in ("pyarrow", "duckdb", "numpy") if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"{command} needs {' and '.join(missing)}. Run: pip install 'flowlog-azure[analyze]'"
        )


class ProgressLine:
    """How much was read, on standard error while it is a terminal."""

    def __init__(self) -> None:
        self._is_shown = sys.stderr.isatty()
        self._bytes, self._sources, self._last = 0, 0, ""
        self._next = 0.0

    def add(self, source: str, count: int) -> None:
        """Some more of a source was read."""
        self._bytes += count
        if source != self._last:
            self._last, self._sources = source, self._sources + 1
        if self._is_shown and time.monotonic() >= self._next:
            self._next = time.monotonic() + 0.2
            text = f"{self._bytes / 1e6:,.0f} MB of {self._sources:,} logs read"
            print(f"\r{text}\x1b[K", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the line away, so that others have it."""
        if self._is_shown and self._bytes:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


@contextmanager
def usage_errors(command: str) -> Iterator[None]:
    """What is wrong with what was asked for ends the command with its text and exit code 2."""
    try:
        yield
    except UsageError as error:
        print(f"flowlog {command}: {error}", file=sys.stderr)
        raise SystemExit(2) from None
