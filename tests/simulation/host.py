"""One schedule of a simulation: Network Watcher commits, events arrive, the host runs workers."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from random import Random

from greenlet import getcurrent

from flowlog_core.blob import BlobRef
from flowlog_core.checkpoints.checkpoint import checkpoint_key
from flowlog_core.errors import NotFound, Refused, StillClaimed, Unavailable
from flowlog_core.ingest import Outcome, Pipeline
from flowlog_core.source.events import MAX_DELIVERIES, REDELIVERED_AFTER_S
from flowlog_core.sweep.cursor import Container
from flowlog_core.sweep.options import SweepOptions
from flowlog_core.sweep.sweep import Sweep
from flowlog_core.testing.memory import (
    MemoryBlobs,
    MemoryCheckpoints,
    MemoryCursors,
    MemoryDeadLetters,
    MemorySink,
    some_blob,
)
from simulation.calls import World
from simulation.clock import CALM, Timeline, some_weather
from simulation.judge import Attempt, Judge, Violated
from simulation.log import SimulatedLog
from simulation.rules import Rules
from simulation.worker import Event, Instance, Worker

_TRIES_OF_AN_EVENT = 5  # of a blob trigger; then the host puts it into its poison queue
_BY_QUEUE = 0.4  # of all schedules
_NUMBERS_OF_A_BLOB = 1 << 20  # tuples of different blobs never share a number


class Schedule:
    """One run: a writer for each blob, an event source, the host, and a sweep at the end."""

    def __init__(self, seed: int, workers: int, *, traced: bool) -> None:
        self.rng = rng = Random(seed)
        self.greenlet = getcurrent()
        # Of its own randomness, so that the schedules of a blob trigger do not depend on it.
        self.by_queue = Random(-1 - seed).random() < _BY_QUEUE
        """Whether events come from the event queue: they name a version, and come back later."""
        apart = Random(-2 - seed)  # likewise
        refused = 0.15 if apart.random() < 0.06 else 0
        self.has_bad_release = apart.random() < 0.03
        """Whether the sink refuses every request from some time on, until after the events."""
        self.timeline = Timeline()
        self.trace: list[str] = []
        self.counts: Counter[str] = Counter()
        self.violated: Violated | None = None
        self.chunk_bytes = rng.choice((300, 500, 1000, 1 << 20))
        clock = self.timeline.clock
        blobs, checkpoints = MemoryBlobs(clock), MemoryCheckpoints(clock)
        refs = [some_blob(hour) for hour in range(rng.choice((1, 1, 1, 2)))]
        self.logs = {
            ref: SimulatedLog(
                ref,
                blobs,
                rng,
                number * _NUMBERS_OF_A_BLOB,
                is_refused=lambda: apart.random() < refused,
            )
            for number, ref in enumerate(refs)
        }
        weather = replace(some_weather(rng), refused=refused)
        # Where blobs are rewritten or entries refused, little can be said of what must be dropped.
        says_little = weather.rewritten or refused or self.has_bad_release
        self.rules = Rules(("",)) if says_little else Rules.some(seed)
        self.world = World(
            rng,
            weather,
            self.timeline,
            checkpoints,
            blobs,
            MemoryDeadLetters(),
            Judge(self.logs, checkpoints, self.counts, self.rules),
            self.counts,
            owned_for_s=rng.choice((10.0, 60.0, 180.0)),
            sends_in_flight=rng.choice((1, 1, 3)),
            note=self._note if traced else _note_nothing,
        )
        self._cursors = MemoryCursors(clock)
        self._max_running = workers
        self._is_one_machine = rng.random() < 0.7
        self._instances = [
            Instance(clock, rng, self.counts) for _ in range(rng.choice((1, 1, 2, 4)))
        ]
        self._running: list[Worker] = []
        self._all: list[Worker] = []
        self._waiting: deque[Event] = deque()
        self.counts["schedules with rules"] += self.rules.are_any
        self.counts["schedules in which rules changed"] += self.rules.change

    def run(self) -> None:
        """Run the whole schedule. Raises `Violated`."""
        self.world.note("schedule", f"{self.world.weather}, claims of {self.world.owned_for_s} s")
        try:
            self._plan()
            self._plan_sweeps()
            if self.has_bad_release:
                self.timeline.after(self.rng.random() * 60, self._release_badly)
            self._until_quiet()
            behind = self._behind()
            self.world.judge.quiet(behind, events_return=self.by_queue)
            if self.world.is_release_bad:
                self._sweep_for_an_hour()
                self.world.is_release_bad = False
                behind = self._behind()
            # Longer than any claim, and than the longest wait of a blob that failed.
            self.timeline.clock.sleep(10 * self.world.owned_for_s + 7 * 3600)
            self.world.weather = CALM
            self.world.judge.swept(behind, self._sweep("taken by the last sweep"))
            self._until_quiet()
            self._pass_the_refused()
            self.world.judge.end()
        finally:
            for worker in self._all:
                worker.discard()

    def _release_badly(self) -> None:
        self.world.is_release_bad = True
        self.counts["faults: bad release"] += 1
        self.world.judge.excuses["a bad release"] += 1
        self.world.note("sink", "a bad release: every request is refused")

    def _sweep_for_an_hour(self) -> None:
        for _ in range(6):
            self.timeline.clock.sleep(10 * self.world.owned_for_s + 660)
            self._sweep("taken during a bad release")
            self._until_quiet()

    def _pass_the_refused(self) -> None:
        """Sweep on until nothing is behind: each entry that is refused is tried for 20 minutes."""
        for _ in range(3 * sum(len(log.refused) for log in self.logs.values())):
            if not self._behind():
                return
            self.timeline.clock.sleep(660)
            self._sweep("taken after a refusal")
            self._until_quiet()

    def _until_quiet(self) -> None:
        self.timeline.run(until=lambda: self.violated is not None)
        if self.violated:
            raise self.violated

    # Network Watcher and its events.

    def _plan(self) -> None:
        for log in self.logs.values():
            at_s = 0.0
            for number in range(self.rng.randint(1, 6)):
                at_s += self.rng.random() * self.rng.choice((0.1, 0.5, 5, 60))
                self._commit_after(at_s, log, is_first=number == 0)
            self._commit_after(at_s + self.rng.random(), log, is_last=True)

    def _commit_after(
        self, seconds: float, log: SimulatedLog, *, is_first: bool = False, is_last: bool = False
    ) -> None:
        def commit() -> None:
            weather = self.world.weather
            if not is_first and self.rng.random() < weather.rewritten:
                self.counts["faults: blob rewritten or deleted"] += 1
                what = log.rewrite()
            else:
                what = log.append(torn=not is_last and self.rng.random() < weather.torn)
            self.counts["commits"] += 1
            self.world.note("writer", f"{_hour(log.blob)}: {what}")
            self._events_of(log)

        self.timeline.after(seconds, commit)

    def _events_of(self, log: SimulatedLog) -> None:
        weather, rng = self.world.weather, self.rng
        if rng.random() < weather.lost:
            self.world.judge.excuses["an event was lost"] += 1
            self.counts["faults: event lost"] += 1
            self.world.note("events", f"{_hour(log.blob)}: lost")
            return
        for _ in range(rng.choice((2, 3)) if rng.random() < weather.doubled else 1):
            delay = rng.random() * (120 if rng.random() < weather.late else 0.1)
            etag = self.world.blobs.etag_of(log.blob)
            self.timeline.after(delay, partial(self._deliver, Event(log.blob, etag)))

    # The host.

    def _deliver(self, event: Event) -> None:
        self._waiting.append(event)
        self._start_waiting()

    def _start_waiting(self) -> None:
        while self._waiting and len(self._running) < self._max_running:
            event = self._waiting.popleft()
            event.tries += 1
            attempt = Attempt(
                len(self._all),
                event.blob,
                began_s=self.timeline.now_s,
                is_of_sweep=event.is_of_sweep,
            )
            self.world.judge.started(attempt)
            worker = Worker(self, attempt, event, self.rng.choice(self._instances))
            self._running.append(worker)
            self._all.append(worker)
            self.world.note(attempt.owner, f"begins with {_hour(event.blob)}, try {event.tries}")
            worker.resume()

    def left(self, worker: Worker, outcome: Outcome | None, failed: Exception | None) -> None:
        """`worker`'s `ingest` has returned or raised."""
        self.world.note(worker.attempt.owner, f"leaves: {outcome or repr(failed)}")
        self._end(worker)
        if failed is None:
            self._judge_leaving(worker, failed=False)
            if self._is_one_machine and outcome is not None and outcome.how == "handed_over":
                self._judge(self.world.judge.handed_over, worker.attempt)
        elif isinstance(failed, Unavailable | Refused) and worker.attempt.met_trouble:
            self.counts["failed calls of ingest"] += 1
            self._judge_leaving(worker, failed=True)
            self._again(worker.event, self._until_retry_s())
        elif isinstance(failed, StillClaimed):
            self.counts["events that came back for a claim"] += 1
            self._judge_leaving(worker, failed=False)
            self._again(worker.event, self._until_retry_s())
        else:
            self.violated = self.violated or Violated(
                "ingest raises what storage raised", repr(failed)
            )
        self.timeline.after(0, self._start_waiting)

    def is_gone(self, owner: str) -> bool:
        """Whether an owner has certainly ended: known on the machine where it ran."""
        gone = [one.attempt.gone_s is not None for one in self._all if one.attempt.owner == owner]
        return self._is_one_machine and gone == [True]

    def _end(self, worker: Worker) -> None:
        self._running.remove(worker)
        worker.instance.leave()

    def _judge_leaving(self, worker: Worker, *, failed: bool) -> None:
        self._judge(partial(self.world.judge.left, failed=failed), worker.attempt)

    def _judge(self, rule: Callable[[Attempt], None], attempt: Attempt) -> None:
        try:
            rule(attempt)
        except Violated as violated:
            self.violated = self.violated or violated

    def crash(self, worker: Worker) -> None:
        """`worker` ends here, sometimes with all workers of its instance."""
        self.world.judge.excuses["a crash"] += 1
        gone_too = [one for one in self._running if one.instance is worker.instance]
        all_of_it = self.rng.random() < 0.2
        for gone in gone_too if all_of_it else [worker]:
            self.counts["faults: crash"] += 1
            self.world.note(gone.attempt.owner, "CRASHES")
            gone.attempt.is_gone = gone.attempt.met_trouble = True
            gone.attempt.gone_s = self.timeline.now_s
            if gone.event.is_of_sweep:
                self.world.judge.excuses["a sweep's worker ended"] += 1
            self._end(gone)
            hidden_for_s = self.rng.random() * self.rng.choice((0.1, 60, 600))
            self._again(gone.event, hidden_for_s)
        if all_of_it:
            worker.instance.start()
        self.timeline.after(0, self._start_waiting)

    def _until_retry_s(self) -> float:
        return REDELIVERED_AFTER_S if self.by_queue else self.rng.random() * 0.1

    def _again(self, event: Event, after_s: float) -> None:
        if event.tries < (MAX_DELIVERIES if self.by_queue else _TRIES_OF_AN_EVENT):
            self.timeline.after(after_s, lambda: self._deliver(event))
            return
        self.world.judge.excuses["an event failed too often"] += 1
        self.counts["events failed too often"] += 1
        self.world.note("host", f"{_hour(event.blob)}: poison")

    # The sweep.

    def _plan_sweeps(self) -> None:
        weather = self.world.weather
        if not weather.crash and not weather.lost:
            return  # these schedules show that no sweep is needed
        for _ in range(self.rng.choice((0, 0, 1, 3))):
            self.timeline.after(self.rng.random() * 120, lambda: self._sweep("taken on the way"))

    def _sweep(self, counted_as: str) -> list[BlobRef]:
        """Run the real sweep; the host delivers what it finds behind like an event."""
        found: list[BlobRef] = []

        def hand_out(
            blob: BlobRef, pipeline: Pipeline, *, final: bool, always_take_over: bool
        ) -> Outcome:
            del pipeline, final, always_take_over
            found.append(blob)
            return Outcome()

        world, blob = self.world, next(iter(self.logs))
        pipeline = Pipeline(
            world.blobs,
            world.checkpoints,
            MemorySink(),
            world.letters,
            world.owned_for_s,
            self.timeline.clock,
        )
        container = Container(blob.account, blob.container)
        options = SweepOptions([container], hours=24, untouched_for_s=0)
        Sweep(
            world.blobs,
            pipeline,
            self._cursors,
            options,
            _one_after_the_other,
            ingest_one=hand_out,
        ).run()
        for blob in found:
            world.note("sweep", f"takes {_hour(blob)}")
            self.counts[counted_as] += 1
            self._deliver(Event(blob, is_of_sweep=True))
        return found

    def _behind(self) -> list[BlobRef]:
        """The blobs whose current version was not read to its end."""
        behind = []
        for blob in self.logs:
            try:
                present = self.world.blobs.read(blob, 0, 1, None).etag
            except NotFound:
                continue
            stored = self.world.checkpoints.get(checkpoint_key(blob)).checkpoint
            if stored is None or stored.progress.etag != present:
                behind.append(blob)
        return behind

    def _note(self, who: str, what: str) -> None:
        self.trace.append(f"{self.timeline.now_s - 1000:10.3f}  {who:<10} {what}")


def _one_after_the_other(items: Iterable[BlobRef], do: Callable[[BlobRef], object]) -> int:
    count = 0
    for item in items:
        do(item)
        count += 1
    return count


def _note_nothing(who: str, what: str) -> None:
    del who, what


def _hour(blob: BlobRef) -> str:
    return f"{blob.log.hour:%H}h"
