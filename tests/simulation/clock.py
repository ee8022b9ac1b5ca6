"""The clock of a simulation, and the probabilities of its faults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from random import Random

from flowlog_core.testing.memory import ManualClock


class Timeline:
    """Runs planned actions in order of time; `clock` is the storage service's."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self._planned: list[tuple[float, int, Callable[[], object]]] = []
        self._count = 0

    @property
    def now_s(self) -> float:
        """The storage service's exact time; its answers have whole seconds."""
        return self.clock.now_s

    def after(self, seconds: float, do: Callable[[], object]) -> None:
        """Plan `do` in `seconds` from now."""
        self._count += 1
        heappush(self._planned, (self.clock.now_s + seconds, self._count, do))

    def run(self, until: Callable[[], bool]) -> None:
        """Run everything that is planned, or until `until` returns True."""
        while self._planned and not until():
            self.clock.now_s, _, do = heappop(self._planned)
            do()


@dataclass(frozen=True, slots=True)
class Weather:
    """Probability of each fault, from 0 to 1: at a storage call, a commit or an event."""

    # At a storage call.
    crash: float = 0
    """The worker ends there, before or after the call took effect."""
    unavailable: float = 0
    """503; the call had no effect."""
    ambiguous: float = 0
    """A timeout, but the call took effect: at once, or later, when nobody waits for it."""
    blind_retry: float = 0
    """The SDK lost the answer and retried; the retry finds the effect of the first call."""
    suspended: float = 0
    """The worker is suspended for a large part of its claim, or for longer."""
    frozen: float = 0
    """When an idle machine gets an event: its clock stood still for a part of the rest."""
    # At a commit by Network Watcher.
    rewritten: float = 0
    """The blob gets other or less content, or is deleted and comes back."""
    torn: float = 0
    """An entry is committed in two halves."""
    refused: float = 0
    """An entry is one that the sink refuses for what it is, time and again."""
    # At an event.
    lost: float = 0
    doubled: float = 0
    late: float = 0
    """By up to minutes, so that later events overtake it."""


CALM = Weather()


def some_weather(rng: Random) -> Weather:
    """A fifth of all schedules has only repeated and late events; the others are mixed."""

    def odds(*choices: float) -> float:
        return rng.choice(choices)

    doubled, late, torn = odds(0, 0.3, 0.8), odds(0, 0.1, 0.3), odds(0, 0, 0.3)
    if rng.random() < 0.2:
        return Weather(torn=torn, doubled=doubled, late=late)
    return Weather(
        crash=odds(0, 0, 0, 0.02, 0.06),
        unavailable=odds(0, 0, 0.02, 0.08, 0.2),
        ambiguous=odds(0, 0, 0.02, 0.08),
        blind_retry=odds(0, 0.03, 0.15),
        suspended=odds(0, 0, 0.02, 0.08),
        frozen=odds(0, 0, 0.2, 0.5),
        rewritten=odds(0, 0, 0, 0.15, 0.4),
        torn=torn,
        lost=odds(0, 0, 0, 0.1, 0.5),
        doubled=doubled,
        late=late,
    )
