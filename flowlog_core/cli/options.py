"""Options that commands share, each with the same words wherever it appears; and how help looks."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from flowlog_core.analyze.selection import moment, plain_mac
from flowlog_core.analyze.widths import duration_s

RECORD_OUTPUTS = ("table", "ndjson", "csv")
SINKS = ("queue", "table", "eventhub")
SINK_OR_FILE = "SINK|FILE|-"
"""The metavar of an option that takes one of `SINKS`, a file, or `-`."""
_OUTPUTS = {
    "table": "for people",
    "ndjson": "one JSON object per line",
    "json": "one JSON object",
    "csv": "with a header line",
    "parquet": "redirect standard output to a file",
}


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what every command has: help, how much it says, and no progress."""
    parser.add_argument("-h", "--help", action="help", help="show this help and exit")
    how_much = parser.add_mutually_exclusive_group()
    how_much.add_argument(
        "-q", "--quiet", action="store_true", help="print only the result and errors"
    )
    how_much.add_argument("-v", "--verbose", action="store_true", help="print more details")
    parser.add_argument(
        "--no-progress", action="store_true", help="do not show progress on a terminal"
    )


def shows_progress(options: argparse.Namespace) -> bool:
    """Whether progress is wanted where standard error is a terminal."""
    return not (options.no_progress or options.quiet)


def add_output_argument(
    parser: argparse.ArgumentParser,
    default: str | None,
    kinds: Sequence[str] = RECORD_OUTPUTS,
    *,
    default_is: str = "",
) -> None:
    """Declare `--output`. `json` is taken for `ndjson` where that is what there is of JSON.

    `default_is` says in words what the default is, where it depends on something.
    """

    def kind(text: str) -> str:
        return "ndjson" if text == "json" and "json" not in kinds else text

    meanings = "; ".join(f"{name}: {_OUTPUTS[name]}" for name in kinds)
    parser.add_argument(
        "--output",
        type=kind,
        choices=kinds,
        default=default,
        help=f"{meanings} (default {default_is or default})",
    )


def add_range_arguments(
    parser: argparse._ActionsContainer, since: str, until: str, more: str = ""
) -> None:
    """Declare `--since` and `--until`, with what each means to the command."""
    parser.add_argument(
        "--since",
        metavar="TIME",
        action=_TimeAction,
        help=f"{since}: 2026-01-31, 2026-01-31T09:30 (UTC), or 24h for 24 hours ago{more}",
    )
    if until:
        parser.add_argument("--until", metavar="TIME", action=_TimeAction, help=until)


class _TimeAction(argparse.Action):
    """Stores the time, and as `since_text` or `until_text` what was written."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002 - as argparse has it
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,  # noqa: ARG002 - as above
    ) -> None:
        try:
            setattr(namespace, self.dest, time_argument(str(values)))
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentError(self, str(error)) from None
        setattr(namespace, f"{self.dest}_text", str(values))


def time_argument(text: str) -> datetime:
    """A time as `--since` has it; the type of such an option."""
    try:
        return moment(text, datetime.now(UTC))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def check_range(since: datetime | None, until: datetime | None) -> None:
    """Raises `ValueError`, with a message for the user, for a range that has nothing in it."""
    if since is not None and until is not None and until <= since:
        raise ValueError(
            f"--until {until:%Y-%m-%dT%H:%M} is not after --since {since:%Y-%m-%dT%H:%M}"
        )


def add_interface_arguments(parser: argparse._ActionsContainer) -> None:
    """Declare `--resource` and `--mac`, which choose logs by the names of their blobs."""
    parser.add_argument(
        "--resource",
        default="",
        metavar="GLOB",
        help="only logs of resources whose id contains this text, such as the name of an NSG. A "
        "text with * or ? must match the whole id or its last part",
    )
    parser.add_argument(
        "--mac",
        type=_mac_argument,
        default="",
        help="only logs of the network interface with this MAC address",
    )


def add_interval_argument(parser: argparse.ArgumentParser, default_s: float, what: str) -> None:
    """Declare `--interval`, in `interval_s`; `what` says what it is the time between."""
    parser.add_argument(
        "--interval",
        dest="interval_s",
        type=duration_argument(0.01),
        default=default_s,
        metavar="TIME",
        help=f"{what} (default {default_s:g}s)",
    )


def _mac_argument(text: str) -> str:
    """The type of `--mac`: an address of 12 hexadecimal digits, with or without separators."""
    if text and not re.fullmatch(r"[0-9A-F]{12}", plain_mac(text)):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a MAC address. Write 00-22-48-00-00-01 or 002248000001"
        )
    return text


def duration_argument(minimum_s: float = 0) -> Callable[[str], float]:
    """The type of an option for a length of time such as `5s`, in seconds."""

    def parse(text: str) -> float:
        try:
            seconds = duration_s(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
        if seconds < minimum_s:
            raise argparse.ArgumentTypeError(f"must be at least {minimum_s:g}s")
        return seconds

    return parse


def count_argument(minimum: int = 1, maximum: int | None = None) -> Callable[[str], int]:
    """The type of an option for a whole number."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if number < minimum:
            raise argparse.ArgumentTypeError(f"must be at least {minimum}")
        if maximum is not None and number > maximum:
            raise argparse.ArgumentTypeError(f"must be at most {maximum}")
        return number

    return parse


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Help that fits the terminal: paragraphs are wrapped, indented lines stay as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = re.split(r"\n[ \t]*\n", text.strip("\n"))
        return "\n\n".join(
            part
            if re.search(r"^[ \t]", part, re.MULTILINE)
            else argparse.HelpFormatter._fill_text(self, part, width, indent)
            for part in paragraphs
        )
