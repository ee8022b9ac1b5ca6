"""Several storage calls at a time, up to a limit that sinks and dead letters share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")


class Parallel:
    """The thread pool of a process. Each call of it may use all threads."""

    def __init__(self, max_in_flight: int) -> None:
        self._max_in_flight = max_in_flight
        self._pool = ThreadPoolExecutor(max_in_flight, thread_name_prefix="flowlog-send")

    def __call__(self, items: Iterable[T], do: Callable[[T], object]) -> int:
        """Call `do` for every item; return how many there were.

        Takes the next item when there is room for another call.

        Raises what the iterable or `do` raises, after every started call has ended.
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
        """Wait for the started calls, and end the threads."""
        self._pool.shutdown()
