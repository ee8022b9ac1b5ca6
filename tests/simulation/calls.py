"""Storage calls in a simulation: each takes time, and some fail.

At each call the worker pauses twice while others run: before the call takes effect, and before its
answer arrives. The `Weather` decides what fails.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import NoReturn, Protocol, TypeVar

from greenlet import GreenletExit

from flowlog_core.errors import FlowlogError, Refused, Unavailable
from flowlog_core.testing.memory import MemoryBlobs, MemoryCheckpoints, MemoryDeadLetters
from simulation.clock import Timeline, Weather
from simulation.judge import Attempt, Judge, Violated, true_time

T = TypeVar("T")

_MAX_CALLS = 2000


@dataclass
class World:
    """What all workers of one simulation share."""

    rng: Random
    weather: Weather
    timeline: Timeline
    checkpoints: MemoryCheckpoints
    blobs: MemoryBlobs
    letters: MemoryDeadLetters
    judge: Judge
    counts: Counter[str]
    owned_for_s: float
    sends_in_flight: int
    note: Callable[[str, str], None]
    is_release_bad: bool = False
    """The sink refuses every request, and blames none of the items in them."""
    """Writes to the trace: who, and what."""


class Process(Protocol):
    """Runs a worker."""

    def wait(self, seconds: float) -> None:
        """Let other workers run for `seconds`."""
        ...

    def crash(self) -> NoReturn:
        """End the worker here, and perhaps its instance, without any cleanup."""
        ...

    def stop(self, violated: Violated) -> NoReturn:
        """End the simulation."""
        ...


class Line:
    """One worker's connection: it makes calls, which take time and may fail."""

    def __init__(self, world: World, attempt: Attempt, process: Process) -> None:
        self.world, self.attempt, self._process = world, attempt, process

    @property
    def now(self) -> datetime:
        """The services' time, exactly."""
        return true_time(self.world.timeline.now_s)

    def call(
        self,
        what: str,
        effect: Callable[[], T],
        *,
        writes: bool = True,
        at_checkpoint: bool = False,
        second: Callable[[], T] | None = None,
    ) -> T:
        """Make a call that does `effect`. On a blind retry of the SDK, do `second` or it again."""
        world, attempt = self.world, self.attempt
        if attempt.is_gone:
            raise GreenletExit
        attempt.calls += 1
        if attempt.calls > _MAX_CALLS:
            self.stop(Violated("every call of ingest ends", f"{attempt.owner} goes on and on"))
        world.counts["storage calls"] += 1
        fault = self._fault(writes=writes, at_checkpoint=at_checkpoint)
        world.note(attempt.owner, f"{what}{f'  [{fault}]' if fault else ''}")
        self._travel()
        if fault == "crash before":
            self._process.crash()
        if fault == "crash, effect later":  # the kernel, or the network, still delivers it
            delay = world.rng.random() * world.rng.choice([0.1, 1, world.owned_for_s])
            world.timeline.after(delay, lambda: self._nobody_waits_for(what, effect))
            self._process.crash()
        if fault == "unavailable":
            self._travel()
            raise Unavailable("503: busy")
        if fault == "time-out, effect later":
            delay = world.rng.random() * world.rng.choice([1, world.owned_for_s])
            world.timeline.after(delay, lambda: self._nobody_waits_for(what, effect))
            self._travel()
            raise Unavailable("time-out")
        try:
            answer = effect()
            if fault == "blind retry":
                self._travel()
                answer = (second or effect)()
        except FlowlogError as error:
            attempt.met_trouble |= isinstance(error, Refused)
            world.counts[f"answers: {type(error).__name__}"] += 1
            world.note(attempt.owner, f"    {type(error).__name__}")
            self._travel()
            raise
        except Violated as violated:
            self.stop(violated)
        if fault == "crash after":
            self._process.crash()
        self._travel()
        if fault == "time-out after effect":
            raise Unavailable("time-out")
        return answer

    def stop(self, violated: Violated) -> NoReturn:
        """End the simulation here, in the middle of the worker's code."""
        self._process.stop(violated)

    def _fault(self, *, writes: bool, at_checkpoint: bool) -> str:
        """The fault of this call, if any."""
        weather, rng = self.world.weather, self.world.rng
        dice = rng.random()
        for odds, names, needs_write in (
            (weather.crash, ("crash before", "crash after", "crash, effect later"), False),
            (weather.unavailable, ("unavailable",), False),
            (weather.ambiguous, ("time-out after effect", "time-out, effect later"), True),
            (weather.blind_retry, ("blind retry",), True),
        ):
            if dice < odds and (writes or not needs_write):
                name = rng.choice(names)
                if not name.startswith("crash"):  # the host counts those
                    self.world.counts[f"faults: {name}"] += 1
                if name != "blind retry":
                    self.attempt.met_trouble = True
                    self.attempt.met_trouble_at_checkpoint |= at_checkpoint
                return name
            dice -= odds
        return ""

    def _travel(self) -> None:
        """The time that a request or an answer takes, or that the worker gets no processor."""
        rng, weather = self.world.rng, self.world.weather
        seconds = rng.random() * rng.choice((0.02, 0.02, 0.02, 1.5))
        if rng.random() < weather.suspended:
            self.world.counts["faults: suspended"] += 1
            seconds = self.world.owned_for_s * rng.uniform(0.2, 2.5)
            self.world.note(self.attempt.owner, f"    is suspended for {seconds:.1f} s")
        self._process.wait(seconds)

    def _nobody_waits_for(self, what: str, effect: Callable[[], object]) -> None:
        try:
            effect()
        except FlowlogError:
            return
        self.world.note(self.attempt.owner, f"    only now takes effect: {what}")
