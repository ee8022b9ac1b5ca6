"""Several storage calls at a time, up to a limit that the sends of a process share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")


class Parallel:
    """A thread pool of the process. Each call of it may use all threads.

    An item is drawn once a thread is free for it, so its call begins right after it was drawn:
    whatever was checked by drawing it is still true. Drawing must not call the same `Parallel`
    again, which could wait for ever.
    """

    def __init__(self, max_in_flight: int) -> None:
        self._max_in_flight = max_in_flight
        self._pool = ThreadPoolExecutor(max_in_flight, thread_name_prefix="flowlog-send")
        self._free = threading.Semaphore(max_in_flight)

    def __call__(self, items: Iterable[T], do: Callable[[T], object]) -> int:
        """Call `do` for every item; return how many there were.

        Takes the next item when there is room for another call.

        Raises what the iterable or `do` raises, after every started call has ended.
        """
        under_way: set[Future[object]] = set()
        waiting = iter(items)
        count = 0

        def free_after(item: T) -> object:
            try:
                return do(item)
            finally:
                self._free.release()

        try:
            while True:
                if len(under_way) >= self._max_in_flight:
                    done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                    for future in done:
                        future.result()
                self._free.acquire()
                try:
                    item = next(waiting)
                    future = self._pool.submit(free_after, item)
                except BaseException as error:
                    self._free.release()
                    if isinstance(error, StopIteration):
                        break
                    raise
                under_way.add(future)
                count += 1
        finally:
            wait(under_way)
        for future in under_way:
            future.result()
        return count

    def close(self) -> None:
        """Wait for the started calls, and end the threads."""
        self._pool.shutdown()
