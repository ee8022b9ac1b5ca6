"""A worker in a simulation: a greenlet in which `ingest` runs once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, NoReturn, cast

from greenlet import GreenletExit, greenlet

from flowlog_core.blob import BlobRef
from flowlog_core.checkpoints.checkpoint import CheckpointStore
from flowlog_core.checkpoints.released import Released
from flowlog_core.ingest import Outcome, Pipeline, ingest
from flowlog_core.ingest_event import ingest_event
from flowlog_core.source.events import CommittedBlob
from flowlog_core.testing.memory import ManualClock
from simulation.calls import Line
from simulation.judge import Attempt, Violated
from simulation.storage import (
    SimulatedBlobs,
    SimulatedCheckpoints,
    SimulatedDeadLetters,
    SimulatedSink,
)

if TYPE_CHECKING:
    from simulation.host import Schedule


_NEVER = 1 << 30  # entries are set aside after deaths: here no entry is at fault


@dataclass(eq=False)
class Event:
    """An event for a blob, as the host delivers it."""

    blob: BlobRef
    etag: str | None = None
    """Of the version committed; None for what the sweep hands out."""
    tries: int = 0
    is_of_sweep: bool = False


class _OwnClock:
    """The clock of a worker's instance."""

    def __init__(self, instance: Instance, sleep: Callable[[float], None]) -> None:
        self.monotonic, self.sleep = instance.monotonic, sleep


class Instance:
    """A process that runs workers: its own clock, and what it remembers of its releases.

    The clock runs as fast as the service's and started some other day. While no worker runs the
    machine may be frozen, and the clock stands still.
    """

    def __init__(self, clock: ManualClock, rng: Random, counts: Counter[str]) -> None:
        self._clock, self._rng, self._counts = clock, rng, counts
        self._running = 0
        self.start()

    def start(self) -> None:
        """Begin anew, as after a crash: nothing is remembered."""
        self._ahead_s = self._rng.uniform(-900, 1e6)
        self.released = _Counted(self._counts, self._rng.choice((2, 100)))
        self._idle_since = self._clock.monotonic()

    def enter(self, frozen: float) -> None:
        """A worker begins; with the odds `frozen` the machine was frozen for a part of its rest."""
        if not self._running and self._rng.random() < frozen:
            self._counts["faults: frozen"] += 1
            self._ahead_s -= self._rng.random() * (self._clock.monotonic() - self._idle_since)
        self._running += 1

    def leave(self) -> None:
        """A worker has ended."""
        self._running -= 1
        self._idle_since = self._clock.monotonic()

    def monotonic(self) -> float:
        """What the clock of this instance shows."""
        return self._clock.monotonic() + self._ahead_s


class _Counted(Released):
    def __init__(self, counts: Counter[str], judged_by: int) -> None:
        super().__init__(judged_by=judged_by)
        self._counts = counts

    def held(self, held: bool) -> None:
        super().held(held)
        self._counts[f"remembered releases that {'held' if held else 'did not hold'}"] += 1


class Worker:
    """A greenlet that runs `ingest` once; the `Process` of its storage calls."""

    def __init__(
        self, schedule: Schedule, attempt: Attempt, event: Event, instance: Instance
    ) -> None:
        self.attempt, self.event, self._schedule = attempt, event, schedule
        self.instance = instance
        instance.enter(schedule.world.weather.frozen)
        line = Line(schedule.world, attempt, self)
        self._pipeline = Pipeline(
            SimulatedBlobs(line),
            cast(CheckpointStore, SimulatedCheckpoints(line)),  # all that ingest calls of it
            SimulatedSink(line),
            SimulatedDeadLetters(line),
            schedule.world.owned_for_s,
            _OwnClock(instance, self.wait),
            lambda: attempt.owner,
            schedule.chunk_bytes,
            is_gone=schedule.is_gone,
            max_deaths=_NEVER,
            released=instance.released,
            shaper=schedule.rules.shaper(attempt.number),
        )
        self._greenlet = greenlet(self._run, parent=schedule.greenlet)

    def resume(self) -> None:
        """Run until the next pause, or to the end."""
        if not self.attempt.is_gone:
            self._greenlet.switch()

    def discard(self) -> None:
        """End a paused worker for good; nothing that its code does now has an effect."""
        self.attempt.is_gone = True
        if self._greenlet:
            self._greenlet.throw(GreenletExit)

    def wait(self, seconds: float) -> None:
        """See `Process.wait`."""
        self._schedule.timeline.after(seconds, self.resume)
        self._schedule.greenlet.switch()
        if self.attempt.is_gone:
            raise GreenletExit

    def crash(self) -> NoReturn:
        """See `Process.crash`."""
        self._schedule.crash(self)
        self._schedule.greenlet.switch()
        raise GreenletExit

    def stop(self, violated: Violated) -> NoReturn:
        """See `Process.stop`."""
        self._schedule.violated = self._schedule.violated or violated
        self.attempt.is_gone = True
        self._schedule.greenlet.switch()
        raise GreenletExit

    def _run(self) -> None:
        failed: Exception | None = None
        outcome: Outcome | None = None
        try:
            if self._schedule.by_queue and self.event.etag is not None:
                event = CommittedBlob(self.attempt.blob, self.event.etag)
                outcome = ingest_event(event, self.event.tries, self._pipeline)
            else:
                outcome = ingest(
                    self.attempt.blob,
                    self._pipeline,
                    always_take_over=self.event.is_of_sweep,
                )
        except GreenletExit:
            return
        except Exception as error:  # noqa: BLE001 - the schedule reports any exception
            failed = error
        self._schedule.left(self, outcome, failed)
