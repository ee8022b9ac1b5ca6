"""Thousands of schedules of the real `ingest`, each determined by its seed alone.

    Network Watcher  commit ....... commit . commit ......... rewrite
    Event Grid         `--event ... `--event, and again        (lost)
    the host              worker ---- worker ---- retry
                             |           X crash
    storage            get claim read send commit ...          every call may fail, or be late

This runs the real `ingest`, with its claims, checkpoints, framing and messages. Only the storage
services, the clock and the host are simulated. A worker is a greenlet, which pauses at every
storage call while others run. A crashed worker is never resumed, so it does not clean up. The judge
checks the promises at every step; see `judge`.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from simulation.host import Schedule
from simulation.judge import Violated
from simulation.sweeps import SweepSchedule

WORKERS = 4
SWEEPS_EACH = 50
"""After this many schedules comes one of sweeps, which takes longer."""


@dataclass
class Result:
    """One schedule: what happened in it, and which promise was broken, if any."""

    seed: int
    counts: Counter[str]
    violated: Violated | None = None
    trace: list[str] = field(default_factory=list)


@dataclass
class Report:
    """The results of many schedules; reports can be added."""

    counts: Counter[str] = field(default_factory=Counter)
    violations: int = 0
    first_violation: tuple[int, str] | None = None
    """Its seed, and which promise was broken and how."""

    def add(self, result: Result) -> None:
        """Count one schedule."""
        violated = (result.seed, str(result.violated)) if result.violated else None
        self += Report(result.counts, int(violated is not None), violated)

    def __iadd__(self, other: Report) -> Report:
        self.counts.update(other.counts)
        self.violations += other.violations
        self.first_violation = self.first_violation or other.first_violation
        return self


def simulate(seed: int, workers: int = WORKERS, *, traced: bool = False) -> Result:
    """Run the schedule of `seed`; the same seed gives the same schedule."""
    schedule = Schedule(seed, workers, traced=traced)
    violated: Violated | None = None
    sweeps = SweepSchedule(seed, schedule.world.note)
    with _without_log():
        try:
            schedule.run()
            if seed % SWEEPS_EACH == 0:
                sweeps.run()
        except Violated as found:
            violated = found
            schedule.world.note("judge", str(found))
    return Result(seed, schedule.counts + sweeps.counts, violated, schedule.trace)


@contextmanager
def _without_log() -> Iterator[None]:
    """Silence the log, in which the modules report every simulated fault."""
    log = logging.getLogger("flowlog_core")
    before = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(before)
