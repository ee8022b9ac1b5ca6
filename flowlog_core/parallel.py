"""Several storage calls at a time, up to a limit that the sends of a process share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """Items that know whether the one given out is the last: the next one is drawn before it.

    `before_each` is called after that, right before an item is given out.
    """

    def __init__(self, items: Iterable[T], before_each: Callable[[], object]) -> None:
        self._items, self._before_each = iter(items), before_each
        self._ahead: list[T] = []
        self.is_last = False

    def __iter__(self) -> Ahead[T]:
        """Itself: the items are given out once."""
        return self

    def __next__(self) -> T:
        """The next item. Raises what drawing the one after it raises."""
        item = self._ahead.pop() if self._ahead else next(self._items)
        self._ahead += islice(self._items, 1)
        self.is_last = not self._ahead
        self._before_each()
        return item


class Parallel:
    """A thread pool of the process. Each call of it may use all threads.

    An item is taken once a thread is free for it, so its call begins right after: what was checked
    while taking it, such as a claim, is still true. Taking an item must not call the same
    `Parallel`, which could wait forever.
    """

    def __init__(self, max_in_flight: int) -> None:
        self._max_in_flight = max_in_flight
        self._pool = ThreadPoolExecutor(max_in_flight, thread_name_prefix="flowlog-send")
        self._free = threading.Semaphore(max_in_flight)

    def __call__(self, items: Iterable[T], do: Callable[[T], object]) -> int:
        """Call `do` for every item; return how many there were.

        Takes the next item when there is room for another call. For the last one of `Ahead` this
        thread calls `do`, as it would only wait: most appends make one message.

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
                    is_last = isinstance(items, Ahead) and items.is_last
                    if not is_last:
                        under_way.add(self._pool.submit(free_after, item))
                except BaseException as error:
                    self._free.release()
                    if isinstance(error, StopIteration):
                        break
                    raise
                count += 1
                if is_last:
                    free_after(item)
                    break
        finally:
            wait(under_way)
        for future in under_way:
            future.result()
        return count

    def close(self) -> None:
        """Wait for the started calls, and end the threads."""
        self._pool.shutdown()
