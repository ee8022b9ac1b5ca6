"""The findings as text for people and as JSON for programs."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import NamedTuple, TextIO

from flowlog_core.config.checks import Finding, Level


class Told(NamedTuple):
    """A finding under its heading."""

    about: str
    finding: Finding


class _Style(NamedTuple):
    symbol: str
    plain: str
    """In place of `symbol` if the output cannot encode it."""
    colour: str
    text_colour: str
    """Style of the text after the symbol: `ok` is dim, a fault is bold."""


_STYLES: dict[Level, _Style] = {
    "ok": _Style("✓", "+", "32", "2"),
    "unknown": _Style("?", "?", "36", "0"),
    "warning": _Style("!", "!", "33", "0"),
    "fault": _Style("✗", "x", "31", "1"),
}
_ARROW, _PLAIN_ARROW = "→", "->"
_NARROWEST = 40


def to_json(told: Sequence[Told]) -> str:
    """All findings in order, and how many faults, warnings and unknowns there are."""
    return json.dumps(
        {
            "findings": [{"about": one.about, **asdict(one.finding)} for one in told],
            "faults": count(told, "fault"),
            "warnings": count(told, "warning"),
            "unknown": count(told, "unknown"),
        },
        indent=2,
    )


def write(
    told: Sequence[Told],
    out: TextIO,
    printable: Callable[[str], str],
    *,
    is_coloured: bool,
    width: int | None = None,
) -> None:
    """Write one line for each finding under its heading, what to do below it, and a summary.

    `printable` escapes what could steer a terminal. With a `width` in characters, lines are
    wrapped; without one, each finding stays on one line, for `grep`. Where findings that follow
    each other need the same action, it is written once, below the last.
    """
    is_plain = not _can_encode(out)
    arrow = _PLAIN_ARROW if is_plain else _ARROW
    width = width and max(width, _NARROWEST)
    for position, (about, group) in enumerate(groupby(told, key=lambda one: one.about)):
        gap = "\n" if position else ""
        out.write(f"{gap}{_coloured(printable(about), '1', is_coloured)}\n")
        findings = [one.finding for one in group]
        for finding, following in zip(findings, [*findings[1:], None], strict=True):
            style = _STYLES[finding.level]
            symbol = _coloured(style.plain if is_plain else style.symbol, style.colour, is_coloured)
            for line in _wrapped(printable(finding.what), 4, width):
                text = _coloured(line, style.text_colour, is_coloured)
                out.write(f"  {symbol} {text}\n" if symbol else f"    {text}\n")
                symbol = ""
            if finding.to_do and not (following and following.to_do == finding.to_do):
                first = f"{arrow} "
                for line in _wrapped(printable(finding.to_do), 4 + len(first), width):
                    out.write(f"    {first}{line}\n")
                    first = " " * len(first)
    out.write(f"\n{summary(told)}\n")


def summary(told: Sequence[Told]) -> str:
    """How many findings of each level there are, in one line."""
    parts = [
        _number(count(told, "fault"), "fault"),
        _number(count(told, "warning"), "warning"),
        f"{count(told, 'unknown')} not checked",
        f"{count(told, 'ok')} ok",
    ]
    return ", ".join(part for part in parts if part != "0 not checked")


def count(told: Sequence[Told], level: Level) -> int:
    """How many findings of this level there are."""
    return sum(one.finding.level == level for one in told)


def _wrapped(text: str, indent: int, width: int | None) -> list[str]:
    if width is None:
        return [text]
    return textwrap.wrap(text, width - indent, break_long_words=False, break_on_hyphens=False) or [
        ""
    ]


def _coloured(text: str, colour: str, is_coloured: bool) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if is_coloured and colour != "0" else text


def _can_encode(out: TextIO) -> bool:
    symbols = "".join(style.symbol for style in _STYLES.values()) + _ARROW
    try:
        symbols.encode(out.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _number(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
