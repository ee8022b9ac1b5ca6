"""Measured time and waiting. The time of day comes from the storage service (see `claim`)."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar


class Clock(Protocol):
    """Measures time and waits; injected, so that tests control how time passes."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""
        ...


class SystemClock:
    """The machine's own clock."""

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        time.sleep(seconds)


Step = TypeVar("Step", bound=str)
T = TypeVar("T")


class Stopwatch(Generic[Step]):
    """Divides the time since its creation among named steps; exactly one runs at any moment.

    `seconds` is up to date whenever a step begins or ends. Not thread-safe.
    """

    def __init__(self, clock: Clock, step: Step) -> None:
        self._clock, self._step = clock, step
        self._since = clock.monotonic()
        self.seconds: defaultdict[Step, float] = defaultdict(float)

    @contextmanager
    def step(self, step: Step) -> Iterator[None]:
        """Count the time of a `with` block for `step`, then return to the outer step."""
        outer = self._step
        self.begin(step)
        try:
            yield
        finally:
            self.begin(outer)

    def each(self, step: Step, items: Iterable[T]) -> Iterator[T]:
        """The items, with the time that it takes to produce them counted for `step`."""
        iterator = iter(items)
        while True:
            try:
                with self.step(step):
                    item = next(iterator)
            except StopIteration:
                return
            yield item

    def begin(self, step: Step) -> None:
        """End the running step, and begin `step`."""
        now = self._clock.monotonic()
        self.seconds[self._step] += now - self._since
        self._step, self._since = step, now
