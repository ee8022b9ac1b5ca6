"""What the commands that read flow logs share: sources, what is wanted of them, what went wrong."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING

from flowlog_core.analyze.names import BadNames, Names
from flowlog_core.analyze.problems import Problems
from flowlog_core.analyze.selection import Selection
from flowlog_core.analyze.sources import Source, expand
from flowlog_core.cli.options import (
    RECORD_OUTPUTS,
    add_interface_arguments,
    add_range_arguments,
    check_range,
    shows_progress,
)
from flowlog_core.cli.terminal import ProgressLine, printable
from flowlog_core.cli.words import how_many, in_bytes
from flowlog_core.parsing.record import FIELDS
from flowlog_core.shape.rules import Rules, parse

if TYPE_CHECKING:
    import pyarrow as pa

KINDS = (*RECORD_OUTPUTS, "parquet")
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
    add_range_arguments(
        wanted,
        since="only records from this time on",
        until="only records before this time",
        more=". Blobs of other hours are not read",
    )
    add_interface_arguments(wanted)
    wanted.add_argument(
        "--where",
        type=rules_argument,
        metavar="RULE",
        help="only records that match a rule (docs/rules.md)",
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


def _name(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("the name of a source is empty")
    return text


def rules_argument(text: str) -> Rules:
    """The type of `--where`."""
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
    _line: ProgressLine = field(init=False)

    def __post_init__(self) -> None:
        self.problems = Problems(self._tell)
        self._line = ProgressLine(is_wanted=shows_progress(self.options))

    def sources(self) -> Iterator[Source]:
        """Raises `UsageError` for an address that names no container, and a range without time."""
        options = self.options
        wanted = Selection(options.since, options.until, options.resource, options.mac)
        try:
            check_range(options.since, options.until)
            for source in expand(options.sources, wanted):
                if options.verbose:
                    self._line.clear()
                    print(f"reading {printable(source.name)}", file=sys.stderr)
                yield source
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
        progress = ReadingProgress(self._line)
        return reader(self.sources(), self.problems, query, progress.add)

    def end(self) -> int:
        """Sum up what could not be read; the exit code."""
        self._line.clear()
        left_out = self.problems.count - sum(self._told.values())
        if left_out:
            print(f"and {left_out:,} more that could not be read", file=sys.stderr)
        return 1 if self.problems.count else 0

    def _tell(self, name: str, problem: str) -> None:
        told = self._told.get(name, 0)
        if self.all_are_told or told < _MAX_TOLD_A_SOURCE:
            self._told[name] = told + 1
            self._line.clear()
            print(f"{printable(name)}: {printable(problem)}", file=sys.stderr)


def names_of(options: argparse.Namespace) -> Names:
    """What `--service-tags` and `--names` hold. Raises `UsageError`."""
    try:
        return Names.read(options.service_tags, options.names)
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


class ReadingProgress:
    """How much was read, on standard error while that is a terminal."""

    def __init__(self, line: ProgressLine) -> None:
        self._line = line
        self._bytes, self._sources, self._last = 0, 0, ""

    def add(self, source: str, count: int) -> None:
        """Some more of a source was read."""
        self._bytes += count
        if source != self._last:
            self._last, self._sources = source, self._sources + 1
        if self._line.is_due():
            self._line.show(f"{in_bytes(self._bytes)} of {how_many(self._sources, 'log')} read")


@contextmanager
def usage_errors(command: str) -> Iterator[None]:
    """What is wrong with what was asked for ends the command with its text and exit code 2."""
    try:
        yield
    except UsageError as error:
        print(f"flowlog {command}: {error}", file=sys.stderr)
        raise SystemExit(2) from None
