"""Several storage calls at a time, within a bound: the sinks and the dead letters share it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")


class Parallel:
    """A pool of threads for a whole process; each `__call__` may use all of it."""

    def __init__(self, max_in_flight: int) -> None:
        self._max_in_flight = max_in_flight
        self._pool = ThreadPoolExecutor(max_in_flight, thread_name_prefix="flowlog-send")

    def __call__(self, items: Iterable[T], do: Callable[[T], object]) -> int:
        """Do all, return how many; an item is drawn when there is room for it.

        Whatever drawing or doing raises comes out once everything under way has ended.
        """
        under_way: set[Future[object]] = set()
        waiting = iter(items)
        count = 0
        try:
            while True:
                if len(under_way) >= self._max_in_flight:
                    done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                    for future in done:
                        future.result()
                try:
                    item = next(waiting)
                except StopIteration:
                    break
                under_way.add(self._pool.submit(do, item))
                count += 1
        finally:
            wait(under_way)
        for future in under_way:
            future.result()
        return count

    def close(self) -> None:
        """Wait for what is under way and end the threads."""
        self._pool.shutdown()
