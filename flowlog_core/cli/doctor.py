"""Look for what keeps flow logs from being forwarded, and say what to do about it.

Checks the settings, whether each account is reached and allows what Flowlog does there, whether
containers, queues and tables exist, the clock, whether events arrive and whether the trigger fits
the plan. It answers within half a minute, even if nothing else does. No consumer sees anything of
it, and nothing is created without --fix.

Run it with the app's settings. Where these name an identity, run it where that identity is.

Exit code: 0 all is well, but for warnings; 1 there are faults; 2 the settings cannot be read.

Examples:
  flowlog doctor --settings local.settings.json
  flowlog doctor --json | jq '.findings[] | select(.level != "ok")'
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from typing import TextIO

from flowlog_core.cli.environment import add_settings_argument, environment_of
from flowlog_core.cli.output import printable
from flowlog_core.config.settings import Settings
from flowlog_core.doctor.examine import Told, examine
from flowlog_core.doctor.facts import Finding, Level
from flowlog_core.doctor.installation import Installation
from flowlog_core.errors import SettingsError

_SYMBOLS: dict[Level, str] = {"ok": "✓", "warning": "!", "fault": "✗"}
_PLAIN: dict[Level, str] = {"ok": "+", "warning": "!", "fault": "x"}
_COLOURS: dict[Level, str] = {"ok": "32", "warning": "33", "fault": "31"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `flowlog doctor`."""
    add_settings_argument(parser)
    parser.add_argument(
        "--fix",
        action="store_true",
        help="create the queue, tables and container of Flowlog's own that are missing",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object, for machines")


def run(options: argparse.Namespace) -> int:
    """Examine and print. Returns the exit code."""
    # What the SDK would warn of is what is told in better words.
    logging.getLogger("azure").setLevel(logging.CRITICAL)
    unreadable = False
    try:
        environment = environment_of(options)
        settings = Settings.from_environment(environment)
    except SettingsError as error:
        told = [Told("Settings", Finding("fault", fault)) for fault in error.faults]
        unreadable = True
    except (OSError, ValueError) as error:
        told = [Told("Settings", Finding("fault", str(error), "Name a local.settings.json"))]
        unreadable = True
    else:
        told = _told_by(settings, environment, may_create=options.fix)
    if options.json:
        print(to_json(told))
    else:
        write(told, sys.stdout, is_coloured=sys.stdout.isatty() and "NO_COLOR" not in os.environ)
    return 2 if unreadable else 1 if _count(told, "fault") else 0


def _told_by(settings: Settings, environment: dict[str, str], *, may_create: bool) -> list[Told]:
    try:
        installation = Installation.of(settings, environment, may_create=may_create)
    except ValueError as error:  # the SDK, of a connection string: its value is not in the text
        to_do = "Copy the connection string anew from the storage account's access keys"
        return [Told("Settings", Finding("fault", f"a connection cannot be used: {error}", to_do))]
    try:
        return examine(installation)
    finally:
        installation.service.close()


def to_json(told: Sequence[Told]) -> str:
    """All findings in order, and how many faults and warnings there are."""
    return json.dumps(
        {
            "findings": [{"about": one.about, **asdict(one.finding)} for one in told],
            "faults": _count(told, "fault"),
            "warnings": _count(told, "warning"),
        },
        indent=2,
    )


def write(told: Sequence[Told], out: TextIO, *, is_coloured: bool) -> None:
    """For people: a line a finding under its heading, what to do below it, a summary at the end."""
    try:
        "".join(_SYMBOLS.values()).encode(out.encoding or "utf-8")
        symbols = _SYMBOLS
    except UnicodeEncodeError:
        symbols = _PLAIN
    for about, group in groupby(told, key=lambda one: one.about):
        out.write(f"{about}\n")
        for _, finding in group:
            symbol = symbols[finding.level]
            if is_coloured:
                symbol = f"\x1b[{_COLOURS[finding.level]}m{symbol}\x1b[0m"
            out.write(f"  {symbol} {printable(finding.what)}\n")
            if finding.to_do:
                out.write(f"      {printable(finding.to_do)}\n")
    faults, warnings = _count(told, "fault"), _count(told, "warning")
    well = len(told) - faults - warnings
    out.write(f"\n{_number(faults, 'fault')}, {_number(warnings, 'warning')}, {well} well\n")


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _count(told: Sequence[Told], level: Level) -> int:
    return sum(one.finding.level == level for one in told)
