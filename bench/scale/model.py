"""A simulation of many interfaces, one queue of events and some instances: pure, and repeatable.

    an append -> the host's queue -> an instance, so many events at a time -> forwarded

An event has steps: some processor time, then storage calls that run in parallel. The events of an
instance share its one core evenly, as threads do.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Generator, Sequence
from functools import partial
from heapq import heappop, heappush
from math import inf
from typing import NamedTuple

from bench.scale.agenda import Agenda
from bench.scale.storage import Call, Storage


class Append(NamedTuple):
    """One append of one interface; it raises one event."""

    at_s: float
    interface: int


def appends(interfaces: int, minutes: int, within_s: float, seed: int = 1) -> list[Append]:
    """One append a minute each, at its own random moment of the minute's first `within_s`."""
    rng = random.Random(seed)
    offsets_s = [rng.random() * within_s for _ in range(interfaces)]
    return sorted(
        Append(60.0 * minute + offset_s, interface)
        for minute in range(minutes)
        for interface, offset_s in enumerate(offsets_s)
    )


class Step(NamedTuple):
    """Processor time, then calls made side by side and waited for."""

    processor_s: float
    calls: tuple[Call, ...] = ()


class Job(NamedTuple):
    """What one event takes."""

    steps: tuple[Step, ...]
    arriving: tuple[Call, ...] = ()
    """Made by the host before any instance can take the event."""
    leaving: tuple[Call, ...] = ()
    """Made by the host once it is forwarded, while it still takes one of its instance's places."""


class Core:
    """An instance: so many events, and one core that those of them share which compute."""

    def __init__(self) -> None:
        self.events = 0
        self.busy_s = 0.0
        self.changes = 0  # of who computes
        self._now_s = 0.0
        self._each_s = 0.0  # the processor time of one that would have computed all along
        self._computing: list[tuple[float, int]] = []  # until `_each_s` is so much; which event

    def pass_time(self, now_s: float) -> None:
        """Account for the time up to now: called before every change."""
        passed_s = now_s - self._now_s
        if self._computing:
            self.busy_s += passed_s
            self._each_s += passed_s / len(self._computing)
        self._now_s = now_s

    def begin(self, event: int, processor_s: float) -> None:
        """This event computes from now on."""
        self.changes += 1
        heappush(self._computing, (self._each_s + processor_s, event))

    def end(self) -> int:
        """The event that is done next is done now."""
        self.changes += 1
        return heappop(self._computing)[1]

    def next_end_s(self) -> float:
        """When the next event is done, if nothing changes; infinite where none computes."""
        if not self._computing:
            return inf
        left_s = (self._computing[0][0] - self._each_s) * len(self._computing)
        return self._now_s + max(left_s, 0.0)


class Simulation:
    """Runs when it is made; then read what came out."""

    def __init__(
        self, events: Sequence[Append], job: Job, storage: Storage, instances: int, at_a_time: int
    ) -> None:
        self.storage = storage
        self.latencies_s: list[float] = []
        """From append to forwarded, in the order of forwarding."""
        self.max_waiting = 0
        """The largest number of events that no instance had room for."""
        self.cores = [Core() for _ in range(instances)]
        self._events, self._job, self._at_a_time = events, job, at_a_time
        self._running: dict[int, Generator[float | None, None, None]] = {}
        self._core_of: dict[int, Core] = {}
        self._waiting: deque[int] = deque()
        self._agenda = Agenda()
        for event, append in enumerate(events):
            self._running[event] = self._life(event, append)
            self._agenda.at(append.at_s, partial(self._go_on, event))
        while self._agenda.go_on():
            pass

    @property
    def now_s(self) -> float:
        """When the last call is answered, in the end."""
        return self._agenda.now_s

    @property
    def busy_s(self) -> float:
        """Processor time that the instances gave, in all."""
        return sum(core.busy_s for core in self.cores)

    def _life(self, event: int, append: Append) -> Generator[float | None, None, None]:
        """Yields until when it waits; None where another's deed lets it go on."""
        yield self._answers_at(self._job.arriving, append)
        core = min(self.cores, key=lambda one: one.events)
        if core.events < self._at_a_time:
            core.pass_time(self.now_s)
            core.events += 1
        else:
            self._waiting.append(event)
            self.max_waiting = max(self.max_waiting, len(self._waiting))
            yield None
            core = self._core_of.pop(event)
        for step in self._job.steps:
            if step.processor_s:
                core.pass_time(self.now_s)
                core.begin(event, step.processor_s)
                self._plan_end(core)
                yield None
            yield self._answers_at(step.calls, append)
        self.latencies_s.append(self.now_s - append.at_s)
        yield self._answers_at(self._job.leaving, append)
        if self._waiting:  # its place is taken at once
            following = self._waiting.popleft()
            self._core_of[following] = core
            self._agenda.at(self.now_s, partial(self._go_on, following))
        else:
            core.pass_time(self.now_s)
            core.events -= 1

    def _answers_at(self, calls: Sequence[Call], append: Append) -> float:
        answers = [self.storage.answers_at(self.now_s, call, append.interface) for call in calls]
        return max(answers, default=self.now_s)

    def _go_on(self, event: int) -> None:
        until_s = next(self._running[event], inf)
        if until_s == inf:
            del self._running[event]
        elif until_s is not None:
            self._agenda.at(until_s, partial(self._go_on, event))

    def _plan_end(self, core: Core) -> None:
        if (end_s := core.next_end_s()) < inf:
            self._agenda.at(end_s, partial(self._end, core, core.changes))

    def _end(self, core: Core, changes: int) -> None:
        if core.changes == changes:  # else another end was planned meanwhile
            core.pass_time(self.now_s)
            event = core.end()
            self._plan_end(core)
            self._go_on(event)
