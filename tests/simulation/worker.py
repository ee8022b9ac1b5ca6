"""A worker in a simulation: a greenlet in which `ingest` runs once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, cast

from greenlet import GreenletExit, greenlet

from flowlog_core.blob import BlobRef
from flowlog_core.checkpoints.checkpoint import CheckpointStore
from flowlog_core.ingest import Outcome, Pipeline, ingest
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
    tries: int = 0
    is_of_sweep: bool = False


class _SkewedClock:
    """A worker's own clock: as fast as the service's, with a different origin."""

    def __init__(self, clock: ManualClock, ahead_s: float, sleep: Callable[[float], None]) -> None:
        self._clock, self._ahead_s, self.sleep = clock, ahead_s, sleep

    def monotonic(self) -> float:
        return self._clock.monotonic() + self._ahead_s


class Worker:
    """A greenlet that runs `ingest` once; the `Process` of its storage calls."""

    def __init__(self, schedule: Schedule, attempt: Attempt, event: Event) -> None:
        self.attempt, self.event, self._schedule = attempt, event, schedule
        line = Line(schedule.world, attempt, self)
        self._pipeline = Pipeline(
            SimulatedBlobs(line),
            cast(CheckpointStore, SimulatedCheckpoints(line)),  # all that ingest calls of it
            SimulatedSink(line),
            SimulatedDeadLetters(line),
            schedule.world.owned_for_s,
            _SkewedClock(schedule.timeline.clock, schedule.rng.uniform(-900, 1e6), self.wait),
            lambda: attempt.owner,
            schedule.chunk_bytes,
            is_gone=schedule.is_gone,
            max_deaths=_NEVER,
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
