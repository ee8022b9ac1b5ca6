"""Several calls at a time: a bound, all done, and errors that come out after the last has ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from flowlog_core.parallel import Ahead, Parallel


@pytest.fixture
def parallel() -> Iterator[Parallel]:
    pool = Parallel(4)
    yield pool
    pool.close()


def test_everything_is_done_once(parallel: Parallel) -> None:
    done: list[int] = []
    assert parallel(range(100), done.append) == 100
    assert sorted(done) == list(range(100))


def test_as_many_as_allowed_are_under_way_and_never_more(parallel: Parallel) -> None:
    lock, now, most = threading.Lock(), 0, 0
    full = threading.Barrier(4)

    def work(item: int) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        if item < 4:
            full.wait(10)  # passes only if four are under way together
        with lock:
            now -= 1

    parallel(range(40), work)
    assert most == 4


def test_items_are_drawn_only_when_there_is_room(parallel: Parallel) -> None:
    """So a large gap's messages are never all in memory."""
    done: list[int] = []
    ahead: list[int] = []

    def items() -> Iterator[int]:
        for item in range(200):
            ahead.append(item + 1 - len(done))
            yield item

    parallel(items(), done.append)
    assert sorted(done) == list(range(200))
    assert max(ahead) <= 4


def test_an_error_comes_out_after_everything_under_way_has_ended(parallel: Parallel) -> None:
    ended: list[int] = []
    started = threading.Barrier(3)

    def work(item: int) -> None:
        if item < 3:
            started.wait(10)
        if item == 0:
            raise ValueError("no")
        ended.append(item)

    with pytest.raises(ValueError, match="no"):
        parallel(range(3), work)
    assert sorted(ended) == [1, 2]


def test_what_drawing_raises_comes_out_and_what_was_drawn_is_done(parallel: Parallel) -> None:
    done: list[int] = []

    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise KeyError("drawing")

    with pytest.raises(KeyError):
        parallel(items(), done.append)
    assert sorted(done) == [1, 2]


def test_a_call_begins_once_its_item_was_drawn_however_many_share_the_threads(
    parallel: Parallel,
) -> None:
    """Drawing renews the claim that a send is made under, so no drawn item may wait in a queue."""
    waited_s: list[float] = []

    def items() -> Iterator[float]:
        for _ in range(10):
            yield time.monotonic()

    def work(drawn_at_s: float) -> None:
        waited_s.append(time.monotonic() - drawn_at_s)
        time.sleep(0.05)

    callers = [threading.Thread(target=parallel, args=(items(), work)) for _ in range(8)]
    before = time.monotonic()
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    took_s = time.monotonic() - before
    assert len(waited_s) == 80
    # With a queue, a caller's items wait for those of the seven others: a third of all the time.
    assert max(waited_s) < took_s / 8


def test_an_error_in_drawing_or_doing_frees_its_thread(parallel: Parallel) -> None:
    def fails(_: int) -> None:
        raise ValueError("no")

    def unreadable() -> Iterator[int]:
        raise KeyError("drawing")
        yield

    for _ in range(10):
        with pytest.raises(ValueError, match="no"):
            parallel([1], fails)
        with pytest.raises(KeyError):
            parallel(unreadable(), fails)
    done: list[int] = []
    assert parallel(range(8), done.append) == 8


def test_the_last_item_of_those_drawn_ahead_is_done_in_the_callers_thread(
    parallel: Parallel,
) -> None:
    for count in range(6):
        threads: dict[int, threading.Thread] = {}

        def work(item: int, threads: dict[int, threading.Thread] = threads) -> None:
            threads[item] = threading.current_thread()

        assert parallel(Ahead(range(count), list), work) == count
        here = threading.current_thread()
        assert [threads[item] is here for item in range(count)] == [False] * (count - 1) + [
            True
        ] * (count > 0)


def test_what_is_called_before_each_item_comes_after_the_next_one_was_drawn() -> None:
    """Drawing may take long, and what is checked before an item must hold when its call begins."""
    seen: list[object] = []

    def items() -> Iterator[str]:
        for name in "abc":
            seen.append(f"draw {name}")
            yield name

    ahead = Ahead(items(), lambda: seen.append("check"))
    seen.extend((name, ahead.is_last) for name in ahead)
    assert seen == [
        *("draw a", "draw b", "check", ("a", False)),
        *("draw c", "check", ("b", False)),
        *("check", ("c", True)),
    ]


def test_an_error_in_the_callers_thread_comes_out_after_those_under_way(parallel: Parallel) -> None:
    done: list[int] = []

    def work(item: int) -> None:
        if item == 1:
            raise ValueError("no")
        time.sleep(0.05)
        done.append(item)

    for _ in range(5):  # and frees its place
        with pytest.raises(ValueError, match="no"):
            parallel(Ahead([0, 1], list), work)
    assert done == [0] * 5
    assert parallel(Ahead(range(2, 9), list), done.append) == 7
