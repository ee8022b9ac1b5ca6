"""How far a transfer went: a bar with blobs, bytes, rate and time left, on a terminal."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flowlog_core.cli.terminal import ProgressLine
from flowlog_core.cli.words import in_bytes, in_words

_BAR_WIDTH = 16
_RATE_AFTER_S = 1.0


class TransferProgress:
    """Counts what arrives, from any thread. Shows nothing if progress is not wanted."""

    def __init__(
        self,
        line: ProgressLine,
        blobs: int,
        total_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._line, self._clock = line, clock
        self._blobs, self._total = blobs, total_bytes
        self._done = self._bytes = self._before = 0
        self._began = clock()
        self._lock = threading.Lock()

    def go_on_from(self, blobs: int, count: int) -> None:
        """So much was done by an earlier run; the rate is of this one."""
        self._done, self._bytes, self._before = blobs, count, count

    def read(self, count: int) -> None:
        """So many more bytes arrived."""
        with self._lock:
            self._bytes += count
            self._show()

    def done(self) -> None:
        """One more blob is through."""
        with self._lock:
            self._done += 1
            self._show()

    def text(self) -> str:
        """The line."""
        took_s = self._clock() - self._began
        share = min(1.0, self._bytes / self._total) if self._total else 1.0
        filled = round(share * _BAR_WIDTH)
        parts = [
            f"{'█' * filled}{'░' * (_BAR_WIDTH - filled)} {share:4.0%}",
            f"{self._done:,} of {self._blobs:,} blobs",
            f"{in_bytes(self._bytes)} of {in_bytes(self._total)}",
        ]
        if took_s >= _RATE_AFTER_S and self._bytes > self._before:
            rate = (self._bytes - self._before) / took_s
            left_s = max(0, self._total - self._bytes) / rate
            parts += [f"{in_bytes(rate)}/s", f"{in_words(math.ceil(left_s))} left"]
        return "  ".join(parts)

    def _show(self) -> None:
        if self._line.is_due():
            self._line.show(self.text())


@contextmanager
def line_above_logs(line: ProgressLine) -> Iterator[ProgressLine]:
    """Take the line away before anything is logged, and in the end."""

    def clear(_record: logging.LogRecord) -> bool:
        line.clear()
        return True

    handlers = list(logging.getLogger().handlers)
    for handler in handlers:
        handler.addFilter(clear)
    try:
        yield line
    finally:
        for handler in handlers:
            handler.removeFilter(clear)
        line.clear()
