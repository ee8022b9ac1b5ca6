"""What will happen when, in a simulation."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count


class Agenda:
    """What is planned for one moment happens in the order of planning."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._planned: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def at(self, when_s: float, happen: Callable[[], None]) -> None:
        """Plan it."""
        heappush(self._planned, (when_s, next(self._numbers), happen))

    def go_on(self) -> bool:
        """Let the next thing happen; False if nothing is planned."""
        if not self._planned:
            return False
        self.now_s, _, happen = heappop(self._planned)
        happen()
        return True
