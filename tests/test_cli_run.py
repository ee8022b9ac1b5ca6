"""What `flowlog run` does beside forwarding. tests/test_cli.py runs the command itself."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime, timedelta

import pytest

from flowlog_core.cli.run import Looks, clean_up_daily
from flowlog_core.errors import Unavailable
from flowlog_core.sweep.report import SweepReport
from flowlog_core.testing.memory import ManualClock

SINCE = datetime(2026, 1, 1, tzinfo=UTC)


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


class Asked:
    """Notes how `catch_up` is called; a look at all hours takes `whole_s`."""

    def __init__(self, clock: ManualClock, whole_s: float) -> None:
        self.clock, self.whole_s = clock, whole_s
        self.looks: list[tuple[bool, bool, bool]] = []

    def __call__(
        self,
        stop: threading.Event,
        forward_since: datetime | None = None,
        *,
        look_since: datetime | None = None,
        waits_after_failures: bool = True,
        is_noted: bool = False,
    ) -> SweepReport:
        assert (stop.is_set(), forward_since) == (False, SINCE)
        if look_since is None:
            self.clock.sleep(self.whole_s)
        else:
            assert timedelta(hours=2, minutes=59) < datetime.now(UTC) - look_since
        self.looks.append((look_since is None, is_noted, waits_after_failures))
        return SweepReport()


def test_all_hours_are_looked_at_each_time_if_that_is_quick() -> None:
    clock = ManualClock()
    asked = Asked(clock, whole_s=0.5)
    looks = Looks(asked, threading.Event(), SINCE, clock)
    for _ in range(4):
        looks.next()
        clock.sleep(25)
    assert asked.looks == [
        (True, True, False),
        (True, False, True),
        (True, False, True),
        (True, True, True),
    ]


def test_if_that_takes_long_all_hours_are_looked_at_once_a_minute_and_else_the_youngest() -> None:
    clock = ManualClock()
    asked = Asked(clock, whole_s=20)
    looks = Looks(asked, threading.Event(), SINCE, clock)
    was_whole = []
    for _ in range(6):
        looks.next()
        was_whole.append(looks.was_whole)
        clock.sleep(10)
    assert was_whole == [True, False, False, False, True, False]
    assert asked.looks[0] == (True, True, False)
    assert asked.looks[1:5] == [(False, False, True)] * 3 + [(True, True, True)]
    looks.next(is_whole=True)
    assert asked.looks[-1] == (True, True, True)


def test_a_look_that_fails_is_a_warning_and_the_next_is_as_after_any_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = ManualClock()

    def catch_up(*_: object, **__: object) -> SweepReport:
        clock.sleep(5)
        raise Unavailable("the table does not answer")

    looks = Looks(catch_up, threading.Event(), None, clock)
    assert looks.next() is None
    assert caplog.messages == ["cannot look for what is behind: the table does not answer"]
    looks.next()
    assert not looks.was_whole
