"""What `flowlog run` does beside forwarding. tests/test_cli.py runs the command itself."""

from __future__ import annotations

import logging
import threading

import pytest

from flowlog_core.cli.run import clean_up_daily
from flowlog_core.errors import Unavailable


class Waits(threading.Event):
    """Notes how long it is waited for, and is set at the last of so many waits."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.waited_s: list[float | None] = []
        self._most = most

    def wait(self, timeout: float | None = None) -> bool:
        self.waited_s.append(timeout)
        return len(self.waited_s) >= self._most


def test_old_checkpoints_go_an_hour_after_the_start_and_then_daily_whatever_fails(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stop, told = Waits(3), []

    def clean_up(told_to_stop: threading.Event) -> int:
        told.append(told_to_stop)
        if len(told) == 1:
            raise Unavailable("the table does not answer")
        return 7

    with caplog.at_level(logging.WARNING):
        clean_up_daily(clean_up, stop)
    assert stop.waited_s == [3600, 24 * 3600, 24 * 3600]
    assert told == [stop, stop]
    assert caplog.messages == [
        "cannot remove old checkpoints, tomorrow again: the table does not answer"
    ]
