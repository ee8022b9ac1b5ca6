"""What suits a terminal: no text that steers it, its width, colour, a line of progress."""

from __future__ import annotations

import io
import os
import re
import select
import shutil
import sys
import time
from collections.abc import Mapping
from itertools import accumulate
from typing import TextIO

from flowlog_core.observe.printable import printable as printable  # noqa: PLC0414 - for all commands

_EVERY_S = 0.2
# ECMA-48: "cursor position", "erase in line", "erase in page", and "select graphic rendition"
_HOME, _REST_OF_LINE, _REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def can_draw(out: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether `out` is a terminal that can move its cursor."""
    return out.isatty() and environ.get("TERM", "dumb") != "dumb"


def is_coloured(out: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether to colour what is written: only on a terminal, and not with NO_COLOR."""
    return can_draw(out, environ) and not environ.get("NO_COLOR")


def columns_of(out: TextIO) -> int | None:
    """How wide a terminal is; None for anything else, where lines may be of any length."""
    return shutil.get_terminal_size().columns if out.isatty() else None


class AsTerminal(io.StringIO):
    """Keeps what is written as it is for a terminal."""

    def isatty(self) -> bool:
        """It is."""
        return True


def screenful(text: str, size: os.terminal_size) -> str:
    """What puts `text` in place of all that a terminal shows, cut where the screen ends.

    Otherwise its beginning, which says most, would be scrolled away.
    """
    lines = text.splitlines()
    # A line that is too long takes several of the screen.
    rows = [max(1, -(-len(_COLOUR.sub("", line)) // size.columns)) for line in lines]
    below = size.lines - 1  # for the cursor
    if sum(rows) > below:
        kept = sum(used < below for used in accumulate(rows))
        left = len(lines) - kept
        lines = [*lines[:kept], f"… and {left} more {'line' if left == 1 else 'lines'}"]
    shown = "".join(f"{line}{_REST_OF_LINE}\n" for line in lines)
    return f"{_HOME}{shown}{_REST_OF_SCREEN}"


def is_read_no_more(out: TextIO) -> bool:
    """Whether `out` is a pipe whose reader has gone, as `head` does once it has its lines."""
    if not hasattr(select, "poll"):  # on Windows only a write can tell
        return False
    try:
        poll = select.poll()
        poll.register(out.fileno(), 0)  # errors and hang-ups are always reported
    except (OSError, ValueError):  # no file
        return False
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


class ProgressLine:
    """One line on standard error that is written over, while that is a terminal."""

    def __init__(self, *, is_wanted: bool = True, out: TextIO | None = None) -> None:
        self._out = out or sys.stderr
        self._is_shown = is_wanted and can_draw(self._out)
        self._next = 0.0
        self._is_there = False

    def is_due(self) -> bool:
        """Whether the line is shown and has stood for a moment, so that a new one can be read."""
        return self._is_shown and time.monotonic() >= self._next

    def show(self, text: str) -> None:
        """Write `text` in place of the line, cut to the terminal's width."""
        if not self._is_shown:
            return
        self._next = time.monotonic() + _EVERY_S
        cut = text[: shutil.get_terminal_size().columns - 1]
        self._out.write(f"\r{cut}{_REST_OF_LINE}")
        self._out.flush()
        self._is_there = True

    def clear(self) -> None:
        """Take the line away, so that other text has its place."""
        if self._is_there:
            self._out.write(f"\r{_REST_OF_LINE}")
            self._out.flush()
            self._is_there, self._next = False, 0.0
