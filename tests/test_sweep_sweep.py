"""The sweep: finds what is behind, only that, in bounded time, one at a time, nothing for ever."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import cycle
from typing import Any

import pytest
from support import records_in, tuple_of

from flowlog_core.blob import BlobRef, LogBlob, Position
from flowlog_core.checkpoints.checkpoint import Checkpoint, Failure, Refusal, checkpoint_key
from flowlog_core.checkpoints.claim import take_or_ring
from flowlog_core.errors import Contention, NotAllowed, NotFound, Refused, Unavailable
from flowlog_core.ingest import Outcome, Pipeline, ingest
from flowlog_core.operate.catch_up import CatchUp, add_up
from flowlog_core.parallel import Parallel
from flowlog_core.source.listing import Page
from flowlog_core.sweep.behind import try_again_at
from flowlog_core.sweep.cursor import Container, Cursor, StoredCursor
from flowlog_core.sweep.options import SweepOptions
from flowlog_core.sweep.report import SweepReport
from flowlog_core.sweep.sweep import Sweep
from flowlog_core.testing.generate import FlowLogGenerator, Interface, document
from flowlog_core.testing.memory import (
    EPOCH,
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

HOUR = timedelta(hours=1)
START_S = 30 * 24 * 3600.0
NOW = EPOCH + timedelta(seconds=START_S)
LOGS = Container("account", "logs")


def blob_at(
    hours_ago: int, number: int = 1, *, container: Container = LOGS, resource: str = ""
) -> BlobRef:
    interface = Interface.nsg(number)
    interface = replace(interface, name=resource or interface.name)
    log = LogBlob.parse(interface.blob_name(NOW - hours_ago * HOUR))
    assert log is not None
    return BlobRef(*container, log)


@dataclass
class FussySink(MemorySink):
    """Refuses what comes from some blobs."""

    refused: set[str] = field(default_factory=set)
    error: Exception = field(default_factory=lambda: Unavailable("busy"))

    def send(self, messages: Iterable[Any]) -> int:
        taken = list(messages)
        if any(message.id.split(".")[0] in self.refused for message in taken):
            raise self.error
        return super().send(taken)


class World:
    """Storage on one clock, and a generator for what is in it."""

    def __init__(self) -> None:
        self.clock = ManualClock(START_S)
        self.blobs = MemoryBlobs(self.clock, blobs_a_page=4)
        self.checkpoints = MemoryCheckpoints(self.clock)
        self.cursors = MemoryCursors(self.clock)
        self.sink = FussySink()
        self.letters = MemoryDeadLetters()
        self.pipeline = Pipeline(
            self.blobs, self.checkpoints, self.sink, self.letters, 180, self.clock
        )
        self._generator = FlowLogGenerator(1)
        self.written: dict[BlobRef, list[str]] = {}
        self._content: dict[BlobRef, list[Any]] = {}

    def append(self, blob: BlobRef) -> None:
        entry = self._generator.entry("nsg2", Interface.nsg(), blob.log.hour, 2)
        self._content.setdefault(blob, []).append(entry)
        self.written.setdefault(blob, []).extend(entry.tuples)
        self.blobs.put(blob, document(self._content[blob]))

    def refuse(self, *blobs: BlobRef) -> None:
        self.sink.refused = {Position(blob).blob_digest for blob in blobs}

    def sweep(self, *, stop: threading.Event | None = None, **options: Any) -> SweepReport:
        parallel = Parallel(1)
        wanted = SweepOptions(**{"containers": [LOGS], "hours": 24, **options})
        try:
            return Sweep(self.blobs, self.pipeline, self.cursors, wanted, parallel, stop).run()
        finally:
            parallel.close()

    def use(self, blobs: MemoryBlobs | None = None, sink: FussySink | None = None) -> None:
        """Other blobs or another sink from now on."""
        self.blobs, self.sink = blobs or self.blobs, sink or self.sink
        self.pipeline = replace(self.pipeline, reader=self.blobs, sink=self.sink)

    def received(self) -> list[str]:
        return [tuple_of(record) for record in records_in(self.sink.messages)]

    def minutes_later(self, minutes: float = 5) -> None:
        self.clock.sleep(minutes * 60)


@pytest.fixture
def world() -> World:
    return World()


def test_what_no_event_told_of_is_found_and_only_that(world: World) -> None:
    told, untold, both = blob_at(0, 1), blob_at(1, 2), blob_at(2, 3)
    for blob in (told, untold, both):
        world.append(blob)
    ingest(told, world.pipeline)
    ingest(both, world.pipeline)
    world.append(both)
    world.minutes_later()
    summary = world.sweep()
    assert (summary.looked_at, summary.behind, summary.forwarded, summary.records) == (3, 2, 2, 4)
    assert sorted(world.received()) == sorted(
        t for all_of in world.written.values() for t in all_of
    )
    reads = world.blobs.calls["read"]
    assert world.sweep().behind == 0
    assert world.blobs.calls["read"] == reads


def test_young_commits_are_left_to_their_events(world: World) -> None:
    world.append(blob_at(0))
    world.clock.sleep(119)
    assert world.sweep().behind == 0
    world.clock.sleep(2)
    assert world.sweep().forwarded == 1


def test_a_young_commit_to_an_old_hour_is_not_forgotten_when_its_event_is_lost(
    world: World,
) -> None:
    """Such as one copied there: the next pass begins no later than with its hour."""
    world.append(blob_at(9 * 24))
    assert world.sweep(since=EPOCH).behind == 0
    world.minutes_later()
    assert world.sweep(since=EPOCH).forwarded == 1
    world.minutes_later()
    assert world.sweep(since=EPOCH).looked_at == 0


def test_what_is_archived_is_told_and_left_alone_and_stops_nothing(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor is it unfinished work: a rehydrated blob must be requested again."""
    archived, other, known = blob_at(9 * 24, 1), blob_at(9 * 24, 2), blob_at(1, 3)
    for blob in (archived, other, known):
        world.append(blob)
    ingest(known, world.pipeline)
    world.blobs.archive(archived)
    world.blobs.archive(known)
    world.minutes_later()
    summary = world.sweep(since=EPOCH)
    assert (summary.behind, summary.forwarded, summary.archived) == (1, 1, 1)
    assert (summary.archived_example, summary.failed) == (str(archived), 0)
    assert (
        "1 blobs have new data but are in the archive tier and cannot be read, for example "
        f"{archived}" in caplog.messages
    )
    assert world.sweep(since=EPOCH).looked_at == 1
    world.blobs.rehydrate(archived)
    assert world.sweep(since=EPOCH - HOUR).forwarded == 1
    assert len(world.received()) == len(set(world.received())) == 6


def test_older_hours_are_not_looked_at_unless_asked_for_once(world: World) -> None:
    world.append(blob_at(24))
    world.append(blob_at(25))
    world.append(blob_at(500))
    world.minutes_later()
    assert world.sweep().forwarded == 1
    since = NOW - 500 * HOUR
    assert world.sweep(since=since).forwarded == 2
    world.minutes_later(60)  # closed hours are looked at once an hour
    looked_at = world.sweep(since=since).looked_at
    assert looked_at == 1  # it was asked for once
    world.append(blob_at(600))
    world.minutes_later()
    assert world.sweep(since=NOW - 600 * HOUR).forwarded == 1  # asked for something else


def test_no_hour_is_left_out_after_the_app_stood_still_for_days(world: World) -> None:
    world.minutes_later()
    world.sweep()
    missed = blob_at(-30)  # thirty hours from now
    world.minutes_later(30 * 60 + 30)
    world.append(missed)
    world.minutes_later(5 * 24 * 60)
    assert world.sweep().forwarded == 1
    assert world.sweep().looked_at == 0


def closed_and_open(world: World) -> tuple[list[BlobRef], list[BlobRef]]:
    """Blobs of closed hours and of others, at half past."""
    world.clock.sleep(30 * 60)
    closed = [blob_at(hours_ago) for hours_ago in (4, 5, 24)]
    still_open = [blob_at(hours_ago) for hours_ago in range(4)]
    for blob in closed + still_open:
        world.append(blob)
    world.minutes_later()
    return closed, still_open


def test_closed_hours_that_are_forwarded_are_looked_at_once_an_hour(world: World) -> None:
    """An hour is closed three hours after it began, as the sweep also has it where bytes are left
    that make no entry."""
    closed, still_open = closed_and_open(world)
    first = world.sweep()
    assert (first.looked_at, first.forwarded) == (7, 7)
    grown = [*closed[1:], still_open[0], still_open[3]]
    for blob in grown:
        world.append(blob)
    looked_at, forwarded = [], []
    for _ in range(13):
        world.minutes_later()
        report = world.sweep()
        looked_at.append(report.looked_at)
        forwarded.append(report.forwarded)
    # Another hour begins at the fifth, and its last one is closed then.
    assert looked_at == [4, 4, 4, 4, 3, 3, 3, 3, 3, 3, 3, 7, 3]
    assert forwarded == [2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0]


def test_closed_hours_are_looked_at_until_all_in_them_is_forwarded(world: World) -> None:
    """Whatever held it up: it failed, it waits, another worker has it."""
    closed, still_open = closed_and_open(world)
    world.refuse(closed[1])
    assert world.sweep().failed == 1
    world.clock.sleep(30)
    assert (again := world.sweep()).looked_at == 6  # back to the hour of the one that failed
    assert again.backing_off == 1
    world.refuse()
    world.minutes_later()
    assert world.sweep().forwarded == 1
    world.minutes_later()
    assert world.sweep().looked_at == len(still_open)

    claim = take_or_ring(
        *(world.checkpoints, checkpoint_key(closed[2]), str(closed[2]), "another"),
        *(180, world.clock),
    )
    assert claim is not None
    world.minutes_later(50)
    world.append(closed[2])
    claim.keep()
    world.clock.sleep(121)
    for _ in range(2):
        assert (report := world.sweep()).left_to_others == 1
        assert report.looked_at == 7
    while not claim.finish(claim.progress):  # it was rung
        claim.look()
    assert world.sweep().forwarded == 1
    assert world.sweep().looked_at == len(still_open) - 1  # another hour has begun


def test_a_pass_that_could_not_list_everything_leaves_nothing_out_of_the_next(
    world: World,
) -> None:
    closed, _ = closed_and_open(world)
    page = world.blobs.page

    def busy(*arguments: Any, **options: Any) -> Page:
        if "/d=30/" in arguments[2]:
            raise Unavailable("busy")
        return page(*arguments, **options)

    world.blobs.page = busy  # type: ignore[method-assign]
    assert world.sweep().failed
    world.blobs.page = page  # type: ignore[method-assign]
    for _ in range(2):
        world.minutes_later()
        world.sweep()
    assert {*world.received()} >= {text for blob in closed for text in world.written[blob]}


def test_each_container_has_its_own_time_for_closed_hours(world: World) -> None:
    closed_and_open(world)
    world.sweep()
    other = Container("account", "other")
    for hours_ago in (4, 5):
        world.append(blob_at(hours_ago, container=other))
    world.minutes_later()
    assert world.sweep(containers=[LOGS, other]).forwarded == 2


def test_a_sweep_whose_time_is_up_is_carried_on_by_the_next(world: World) -> None:
    blobs = [blob_at(hours, number) for hours in range(3) for number in range(1, 4)]
    for blob in blobs:
        world.append(blob)
    world.minutes_later()

    class Slow(FussySink):
        def send(self, messages: Iterable[Any]) -> int:
            world.clock.sleep(30)  # for an entry, of which a blob has two
            return super().send(messages)

    world.pipeline = Pipeline(
        world.blobs, world.checkpoints, slow := Slow(), world.letters, 180, world.clock
    )
    sweeps = [world.sweep(max_s=120) for _ in range(5)]
    assert [sweep.forwarded for sweep in sweeps] == [2, 2, 2, 2, 1]
    assert [sweep.is_whole for sweep in sweeps] == [False, False, False, False, True]
    assert len(slow.messages) == len(blobs)
    assert world.sweep().behind == 0


def test_a_blob_that_fails_keeps_no_other_from_its_turn_and_waits_longer_each_time(
    world: World,
) -> None:
    bad, good = blob_at(1, 1), blob_at(1, 2)
    world.append(bad)
    world.append(good)
    world.refuse(bad)
    world.minutes_later()
    summary = world.sweep()
    assert (summary.forwarded, summary.failed) == (1, 1)
    assert world.received() == world.written[good]
    found = world.checkpoints.get(checkpoint_key(bad)).checkpoint
    assert found is not None
    assert found.failure == Failure(1, NOW + timedelta(minutes=5), "busy")
    attempts = 0
    for _ in range(60):
        world.minutes_later(1)
        attempts += world.sweep().failed
    assert attempts == 8  # after 1, 2, 4 and 8 minutes, then every 10
    world.refuse()
    world.minutes_later(10)
    assert world.sweep().forwarded == 1
    assert sorted(world.received()) == sorted(world.written[good] + world.written[bad])


def test_a_failing_blob_is_never_skipped_for_ever_however_old_it_gets(world: World) -> None:
    bad = blob_at(1)
    world.append(bad)
    world.refuse(bad)
    for _ in range(20):
        world.minutes_later(6 * 60)
        world.sweep()
    world.refuse()
    world.minutes_later(6 * 60)
    assert world.sweep().forwarded == 1
    world.minutes_later()
    assert world.sweep().looked_at == 0


@pytest.mark.parametrize("error", [NotAllowed("no"), ZeroDivisionError("a fault of ours")])
def test_any_kind_of_failure_is_counted_and_goes_no_further(world: World, error: Exception) -> None:
    world.append(blob_at(1, 1))
    world.append(blob_at(1, 2))
    world.sink.error = error
    world.refuse(blob_at(1, 1))
    world.minutes_later()
    summary = world.sweep()
    assert (summary.forwarded, summary.failed) == (1, 1)


def test_a_failing_blob_waits_at_most_ten_minutes_and_a_refused_one_six_hours() -> None:
    attempts = (1, 2, 3, 4, 5, 9, 10, 5000)
    for is_refused, minutes in (
        (False, (1, 2, 4, 8, 10, 10, 10, 10)),
        (True, (1, 2, 4, 8, 16, 256, 360, 360)),
    ):
        waits = [try_again_at(Failure(n, NOW, "", is_refused)) - NOW for n in attempts]
        assert waits == [timedelta(minutes=m) for m in minutes]
    refusal = Refusal("0a.0.12", 1, NOW)  # soon the entry is set aside, and the rest goes on
    assert try_again_at(Failure(9, NOW, "", True, refusal)) - NOW == timedelta(minutes=10)


@pytest.mark.parametrize(
    "error",
    [
        Unavailable("503"),
        NotAllowed("403"),
        NotFound("404"),
        Contention("again"),
        MemoryError("a fault of this machine's"),
    ],
)
def test_everything_is_forwarded_within_15_minutes_of_an_outages_end(
    world: World, error: Exception
) -> None:
    """Half a day long, with a blob for each hour, and the host's tries of each event."""
    world.sink.error = error
    blobs = []
    for hour in range(12):
        blobs.append(blob_at(-hour))
        world.append(blobs[-1])
        world.refuse(*blobs)
        for _ in range(5):
            with pytest.raises(type(error)):
                ingest(blobs[-1], world.pipeline)
        for _ in range(12):
            world.minutes_later()
            world.sweep()
    world.refuse()
    for _ in range(3):
        world.minutes_later()
        world.sweep()
    assert sorted(world.received()) == sorted(t for one in world.written.values() for t in one)


def test_an_outage_of_seconds_with_many_events_holds_nothing_back(world: World) -> None:
    """Three events of five tries each count as one attempt, not as 15."""
    last_of_its_hour = blob_at(0)
    world.append(last_of_its_hour)
    world.refuse(last_of_its_hour)
    for _ in range(15):
        with pytest.raises(Unavailable):
            ingest(last_of_its_hour, world.pipeline)
        world.clock.sleep(1)
    world.refuse()
    world.minutes_later()
    assert world.sweep().forwarded == 1


def test_what_is_refused_for_what_it_is_waits_longer_each_time(world: World) -> None:
    blob = blob_at(1)
    world.append(blob)
    world.sink.error = Refused("400 InvalidInput")
    world.refuse(blob)
    failed = 0
    for _ in range(24 * 12):
        world.minutes_later()
        failed += world.sweep().failed
    # After 5, 10, 15, 20, 30, 50, 85, 150, 280, 540, 900 and 1260 of the 1440 minutes.
    assert failed == 12


def test_only_one_sweep_runs_at_a_time(world: World) -> None:
    world.append(blob_at(1))
    world.minutes_later()
    inner: list[SweepReport] = []

    class Nested(FussySink):
        def send(self, messages: Iterable[Any]) -> int:
            inner.append(world.sweep())
            return super().send(messages)

    world.pipeline = Pipeline(
        world.blobs, world.checkpoints, Nested(), world.letters, 180, world.clock
    )
    assert world.sweep().forwarded == 1
    assert inner == [SweepReport(is_whole=False)]
    stored = world.cursors.get(LOGS).cursor
    assert stored is not None
    assert (stored.owner, stored.owned_until) == ("", None)


def test_a_sweep_that_died_is_taken_over_where_it_was(world: World) -> None:
    for number in range(1, 7):
        world.append(blob_at(1, number))
    world.minutes_later()

    class Dies(FussySink):
        def send(self, messages: Iterable[Any]) -> int:
            if len(self.messages) == 5:
                world.cursors.put = lost  # type: ignore[method-assign, assignment]
                raise KeyboardInterrupt
            return super().send(messages)

    def lost(*_: object) -> Any:
        raise Unavailable("gone")

    alive = world.cursors.put
    world.use(sink=Dies())
    with pytest.raises(KeyboardInterrupt):
        world.sweep()
    world.cursors.put = alive  # type: ignore[method-assign]
    assert world.sweep() == SweepReport(is_whole=False)  # its lease has to run out
    world.minutes_later(4)
    world.use(sink=FussySink())
    report = world.sweep()
    # Five were forwarded and their folders done; the sixth has one of its own.
    assert (report.looked_at, report.forwarded) == (1, 1)


@pytest.mark.parametrize("answer", ["save", "release"])
def test_a_write_of_the_cursor_whose_answer_was_lost_is_recognised(
    world: World, answer: str
) -> None:
    """The SDK tries again by itself, and its second try meets the first one's ETag."""
    put = world.cursors.put
    lost: list[Cursor] = []

    def twice(container: Container, cursor: Cursor, etag: str) -> StoredCursor:
        stored = put(container, cursor, etag)
        if not lost and bool(cursor.owner) == (answer == "save") and etag:
            lost.append(cursor)
            return put(container, cursor, etag)
        return stored

    world.append(blob_at(1))
    world.minutes_later()
    world.cursors.put = twice  # type: ignore[method-assign]
    assert world.sweep().is_whole
    assert lost
    stored = world.cursors.get(LOGS).cursor
    assert stored is not None
    assert (stored.owner, stored.is_over) == ("", True)


def test_a_sweep_whose_cursor_was_taken_over_ends_there(world: World) -> None:
    for number in range(1, 9):
        world.append(blob_at(1, number))
    world.minutes_later()

    class StandsStill(FussySink):
        def send(self, messages: Iterable[Any]) -> int:
            if not self.messages:
                world.clock.sleep(181)
                found = world.cursors.get(LOGS)
                assert found.cursor is not None
                other = replace(found.cursor, owner="other")
                world.cursors.put(LOGS, other, found.etag)
            return super().send(messages)

    world.use(sink=StandsStill())
    report = world.sweep()
    assert (report.is_whole, report.forwarded) == (False, 1)
    stored = world.cursors.get(LOGS).cursor
    assert stored is not None
    assert stored.owner == "other"


def test_what_makes_no_entry_long_after_its_hour_is_a_dead_letter(world: World) -> None:
    blob = blob_at(1)
    world.append(blob)
    world.blobs.put(blob, b'{"records":[{"time":"cut off')
    world.minutes_later()
    world.sweep()
    assert world.letters.letters == {}
    world.minutes_later(90)
    assert world.sweep().behind == 0
    world.minutes_later(60)
    assert world.sweep().dead_letters == 1
    (letter,) = world.letters.letters.values()
    assert letter.raw == b'{"time":"cut off'
    world.minutes_later()
    assert world.sweep().behind == 0


def test_empty_blobs_and_missing_containers_are_nothing_to_do(world: World) -> None:
    world.blobs.put(blob_at(1), b"")
    world.minutes_later()
    containers = [Container("account", "absent"), LOGS]
    report = world.sweep(containers=containers)
    assert report == SweepReport(looked_at=1, by_container=Counter({(LOGS, "looked_at"): 1}))


def test_a_container_that_cannot_be_listed_is_counted_and_the_others_get_their_turn(
    world: World,
) -> None:
    world.append(blob_at(1))
    world.minutes_later()
    page = world.blobs.page

    def forbidden(account: str, container: str, prefix: str, **options: Any) -> Page:
        if container == "forbidden":
            raise NotAllowed("403")
        return page(account, container, prefix, **options)

    world.blobs.page = forbidden  # type: ignore[method-assign]
    containers = [Container("account", "forbidden"), LOGS]
    report = world.sweep(containers=containers)
    assert (report.failed, report.forwarded) == (1, 1)
    assert report.by_container == {
        (containers[0], "failed"): 1,
        **{(LOGS, what): 1 for what in ("looked_at", "behind", "forwarded")},
    }
    # No hour is left out once it can be listed again, however long that takes.
    world.append(blob_at(0, container=containers[0]))
    for _ in range(30):
        world.minutes_later(60)
        world.sweep(containers=containers)
    world.blobs.page = page  # type: ignore[method-assign]
    world.minutes_later()
    assert world.sweep(containers=containers).forwarded == 1


def test_a_sweep_that_cannot_look_for_dead_workers_claims_does_the_rest_and_is_not_whole(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: object) -> Iterator[Sequence[Checkpoint]]:
        raise Unavailable("503")

    monkeypatch.setattr(MemoryCheckpoints, "unsettled", busy)
    world.append(blob_at(1))
    world.minutes_later()
    report = world.sweep()
    assert (report.is_whole, report.forwarded, report.failed) == (False, 1, 0)


def test_a_look_may_leave_out_older_hours_and_says_how_much_that_is(world: World) -> None:
    for ago in (1, 30, 40):
        world.append(blob_at(ago, ago))
    ingest(blob_at(40, 40), world.pipeline)
    world.append(blob_at(40, 40))
    sizes = [world.blobs.blob_bytes(blob_at(ago, ago)) for ago in (30, 40)]
    checkpoint = world.checkpoints.get(checkpoint_key(blob_at(40, 40))).checkpoint
    assert checkpoint is not None
    options = SweepOptions([LOGS], 0, untouched_for_s=0, forward_since=NOW - 24 * HOUR)
    parallel = Parallel(1)
    report = CatchUp(world.blobs, world.pipeline, world.cursors, options, parallel).run()
    parallel.close()
    assert (report.looked_at, report.behind, report.forwarded) == (3, 1, 1)
    assert (report.older, report.oldest) == (2, NOW - 40 * HOUR)
    assert report.older_bytes == sum(sizes) - checkpoint.progress.offset


def test_a_look_at_all_needs_no_memory_and_leaves_nothing_out(world: World) -> None:
    for hours_ago in (0, 30, 3000):
        world.append(blob_at(hours_ago))
    parallel = Parallel(2)
    options = SweepOptions([LOGS], 0, untouched_for_s=0)
    report = CatchUp(world.blobs, world.pipeline, world.cursors, options, parallel).run()
    parallel.close()
    assert (report.forwarded, report.is_whole) == (3, True)
    assert world.cursors.get(LOGS).cursor is None


def test_a_persons_own_command_does_not_wait_for_what_failed(world: World) -> None:
    """It names what stays behind, and its numbers are those of what it did."""
    good, bad = blob_at(1), blob_at(2)
    world.append(good)
    world.append(bad)
    world.refuse(bad)

    def look(*, waits: bool) -> SweepReport:
        parallel = Parallel(1)
        options = SweepOptions([LOGS], 0, untouched_for_s=0, waits_after_failures=waits)
        try:
            return CatchUp(world.blobs, world.pipeline, world.cursors, options, parallel).run()
        finally:
            parallel.close()

    total = SweepReport()
    first = look(waits=False)
    assert (first.behind, first.forwarded, first.failed) == (2, 1, 1)
    assert first.still_behind == [bad]
    add_up(total, first)
    second = look(waits=True)
    assert (second.behind, second.backing_off) == (0, 1)
    assert second.still_behind == [bad]
    add_up(total, second)
    assert (total.behind, total.forwarded, total.failed, total.backing_off) == (2, 1, 1, 1)
    assert total.still_behind == [bad]
    world.refuse()
    repaired = look(waits=False)
    assert (repaired.behind, repaired.forwarded, repaired.still_behind) == (1, 1, [])


@pytest.mark.parametrize("is_noted", [True, False])
def test_a_look_that_could_list_everything_is_noted_if_asked_to(
    world: World, monkeypatch: pytest.MonkeyPatch, is_noted: bool
) -> None:
    shut, absent = Container("account", "shut"), Container("account", "absent")
    world.append(blob_at(1))
    world.refuse(blob_at(1))  # it was looked at all the same
    page = world.blobs.page

    def page_of(account: str, container: str, prefix: str, **options: Any) -> Page:
        if container == "shut":
            raise NotAllowed("403")
        return page(account, container, prefix, **options)

    monkeypatch.setattr(world.blobs, "page", page_of)
    options = SweepOptions([LOGS, shut, absent], 0, untouched_for_s=0)
    at = service_time(world.clock)
    with closing(Parallel(1)) as parallel:
        one = CatchUp(world.blobs, world.pipeline, world.cursors, options, parallel)
        one.run(world.cursors.note_look if is_noted else None)
    cursors, looks, _ = world.cursors.passes()
    assert (cursors, looks) == ({}, {LOGS: at, absent: at} if is_noted else {})


def test_blobs_of_other_names_are_counted_and_one_is_named(world: World) -> None:
    world.append(blob_at(1))
    world.blobs.others = {"copies/x.json", "readme.txt"}
    report = world.sweep()
    assert (report.looked_at, report.not_flow_logs) == (1, 2)
    assert report.not_flow_logs_example in ("account/logs/copies/x.json", "account/logs/readme.txt")


def test_when_the_last_whole_pass_ended_is_known_until_the_next_has_ended(world: World) -> None:
    def last_whole() -> datetime | None:
        cursor = world.cursors.get(LOGS).cursor
        assert cursor is not None
        return cursor.last_whole

    world.append(blob_at(1))
    world.append(blob_at(2))
    world.minutes_later()
    world.sweep()
    first = last_whole()
    assert first == service_time(world.clock)
    page = world.blobs.page
    world.minutes_later()

    def busy(*_: object, **__: object) -> Page:
        raise Unavailable("busy")

    world.blobs.page = busy  # type: ignore[method-assign]
    world.sweep()
    assert last_whole() == first
    world.blobs.page = page  # type: ignore[method-assign]
    world.minutes_later()
    stop = threading.Event()
    stop.set()
    world.sweep(stop=stop)
    assert last_whole() == first
    world.sweep()
    assert last_whole() == service_time(world.clock)


# The order of listings, and their pages.


@pytest.mark.parametrize("order", [by_code_point, hierarchical])
@pytest.mark.parametrize("before_time_is_up", range(1, 6))
def test_a_sweep_that_ends_anywhere_passes_over_nothing(
    world: World, order: Callable[[str], str], before_time_is_up: int
) -> None:
    """With a hierarchical namespace WEB/ is listed before WEB-2/."""
    world.blobs.order, world.blobs.blobs_a_page = order, 5000
    for resource in ("WEB", "WEB-2"):
        for hours_ago in range(1, 4):
            world.append(blob_at(hours_ago, resource=resource))
    world.minutes_later()

    class Slow(FussySink):
        def send(self, messages: Iterable[Any]) -> int:
            world.clock.sleep(60)
            return super().send(messages)

    world.use(sink=Slow())
    forwarded, is_whole = 0, False
    while not is_whole:  # one pass
        report = world.sweep(max_s=60 * before_time_is_up)
        forwarded, is_whole = forwarded + report.forwarded, report.is_whole
    assert forwarded == 6
    assert sorted(world.received()) == sorted(t for one in world.written.values() for t in one)


def test_a_page_that_is_short_or_empty_and_carries_a_marker_is_not_the_end(world: World) -> None:
    for hours_ago in range(5):
        world.append(blob_at(hours_ago))
    world.minutes_later()
    sizes = cycle((0, 1, 0, 2))
    world.blobs.odd_page = lambda: next(sizes)
    assert world.sweep().forwarded == 5


# Time.


class SlowBlobs(MemoryBlobs):
    """Every page takes a second."""

    def page(self, *arguments: Any, **options: Any) -> Page:
        assert isinstance(self.clock, ManualClock)
        self.clock.sleep(1)
        return super().page(*arguments, **options)


def slow_container(world: World, resources: int) -> None:
    """Much to list and little to forward: one blob an hour, of which the window holds two."""
    world.use(blobs=SlowBlobs(world.clock, blobs_a_page=2))
    for number in range(resources):
        for hours_ago in (1, 2, 30, 31):
            world.append(blob_at(hours_ago, resource=f"R{number}"))
    world.minutes_later()


def test_time_is_up_between_folders_and_pages_too(world: World) -> None:
    slow_container(world, 50)
    began_s = world.clock.monotonic()
    first = world.sweep(max_s=60)
    assert 60 <= world.clock.monotonic() - began_s < 62
    sweeps = [first]
    while not sweeps[-1].is_whole:
        sweeps.append(world.sweep(max_s=60))
    assert sum(sweep.forwarded for sweep in sweeps) == 100
    assert 2 < len(sweeps) < 20


def test_a_sweep_that_finds_nothing_in_its_time_gets_further_all_the_same(world: World) -> None:
    """Finding the first blob takes longer than the limit; so does finding each of the others."""
    slow_container(world, 6)
    sweeps = [world.sweep(max_s=1)]
    while not sweeps[-1].is_whole:
        sweeps.append(world.sweep(max_s=1))
        assert len(sweeps) < 50
    assert sum(sweep.forwarded for sweep in sweeps) == 12


@pytest.mark.parametrize("pages", range(1, 8))
def test_a_sweep_that_is_told_to_stop_makes_no_further_call(world: World, pages: int) -> None:
    slow_container(world, 50)
    stop = threading.Event()
    page = world.blobs.page

    def stopping(*arguments: Any, **options: Any) -> Page:
        assert not stop.is_set()
        if world.blobs.calls["page"] + world.blobs.calls["folders"] == pages - 1:
            stop.set()
        return page(*arguments, **options)

    world.blobs.page = stopping  # type: ignore[method-assign]
    report = world.sweep(stop=stop)
    assert (report.is_whole, report.forwarded) == (False, 0)


def test_containers_take_turns_when_one_alone_takes_all_the_time(world: World) -> None:
    other = Container("account", "other")
    slow_container(world, 20)
    world.append(blob_at(1, container=other))
    world.minutes_later()
    for _ in range(2):
        world.sweep(containers=[LOGS, other], max_s=20)
        world.minutes_later()
    assert set(world.written[blob_at(1, container=other)]) <= set(world.received())


# What is remembered, of which container.


def test_deployments_that_share_a_state_table_do_not_forget_each_others_hours(
    world: World,
) -> None:
    one, two = (Container("account", name) for name in ("one", "two"))
    failing = blob_at(1, container=one)
    world.append(failing)
    world.refuse(failing)
    world.minutes_later()
    assert world.sweep(containers=[one], hours=2).failed == 1
    for _ in range(12 * 24):  # the first deployment is stopped for a day
        world.minutes_later()
        world.sweep(containers=[two], hours=2)
    world.refuse()
    assert world.sweep(containers=[one], hours=2).forwarded == 1


def test_a_source_that_comes_back_is_swept_from_where_it_was_left(world: World) -> None:
    one, two = (Container(account, "logs") for account in ("one", "two"))
    world.minutes_later()
    world.sweep(containers=[one, two], hours=2)
    missed = blob_at(-1, container=one)
    world.minutes_later(90)
    world.append(missed)
    for _ in range(24):
        world.minutes_later(60)
        world.sweep(containers=[two], hours=2)
    assert world.sweep(containers=[two, one], hours=2).forwarded == 1


@pytest.mark.parametrize("is_over", [True, False])
def test_each_container_begins_once_with_the_window_of_the_cursor_they_shared(
    world: World, is_over: bool
) -> None:
    began = NOW - 2 * HOUR
    old, older = blob_at(30), blob_at(60)
    world.cursors.shared = Cursor(
        began, began - 24 * HOUR, oldest_unfinished=NOW - 40 * HOUR, is_over=is_over
    )
    other = Container("account", "other")
    for blob in (old, older, blob_at(30, container=other), blob_at(60, container=other)):
        world.append(blob)
    world.minutes_later()
    report = world.sweep(containers=[LOGS, other])
    assert report.forwarded == (2 if is_over else 0)
    assert world.cursors.shared is None
    report = world.sweep(containers=[LOGS, other])
    assert report.forwarded == (0 if is_over else 2)
    late = Container("account", "late")
    world.append(blob_at(30, container=late))
    world.minutes_later()
    assert world.sweep(containers=[LOGS, other, late]).looked_at == 0


def test_outcomes_are_added_up() -> None:
    summary = SweepReport()
    summary.add(LOGS, Outcome("forwarded", 1, 2, 3, 4, 5))
    summary.add(LOGS, Outcome("handed_over"))
    summary.add(LOGS, Outcome("claim_lost"))
    summary.add(LOGS, Outcome("deleted"))
    assert summary == SweepReport(
        forwarded=2,
        left_to_others=2,
        entries=1,
        records=2,
        dead_letters=4,
        new_bytes=5,
        is_whole=True,
        by_container=Counter({(LOGS, "forwarded"): 2}),
    )


def claimed(world: World, blob: BlobRef, owner: str = "dead") -> None:
    """By a worker that ends without releasing it."""
    key = checkpoint_key(blob)
    assert take_or_ring(world.checkpoints, key, str(blob), owner, 60, world.clock)


def test_a_sweep_takes_what_a_claim_that_ran_out_keeps_back_without_waiting(world: World) -> None:
    """At most 90 s after that, where a sweep runs each minute; a young commit waits 120 s else."""
    blob, untouched = blob_at(0, 1), blob_at(0, 2)
    world.append(blob)
    claimed(world, blob)
    world.clock.sleep(59)
    world.append(untouched)
    world.append(blob)
    assert world.sweep().forwarded == 0
    world.clock.sleep(2)
    report = world.sweep()
    assert (report.forwarded, report.behind, report.left_to_others) == (1, 1, 0)
    assert world.received() == world.written[blob]


def test_claims_that_ran_out_come_before_all_else_however_old(world: World) -> None:
    """Also those of hours that no window reaches any more, and with no time for a listing."""
    old, young = blob_at(0, 1), blob_at(0, 2)
    world.append(old)
    claimed(world, old)
    world.minutes_later(60 * 24 * 9)
    world.append(young)
    world.minutes_later()
    order: list[BlobRef] = []

    def in_order(blob: BlobRef, pipeline: Pipeline, **options: Any) -> Outcome:
        order.append(blob)
        return ingest(blob, pipeline, **options)

    options = SweepOptions([LOGS], hours=24 * 30)
    Sweep(
        world.blobs, world.pipeline, world.cursors, options, one_after_the_other, None, in_order
    ).run()
    assert order == [old, young]


def one_after_the_other(items: Iterable[BlobRef], do: Callable[[BlobRef], object]) -> int:
    return len([do(item) for item in items])


def test_what_failed_is_forwarded_later_though_it_is_older_than_any_window(world: World) -> None:
    """An event for a restored or late log, which failed five times and was seen by no sweep."""
    blob = blob_at(0, 1)
    world.append(blob)
    world.minutes_later(60 * 24 * 40)
    world.refuse(blob)
    for _ in range(5):
        with pytest.raises(Unavailable):
            ingest(blob, world.pipeline)
    assert world.sweep(hours=1).forwarded == 0  # it waits for a minute
    world.refuse()
    world.minutes_later()
    assert world.sweep(hours=1).forwarded == 1
    assert world.received() == world.written[blob]
    world.minutes_later()
    assert world.sweep(hours=1).behind == 0


class ProcessEnded(BaseException):
    """The process of a sweep is gone."""


def test_each_sweep_gets_past_a_blob_that_ends_its_process(world: World) -> None:
    """Each process is on another machine, so that nothing tells that it ended: claims run out."""
    blobs = [blob_at(hour, number) for number in (1, 2, 3) for hour in (0, 1)]
    for blob in blobs:
        world.append(blob)
    deadly = {blobs[1], blobs[2]}
    ends = 0

    def ingest_or_end(blob: BlobRef, pipeline: Pipeline, **options: Any) -> Outcome:
        if blob in deadly:
            key = checkpoint_key(blob)
            take_or_ring(
                world.checkpoints,
                key,
                str(blob),
                pipeline.new_owner(),
                60,
                world.clock,
                always_take_over=True,
            )
            raise ProcessEnded
        return ingest(blob, pipeline, **options)

    for _ in range(12):
        world.minutes_later()
        options = SweepOptions([LOGS], hours=24)
        cursors = Lease(world.cursors)
        try:
            Sweep(
                world.blobs,
                world.pipeline,
                cursors,
                options,
                one_after_the_other,
                ingest_one=ingest_or_end,
            ).run()
        except ProcessEnded:
            ends += 1
    good = [blob for blob in blobs if blob not in deadly]
    assert sorted(world.received()) == sorted(text for blob in good for text in world.written[blob])
    assert ends < 12
    # They are not forgotten: once they end no process any more, they are forwarded.
    deadly.clear()
    for _ in range(4):
        world.minutes_later(11)
        world.sweep()
    assert sorted(world.received()) == sorted(
        text for texts in world.written.values() for text in texts
    )


class Lease:
    """The store of cursors, of a process that ends without releasing any."""

    def __init__(self, store: MemoryCursors) -> None:
        self._store = store

    def put(self, container: Container, cursor: Cursor, etag: str) -> StoredCursor:
        if not cursor.owner and not cursor.is_over:
            raise ProcessEnded  # nothing more happens here
        return self._store.put(container, cursor, etag)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


TIMER: dict[str, Any] = {"untouched_for_s": 0, "max_s": 50, "young_hours": 3}
"""As `Service.sweep` sets them where no events are sent."""


def slow(world: World, seconds: float) -> None:
    """Each entry takes so long to send."""

    class Slow(FussySink):
        def send(self, messages: Iterable[Any]) -> int:
            world.clock.sleep(seconds)
            return super().send(messages)

    world.use(sink=Slow())


def young_then_old(world: World) -> tuple[list[BlobRef], list[BlobRef]]:
    """Three young blobs that come last in the order of names, and five old ones."""
    young = [blob_at(hours_ago, resource="Z") for hours_ago in range(3)]
    old = [blob_at(hours_ago, resource="A") for hours_ago in range(4, 9)]
    for blob in young + old:
        world.append(blob)
    return young, old


def test_without_events_young_hours_are_forwarded_before_a_backlog(world: World) -> None:
    young, old = young_then_old(world)
    slow(world, 10)
    assert world.sweep(**TIMER).forwarded == 5
    assert {*world.received()} >= {text for blob in young for text in world.written[blob]}
    world.minutes_later(1)
    assert world.sweep(**TIMER).forwarded == 3
    assert sorted(world.received()) == sorted(t for b in young + old for t in world.written[b])


def test_young_hours_leave_a_fifth_of_the_time_to_the_others(world: World) -> None:
    """Else what is written to old hours, or failed there, would wait as long as all is busy."""
    blobs = [blob_at(0, number, resource="Z") for number in range(1, 12)]
    old = blob_at(5, resource="A")
    for blob in (*blobs, old):
        world.append(blob)
    slow(world, 10)
    assert world.sweep(**TIMER).forwarded == 5
    assert {*world.received()} >= {*world.written[old]}


def test_an_hour_is_young_for_three_hours_after_it_began(world: World) -> None:
    world.clock.sleep(30 * 60)
    young, old = blob_at(2), blob_at(3)
    world.append(young)
    world.append(old)
    slow(world, 21)
    world.sweep(**TIMER)
    assert world.received()[:2] == world.written[young]


def test_an_append_costs_five_storage_calls_by_the_timer(world: World) -> None:
    """One look at the checkpoint, claim, read, send, release. Listings are shared by all."""
    blob = blob_at(0)
    world.append(blob)
    world.sweep(**TIMER)
    world.minutes_later(1)
    world.append(blob)
    for calls in (world.checkpoints.calls, world.blobs.calls):
        calls.clear()
    sent = len(world.sink.messages)
    assert world.sweep(**TIMER).forwarded == 1
    checkpoint = sum(world.checkpoints.calls[call] for call in ("get", "create", "replace"))
    assert checkpoint + world.blobs.calls["read"] + len(world.sink.messages) - sent <= 5


def test_a_run_by_the_timer_leaves_a_container_to_the_run_that_has_it(world: World) -> None:
    world.append(blob_at(0))
    inner: list[SweepReport] = []

    class Nested(FussySink):
        def send(self, messages: Iterable[Any]) -> int:
            inner.append(world.sweep(**TIMER))
            return super().send(messages)

    world.use(sink=Nested())
    assert world.sweep(**TIMER).forwarded == 1
    assert [(one.is_whole, one.looked_at) for one in inner] == [(False, 0)]


@pytest.mark.parametrize("moment", ["first hold", "second hold", "release"])
def test_a_run_that_comes_while_another_is_at_work_waits_for_no_further_run(
    world: World, moment: str
) -> None:
    """One of the two forwards what was committed just before."""
    early, late = blob_at(0, 1), blob_at(0, 2)
    world.append(early)
    put = world.cursors.put
    inner: list[SweepReport] = []
    puts: list[Cursor] = []

    def at_that_moment(container: Container, cursor: Cursor, etag: str) -> StoredCursor:
        puts.append(cursor)
        is_now = {
            "first hold": len(puts) == 1,
            "second hold": len(puts) == 3,  # for the pass over the window
            "release": not cursor.owner and cursor.is_over,
        }
        if is_now[moment] and not inner:
            world.append(late)
            inner.append(SweepReport())
            inner[0] = world.sweep(**TIMER)
        return put(container, cursor, etag)

    world.cursors.put = at_that_moment  # type: ignore[method-assign]
    outer = world.sweep(**TIMER)
    assert outer.forwarded + inner[0].forwarded == 2
    assert sorted(world.received()) == sorted(world.written[early] + world.written[late])
    assert outer.is_whole
    assert inner[0].is_whole == (moment != "release")


def test_only_a_sweep_by_the_timer_asks_for_another_look(world: World) -> None:
    """Where events come, the next sweep is soon enough."""
    world.append(blob_at(1))
    world.minutes_later()

    class Nested(FussySink):
        def send(self, messages: Iterable[Any]) -> int:
            assert not world.sweep().is_whole
            return super().send(messages)

    world.use(sink=Nested())
    world.sweep()
    stored = world.cursors.get(LOGS).cursor
    assert stored is not None
    assert stored.rings == 0


def test_a_run_by_the_timer_counts_each_blob_once(world: World) -> None:
    """Although two passes come to the youngest: what is archived, failed, and waits after that."""
    failing, archived, old = blob_at(0, 1), blob_at(0, 2), blob_at(5)
    for blob in (failing, archived, old):
        world.append(blob)
    world.blobs.archive(archived)
    world.sink.refused = {Position(failing).blob_digest}
    first = world.sweep(**TIMER)
    assert (first.looked_at, first.archived, first.behind) == (3, 1, 2)
    assert (first.failed, first.backing_off, first.still_behind) == (1, 0, [failing])
    second = world.sweep(**TIMER)
    assert (second.looked_at, second.archived, second.behind) == (2, 1, 0)  # `old` is closed
    assert (second.failed, second.backing_off, second.still_behind) == (0, 1, [failing])


def test_a_container_that_cannot_be_listed_costs_one_try_a_run(world: World) -> None:
    world.append(blob_at(0))
    page = world.blobs.page
    tried: list[str] = []

    def forbidden(account: str, container: str, prefix: str, **options: Any) -> Page:
        if container == "forbidden":
            tried.append(prefix)
            raise NotAllowed("403")
        return page(account, container, prefix, **options)

    world.blobs.page = forbidden  # type: ignore[method-assign]
    containers = [Container("account", "forbidden"), LOGS]
    report = world.sweep(**TIMER, containers=containers)
    assert (report.failed, report.forwarded, len(tried)) == (1, 1, 1)
    world.blobs.page = page  # type: ignore[method-assign]
    world.append(blob_at(5, container=containers[0]))
    assert world.sweep(**TIMER, containers=containers).forwarded == 1
