"""Draws views on a terminal, or writes a line every few seconds if output is not a terminal."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Mapping
from typing import TextIO

from flowlog_core.cli.terminal import can_draw, is_coloured
from flowlog_core.demo.screen import Line, Style, View, progress, screen

FRAME_S = 0.25
_LINE_EVERY_S = 3.0
# ECMA-48 "select graphic rendition", and the private modes of xterm that all terminals know.
_STYLES: dict[Style, str] = {"plain": "", "title": "1;7", "dim": "2", "strong": "1", "bad": "1;31"}
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"  # alternate screen, cursor hidden
_HOME, _REST_OF_LINE, _REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"


class Display:
    """A context manager that restores the terminal on leaving."""

    def __init__(
        self,
        out: TextIO | None = None,
        environ: Mapping[str, str] = os.environ,
        *,
        is_wanted: bool = True,
    ) -> None:
        self._out = sys.stdout if out is None else out
        self._is_wanted = is_wanted
        self._draws = is_wanted and can_draw(self._out, environ)
        self._paints = is_coloured(self._out, environ)
        self._next_line_at_s = time.monotonic() + _LINE_EVERY_S

    def __enter__(self) -> Display:
        if self._draws:
            self._write(_ENTER)
        return self

    def __exit__(self, *_: object) -> None:
        if self._draws:
            self._write(_LEAVE)

    def show(self, view: View) -> None:
        """Draw the view, or write its line if the last one is a few seconds old."""
        if self._draws:
            size = shutil.get_terminal_size()
            lines = map(self.painted, screen(view, size.columns, size.lines))
            # No line end after the last line: it would scroll a full screen.
            frame = f"{_REST_OF_LINE}\r\n".join(lines)
            self._write(f"{_HOME}{frame}{_REST_OF_LINE}{_REST_OF_SCREEN}")
        elif self._is_wanted and time.monotonic() >= self._next_line_at_s:
            self._next_line_at_s = time.monotonic() + _LINE_EVERY_S
            self._write(progress(view) + "\n")

    def painted(self, line: Line) -> str:
        """The line's text, with its style if the terminal can show it."""
        style = _STYLES[line.style]
        return f"\x1b[{style}m{line.text}\x1b[0m" if style and self._paints else line.text

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()
