from __future__ import annotations

from collections.abc import Iterator

import pytest

from flowlog_core.clock import Stopwatch
from flowlog_core.testing.memory import ManualClock


def test_a_stopwatch_counts_every_second_for_one_step() -> None:
    clock = ManualClock(100)
    stopwatch: Stopwatch[str] = Stopwatch(clock, "outer")
    clock.sleep(1)
    with stopwatch.step("inner"):
        clock.sleep(2)
        with stopwatch.step("innermost"):
            clock.sleep(4)
        clock.sleep(8)
    clock.sleep(16)
    stopwatch.begin("outer")
    assert stopwatch.seconds == {"outer": 17, "inner": 10, "innermost": 4}


def test_a_step_ends_with_its_block_however_that_ends() -> None:
    clock = ManualClock()
    stopwatch: Stopwatch[str] = Stopwatch(clock, "outer")

    def fail() -> None:
        with stopwatch.step("inner"):
            clock.sleep(1)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    clock.sleep(2)
    stopwatch.begin("outer")
    assert stopwatch.seconds == {"outer": 2, "inner": 1}


def test_producing_items_is_a_step_and_using_them_is_another() -> None:
    clock = ManualClock()
    stopwatch: Stopwatch[str] = Stopwatch(clock, "use")

    def items() -> Iterator[int]:
        for item in range(3):
            clock.sleep(1)
            yield item
        clock.sleep(1)

    for item in stopwatch.each("produce", items()):
        clock.sleep(10 * item)
    stopwatch.begin("use")
    assert stopwatch.seconds == {"use": 30, "produce": 4}


def test_what_producing_an_item_raises_comes_out() -> None:
    clock = ManualClock()
    stopwatch: Stopwatch[str] = Stopwatch(clock, "use")

    def items() -> Iterator[int]:
        clock.sleep(1)
        yield 1
        clock.sleep(2)
        raise KeyError

    drawn = stopwatch.each("produce", items())
    assert next(drawn) == 1
    clock.sleep(4)
    with pytest.raises(KeyError):
        next(drawn)
    stopwatch.begin("use")
    assert stopwatch.seconds == {"use": 4, "produce": 3}
