"""One schedule of sweeps: outages, lost events, and listings as odd as a service may answer.

    blobs        put . put ... put . put            in two containers, hours later too
    outage           <=================>            of any length, at times of listings too; the
                                                    host tries five times each
    deployment A  sweep  sweep         (stopped)            sweep  sweep
    deployment B     sweep   sweep   sweep   sweep   sweep     sweep      on the same state table

In some schedules no events are sent and the sweep runs every minute, as with a timer. There a
backlog of old hours, more than a sweep can forward, must not delay young ones. Now and then two
sweeps of a container run at once, in greenlets that pause at each call: what was committed before
the second began must be forwarded once both have ended, whichever of them was turned away.

In some, blobs of closed hours are written to. The sweep looks at them once an hour, but again and
again once it has seen one that it could not forward.

What runs is the real sweep, with the real claims; `ingest` is cut down to its claim, so that a
schedule of days takes milliseconds. The listing comes in the order of either kind of account, in
pages of any length, each of which takes its time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random
from typing import Any

from greenlet import getcurrent, greenlet

from flowlog_core.blob import BlobRef, LogBlob
from flowlog_core.checkpoints.checkpoint import checkpoint_key
from flowlog_core.checkpoints.claim import take_or_ring
from flowlog_core.errors import Contention, NotAllowed, NotFound, StorageError, Unavailable
from flowlog_core.ingest import Outcome, Pipeline
from flowlog_core.source.listing import Page
from flowlog_core.sweep.behind import MAX_BACKOFF_S
from flowlog_core.sweep.cursor import Container, Cursor, StoredCursor
from flowlog_core.sweep.options import SweepOptions
from flowlog_core.sweep.report import SweepReport
from flowlog_core.sweep.sweep import Sweep
from flowlog_core.testing.interface import Interface
from flowlog_core.testing.memory import (
    ManualClock,
    MemoryBlobs,
    MemoryCheckpoints,
    MemoryCursors,
    MemoryDeadLetters,
    MemorySink,
    by_code_point,
    hierarchical,
    service_time,
)
from simulation.judge import Violated

_CONTAINERS = (Container("account", "one"), Container("account", "two"))
_RESOURCES = ("WEB", "WEB-2", "WEB.3", "WEB0")
_SWEEP_EVERY_S = 300
_WINDOW_HOURS = 2
_TWO_AT_ONCE, _STEPS_ALONE = 0.3, 20
_CLOSED_WINDOW_HOURS = 8
_CLOSED_HOURS_AGO = 5
_CLOSED_HOURS_EVERY_S = 3600
_MAX_SWEEPS_TO_THE_END = 300
_TIMER_MAX_S, _MAX_YOUNG_IN_TIME = 1.0, 10
"""Of a quick sweep by the timer: time for some 20 blobs, of which the young may be so many."""


class _SlowBlobs(MemoryBlobs):
    page_s = 0.0
    broken: StorageError | None = None
    """What a listing raises meanwhile."""
    pause: Callable[[], None]

    def page(self, *arguments: Any, **options: Any) -> Page:
        assert isinstance(self.clock, ManualClock)
        self.pause()
        self.clock.sleep(self.page_s)
        if self.broken is not None:
            raise self.broken
        return super().page(*arguments, **options)


class _Cursors(MemoryCursors):
    """Lets the other sweep go on before and after each call."""

    def __init__(self, clock: ManualClock, pause: Callable[[], None]) -> None:
        super().__init__(clock)
        self._pause = pause

    def get(self, container: Container) -> StoredCursor:
        self._pause()
        stored = super().get(container)
        self._pause()
        return stored

    def put(self, container: Container, cursor: Cursor, etag: str) -> StoredCursor:
        self._pause()
        stored = super().put(container, cursor, etag)
        self._pause()
        return stored


@dataclass
class _LookedAt:
    """The version of each blob that a pass looked at: the last pass, and the one under way."""

    last: dict[BlobRef, str] = field(default_factory=dict)
    now: dict[BlobRef, str] = field(default_factory=dict)


class SweepSchedule:
    """Two deployments, each with its own container, during and after an outage."""

    def __init__(self, seed: int, note: Callable[[str, str], None]) -> None:
        self.rng = rng = Random(seed)
        self.note, self.counts = note, Counter[str]()
        self.clock = clock = ManualClock(30 * 24 * 3600 + rng.random() * 3600)
        self.blobs = _SlowBlobs(clock)
        self.blobs.order = rng.choice((by_code_point, hierarchical))
        sizes = rng.choice(((5000,), (3, 8), (0, 2, 8)))
        self.blobs.odd_page = lambda: rng.choice(sizes)
        self.is_quick = rng.random() < 0.5
        self.blobs.page_s = 0.01 if self.is_quick else rng.choice((0.5, 3))
        self.max_s = 240.0 if self.is_quick else rng.choice((10.0, 60.0))
        self.greenlet = getcurrent()
        self.blobs.pause = self._pause
        self.checkpoints, self.cursors = MemoryCheckpoints(clock), _Cursors(clock, self._pause)
        self.pipeline = Pipeline(
            self.blobs,
            self.checkpoints,
            MemorySink(),
            MemoryDeadLetters(),
            clock=clock,
            new_owner=lambda: f"owner-{rng.getrandbits(64):x}",
        )
        self.outage: StorageError | Contention | None = None
        by_timer = Random(seed + 15)  # of its own: the other numbers decide the same as before
        self.is_timed = self.is_quick and by_timer.random() < 0.5
        self.by_timer = by_timer
        self.sweep_every_s, self.window_hours = _SWEEP_EVERY_S, _WINDOW_HOURS
        if self.is_timed:
            self.sweep_every_s, self.window_hours = 60, 24
            self.max_s = _TIMER_MAX_S
            self.blobs.page_s = 0.001
            self.counts["schedules by timer"] += 1
        self.closed_rng = Random(f"closed {seed}")
        self.writes_to_closed = self.closed_rng.random() < 0.5
        if self.writes_to_closed:
            self.window_hours = max(self.window_hours, _CLOSED_WINDOW_HOURS)
            self.counts["schedules with late writes to closed hours"] += 1
        self.closed: set[BlobRef] = set()
        self.looked_at = {container: _LookedAt() for container in _CONTAINERS}

    def run(self) -> None:
        """Run the whole schedule. Raises `Violated`."""
        rng = self.rng
        if self.is_timed:
            self._put_backlog()
        for _ in range(rng.randint(1, 2)):
            self._minutes_pass(rng.choice((5, 20)), commits=2, sweeping=_CONTAINERS)
            self.outage = rng.choice((Unavailable, NotAllowed, NotFound, Contention))("outage")
            self.counts["faults: outage"] += 1
            self.note("sink", f"an outage begins: {self.outage!r}")
            if isinstance(self.outage, Unavailable | NotAllowed) and rng.random() < 0.5:
                self.blobs.broken = self.outage
                self.counts["faults: outage of listings"] += 1
            # Perhaps without any sweep, because the app is stopped.
            self._minutes_pass(
                rng.choice((5, 60, 240)),
                commits=3,
                sweeping=rng.choice((_CONTAINERS, _CONTAINERS[:1], _CONTAINERS[1:], ())),
            )
            self.outage = self.blobs.broken = None
            self.note("sink", "the outage is over")
            self._recover()

    def _minutes_pass(self, minutes: float, commits: int, sweeping: Iterable[Container]) -> None:
        until_s = self.clock.now_s + minutes * 60 * self.sweep_every_s / _SWEEP_EVERY_S
        while self.clock.now_s < until_s:
            for _ in range(self.rng.randint(0, commits)):
                self._commit()
            commits = max(1, commits // 2)
            for container in sweeping:
                if self.is_timed and self.by_timer.random() < _TWO_AT_ONCE:
                    self._two_sweeps(container)
                else:
                    self._sweep(container)
            self.clock.sleep(self.sweep_every_s if sweeping else 4 * self.sweep_every_s)

    def _recover(self) -> None:
        """The outage is over. Everything must be forwarded, soon if there is enough time."""
        self.clock.sleep(self.rng.random() * self.sweep_every_s + 120)
        ended_s = self.clock.now_s
        whole: Counter[Container] = Counter()
        waited_s = 2 * MAX_BACKOFF_S if self.is_timed else 0  # else three passes take longer
        for _ in range(_MAX_SWEEPS_TO_THE_END):
            for container in _CONTAINERS:
                whole[container] += self._sweep(container)
            took_s = self.clock.now_s - ended_s
            if self.is_quick and took_s > 15 * 60:
                promise = "all is forwarded within 15 minutes of an outage"
                self._require_nothing_behind(promise, but=self.closed)
            if took_s < _CLOSED_HOURS_EVERY_S and self.closed.intersection(self._behind()):
                whole.clear()
            # The last pass began when nothing had to wait any more.
            if (
                min(whole[one] for one in _CONTAINERS) > 2
                and self.clock.now_s - ended_s >= waited_s
            ):
                self._require_nothing_behind("the sweep finds all that is behind")
                return
            self.clock.sleep(self.sweep_every_s)
        raise Violated("a sweep gets further each time", f"not whole after {dict(whole)} passes")

    def _behind(self) -> list[BlobRef]:
        return [
            blob
            for blob, etag in self.blobs.versions().items()
            if (found := self.checkpoints.get(checkpoint_key(blob)).checkpoint) is None
            or found.progress.etag != etag
        ]

    def _require_nothing_behind(self, promise: str, but: Collection[BlobRef] = ()) -> None:
        behind = [blob for blob in self._behind() if blob not in but]
        if behind:
            raise Violated(promise, f"behind: {', '.join(map(str, behind))}")

    def _put_backlog(self) -> None:
        """What an outage of a day left behind: a sweep has time for a part of it."""
        for hours_ago in range(4, 12):
            for resource in _RESOURCES:
                for container in _CONTAINERS:
                    self._put(container, resource, hours_ago, number=1)

    def _put(self, container: Container, resource: str, hours_ago: int, number: int) -> BlobRef:
        hour = service_time(self.clock) - timedelta(hours=hours_ago)
        log = LogBlob.parse(replace(Interface.nsg(number), name=resource).blob_name(hour))
        assert log is not None
        blob = BlobRef(*container, log)
        self.blobs.put(blob, b"x")
        return blob

    def _young_behind(self, container: Container) -> list[BlobRef]:
        """What is behind in the hours that are still written to."""
        since = service_time(self.clock) - timedelta(hours=2)
        return [
            blob
            for blob in self._behind()
            if blob.log.hour >= since and Container(blob.account, blob.container) == container
        ]

    def _commit(self) -> None:
        rng = self.rng
        container = rng.choice(_CONTAINERS)
        hours_ago = rng.choice((0, 0, 1))
        number, resource = rng.randint(1, 2), rng.choice(_RESOURCES)
        is_late = self.writes_to_closed and self.closed_rng.random() < 0.3
        blob = self._put(container, resource, _CLOSED_HOURS_AGO if is_late else hours_ago, number)
        if is_late:
            self.closed.add(blob)
        self.note("writer", str(blob))
        if rng.random() < 0.5 or self.is_timed:
            self.counts["faults: event lost"] += 1
            return
        for _ in range(5):
            try:
                self._ingest(blob, self.pipeline, final=False, always_take_over=False)
                return
            except (StorageError, Contention):
                self.clock.sleep(rng.random() * 3)

    def _sweep(self, container: Container) -> bool:
        must_forward_young = (
            self.is_timed
            and self.outage is None
            and len(self._young_behind(container)) <= _MAX_YOUNG_IN_TIME
        )
        looked_at = self.looked_at[container]

        def look_at(blob: BlobRef) -> bool:
            looked_at.now[blob] = self.blobs.etag_of(blob)
            return True

        report = self._run_sweep(container, look_at)
        if report.is_whole and self.blobs.broken is None:
            self._require_looked_at(looked_at)
            looked_at.last, looked_at.now = looked_at.now, {}
        behind = self._young_behind(container) if must_forward_young else []
        if behind and not report.backing_off:
            names = ", ".join(map(str, behind))
            raise Violated("the youngest hours come first", f"behind: {names}")
        return report.is_whole

    def _run_sweep(
        self, container: Container, look_at: Callable[[BlobRef], bool] = lambda _: True
    ) -> SweepReport:
        options = SweepOptions([container], self.window_hours, max_s=self.max_s, only=look_at)
        if self.is_timed:
            options = replace(options, untouched_for_s=0, young_hours=3)
        report = Sweep(
            self.blobs,
            self.pipeline,
            self.cursors,
            options,
            _one_after_the_other,
            ingest_one=self._ingest,
        ).run()
        self.counts["sweeps that ended a pass" if report.is_whole else "sweeps out of time"] += 1
        self.note("sweep", f"{container.name}: {report}")
        return report

    def _two_sweeps(self, container: Container) -> None:
        """One by each of two timers: the second begins anywhere in the first, after a commit."""
        reports: list[SweepReport] = []
        few = self.outage is None and len(self._young_behind(container)) < _MAX_YOUNG_IN_TIME

        def second() -> None:
            self._put(container, self.by_timer.choice(_RESOURCES), 0, number=1)
            reports.append(self._run_sweep(container))

        self.looked_at[container] = _LookedAt()  # the passes of two are not told apart
        running = [greenlet(lambda: self._run_sweep(container)), greenlet(second)]
        steps_alone = self.by_timer.randrange(_STEPS_ALONE)
        while running:
            steps_alone -= 1
            one = running[0] if steps_alone >= 0 else self.by_timer.choice(running)
            one.switch()
            running = [one for one in running if not one.dead]
        if reports[0].looked_at:
            return
        self.counts["sweeps turned away"] += 1
        behind = self._young_behind(container) if few else []
        if behind:
            names = ", ".join(map(str, behind))
            raise Violated("another sweep looks for one that is turned away", f"behind: {names}")

    def _pause(self) -> None:
        """Let the other sweep go on, if two run at once."""
        if getcurrent() is not self.greenlet:
            self.greenlet.switch()

    def _require_looked_at(self, looked_at: _LookedAt) -> None:
        """A pass is over. It may have left out hours in which the last one left nothing behind."""
        versions = self.blobs.versions()
        for blob in self._behind():
            if looked_at.last.get(blob) == versions[blob] and blob not in looked_at.now:
                promise = "an hour is left out only if all that was seen in it is forwarded"
                raise Violated(promise, f"behind: {blob}")

    def _ingest(
        self, blob: BlobRef, pipeline: Pipeline, *, final: bool, always_take_over: bool
    ) -> Outcome:
        del final, always_take_over
        key, clock = checkpoint_key(blob), pipeline.clock
        claim = take_or_ring(self.checkpoints, key, str(blob), pipeline.new_owner(), 180, clock)
        if claim is None:
            return Outcome("handed_over")
        is_released = False
        while not is_released:
            claim.look()
            self.clock.sleep(0.05 if self.is_quick else 2)
            if self.outage is not None:
                claim.abandon(self.outage)
                raise self.outage
            etag = self.blobs.etag_of(blob)
            self._pause()
            is_released = claim.finish(replace(claim.progress, etag=etag))
        return Outcome()


def _one_after_the_other(items: Iterable[BlobRef], do: Callable[[BlobRef], object]) -> int:
    count = 0
    for item in items:
        do(item)
        count += 1
    return count
