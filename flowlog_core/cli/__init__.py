"""The command line: its commands, each in a module of its name.

Only the chosen command's module is imported, so that `parse` needs no Azure package.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType

from flowlog_core import __version__
from flowlog_core.cli.options import HelpFormatter, add_common_arguments
from flowlog_core.cli.terminal import printable

NEEDED_EXTRA = dict.fromkeys(
    ("run", "tail", "status", "backfill", "replay", "dead-letters", "doctor", "demo"), "app"
)
"""Which extra of the package a command needs, where it needs one."""

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130

_COMMANDS = {
    "flows": "print flow records from files, folders and storage accounts",
    "find": "find the records of an address, a network or a port",
    "ips": "list every address: what it sent and received, when it was seen first and last",
    "top": "show the largest groups by any fields: top talkers, ports, rules",
    "aggregate": "show traffic over time, by any fields",
    "sql": "query flow logs with SQL",
    "export": "write flow logs as Parquet",
    "report": "write a page with charts: who talked to whom, what was denied, when",
    "parse": "another name for flows",
    "run": "forward flows without the Functions host",
    "tail": "show the records in the queue and leave them there",
    "status": "show whether forwarding keeps up: what is behind, what fails and since when",
    "backfill": "forward logs of a time range that were never forwarded",
    "replay": "send again what was forwarded, with the same ids and content",
    "dead-letters": "list, show and redrive input that could not be read",
    "doctor": "find what stops flow logs from being forwarded, and say what to do",
    "demo": "run everything locally: Azurite, growing flow logs, and a check at the end",
    "completion": "print a completion script for bash, zsh or fish",
}
_ALIASES = {"parse": "flows", "dead-letters": "dead_letters"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (0 done, 1 something failed, 2 wrong usage)."""
    try:
        return _main(arguments)
    except KeyboardInterrupt:  # also while a command is imported
        return EXIT_INTERRUPTED


def _main(arguments: Sequence[str] | None) -> int:
    if sys.stdout is None or sys.stderr is None:  # Python's value if they are closed
        return EXIT_USAGE
    parser, _ = _parser()
    if not (sys.argv[1:] if arguments is None else arguments):
        parser.print_help(sys.stderr)
        parser.exit(EXIT_USAGE)
    # The command must be known before its module is imported, which declares its options.
    before = _without_options(arguments)
    chosen, unknown = parser.parse_known_args(before)
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    try:
        module = _declare(chosen.command, chosen.command_parser)
    except ModuleNotFoundError as error:
        if chosen.command not in NEEDED_EXTRA or (error.name or "").startswith("flowlog_core"):
            raise
        print(_not_installed(chosen.command, error), file=sys.stderr)
        return EXIT_USAGE
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        # Names that stand behind an option, as in `show --max 3 ID`, are found only by this, which
        # knows no commands within commands. Of what is unknown, it shows the command's own usage.
        after = list(sys.argv[1:] if arguments is None else arguments)[len(before) :]
        options = chosen.command_parser.parse_intermixed_args(after, chosen)
    return _run(module, options)


def _run(module: ModuleType, options: argparse.Namespace) -> int:
    try:
        code = int(module.run(options))
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        _discard_output()  # the reader stopped, as `head` does
        return EXIT_OK
    except OSError as error:  # most likely of the output, such as a full disk
        _discard_output()
        named = f"{error.filename}: " if isinstance(error.filename, str) else ""
        told = printable(f"{named}{error.strerror or error}")
        print(f"flowlog {options.command}: {told}", file=sys.stderr)
        return EXIT_FAILED


def whole_parser() -> argparse.ArgumentParser:
    """A parser with the options of every command whose packages are installed."""
    parser, commands = _parser()
    for name, command in commands.items():
        try:
            _declare(name, command)
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("flowlog_core"):
                raise
    return parser


def _parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """The parser, and that of each command, which knows no options yet."""
    parser = argparse.ArgumentParser(
        prog="flowlog",
        description="Azure network flow logs (NSG v1, v2 and VNet v4) as normalized records.",
        epilog="Help on a command: flowlog COMMAND --help",
    )
    parser.add_argument("--version", action="version", version=f"flowlog {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands = {}
    for name, summary in _COMMANDS.items():
        command = subparsers.add_parser(
            name, help=summary, formatter_class=HelpFormatter, add_help=False
        )
        command.set_defaults(command_parser=command)
        commands[name] = command
    return parser, commands


def _declare(name: str, command: argparse.ArgumentParser) -> ModuleType:
    """Import the module of a command and declare its options."""
    module = importlib.import_module(f"flowlog_core.cli.{_ALIASES.get(name, name)}")
    command.description = module.__doc__
    module.add_arguments(command)
    add_common_arguments(command)
    return module


def _not_installed(command: str, error: ModuleNotFoundError) -> str:
    return (
        f"flowlog {command} needs packages that are not installed (no module {error.name}). Run: "
        f"pip install 'flowlog-azure[{NEEDED_EXTRA[command]}]'"
    )


def _discard_output() -> None:
    """Discard what Python flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _without_options(arguments: Sequence[str] | None) -> list[str]:
    """The arguments up to the command's name; what follows is for the command's own parser."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    for position, argument in enumerate(given):
        if not argument.startswith("-"):
            return given[: position + 1]
    return given
