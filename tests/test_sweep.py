"""The sweep: finds what is behind, only that, in bounded time, one at a time, nothing for ever."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import records_in, tuple_of

from flowlog_core.blob import BlobRef, LogBlob, Position
from flowlog_core.checkpoint import Failure, checkpoint_key
from flowlog_core.errors import NotAllowed, Unavailable
from flowlog_core.ingest import Outcome, Pipeline, ingest
from flowlog_core.sinks.parallel import Parallel
from flowlog_core.source.listing import Page
from flowlog_core.sweep.cursor import SweepPass
from flowlog_core.sweep.sweep import SWEEP_KEY, Place, Scope, Summary, Sweep, try_again_at
from flowlog_core.testing.generate import FlowLogGenerator, Interface, document
from flowlog_core.testing.memory import (
    EPOCH,
    ManualClock,
    MemoryBlobs,
    MemoryCheckpoints,
    MemoryDeadLetters,
    MemorySink,
)

HOUR = timedelta(hours=1)
START_S = 30 * 24 * 3600.0
NOW = EPOCH + timedelta(seconds=START_S)
PLACE = Place("account", "logs")


def blob_at(hours_ago: int, number: int = 1) -> BlobRef:
    log = LogBlob.parse(Interface.nsg(number).blob_name(NOW - hours_ago * HOUR))
    assert log is not None
    return BlobRef(*PLACE, log)


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

    def sweep(self, **scope: Any) -> Summary:
        parallel = Parallel(1)
        wanted = {"places": [PLACE], "hours": 24, **scope}
        summary = Sweep(self.blobs, self.pipeline, Scope(**wanted), parallel).run()
        parallel.close()
        return summary

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
    """Nor does it keep the window open: whoever rehydrates it asks for it again."""
    archived, other, known = blob_at(9 * 24, 1), blob_at(9 * 24, 2), blob_at(1, 3)
    for blob in (archived, other, known):
        world.append(blob)
    ingest(known, world.pipeline)
    world.blobs.archive(archived)
    world.blobs.archive(known)
    world.minutes_later()
    summary = world.sweep(since=EPOCH)
    assert (summary.behind, summary.forwarded, summary.archived) == (1, 1, 1)
    assert (summary.archived_such_as, summary.failed) == (str(archived), 0)
    assert f"1 blobs are behind and in the archive tier, where they cannot be read: {archived}" in (
        caplog.messages
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


def test_a_sweep_whose_time_is_up_is_carried_on_by_the_next(world: World) -> None:
    blobs = [blob_at(hours, number) for hours in range(3) for number in range(1, 4)]
    for blob in blobs:
        world.append(blob)
    world.minutes_later()

    class Slow(FussySink):
        def send(self, messages: Iterable[Any]) -> int:
            world.clock.sleep(60)
            return super().send(messages)

    world.pipeline = Pipeline(
        world.blobs, world.checkpoints, slow := Slow(), world.letters, 180, world.clock
    )
    sweeps = [world.sweep(most_s=120) for _ in range(5)]
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
    assert attempts == 5  # after 1, 2, 4, 8, 16 and 32 minutes, the last one still ahead
    world.refuse()
    world.minutes_later(60)
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


def test_the_longest_wait_of_a_failing_blob_is_six_hours() -> None:
    waits = [try_again_at(Failure(n, NOW, "")) - NOW for n in (1, 2, 3, 9, 10, 5000)]
    assert waits == [timedelta(minutes=m) for m in (1, 2, 4, 256, 360, 360)]


def test_only_one_sweep_runs_at_a_time(world: World) -> None:
    world.append(blob_at(1))
    world.minutes_later()
    inner: list[Summary] = []

    class Nested(FussySink):
        def send(self, messages: Iterable[Any]) -> int:
            inner.append(world.sweep())
            return super().send(messages)

    world.pipeline = Pipeline(
        world.blobs, world.checkpoints, Nested(), world.letters, 180, world.clock
    )
    assert world.sweep().forwarded == 1
    assert inner == [Summary(is_whole=False)]
    stored = world.checkpoints.get(SWEEP_KEY).checkpoint
    assert stored is not None
    assert stored.owner == ""


def test_a_sweep_that_died_is_taken_over_where_it_was(world: World) -> None:
    for number in range(1, 7):
        world.append(blob_at(1, number))
    world.minutes_later()

    class Dies(FussySink):
        def send(self, messages: Iterable[Any]) -> int:
            if len(self.messages) == 5:
                world.checkpoints.replace = lost  # type: ignore[method-assign, assignment]
                raise KeyboardInterrupt
            return super().send(messages)

    def lost(*_: object) -> Any:
        raise Unavailable("gone")

    alive = world.checkpoints.replace
    world.sink = Dies()
    world.pipeline = Pipeline(
        world.blobs, world.checkpoints, world.sink, world.letters, 180, world.clock
    )
    with pytest.raises((KeyboardInterrupt, Unavailable)):
        world.sweep()
    world.checkpoints.replace = alive  # type: ignore[method-assign]
    assert world.sweep() == Summary(is_whole=False)  # its claim has to run out
    world.minutes_later(4)
    world.pipeline = Pipeline(
        world.blobs, world.checkpoints, MemorySink(), world.letters, 180, world.clock
    )
    summary = world.sweep()
    # Five were forwarded and saved with their pages; the sixth has a page of its own.
    assert (summary.looked_at, summary.forwarded) == (1, 1)


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
    places = [Place("account", "absent"), PLACE]
    assert world.sweep(places=places) == Summary(looked_at=1)


def test_a_container_that_cannot_be_listed_is_counted_and_the_others_get_their_turn(
    world: World,
) -> None:
    world.append(blob_at(1))
    world.minutes_later()
    page = world.blobs.page

    def forbidden(account: str, container: str, prefix: str) -> Page:
        if container == "forbidden":
            raise NotAllowed("403")
        return page(account, container, prefix)

    world.blobs.page = forbidden  # type: ignore[method-assign]
    summary = world.sweep(places=[Place("account", "forbidden"), PLACE])
    assert (summary.failed, summary.forwarded) == (1, 1)


def test_a_look_at_all_needs_no_memory_and_leaves_nothing_out(world: World) -> None:
    for hours_ago in (0, 30, 3000):
        world.append(blob_at(hours_ago))
    parallel = Parallel(2)
    scope = Scope([PLACE], 0, untouched_for_s=0)
    summary = Sweep(world.blobs, world.pipeline, scope, parallel).look_at_all()
    parallel.close()
    assert (summary.forwarded, summary.is_whole) == (3, True)
    assert world.checkpoints.get(SWEEP_KEY).checkpoint is None


MOMENTS = st.integers(0, 10**7).map(lambda seconds: EPOCH + timedelta(seconds=seconds))


@given(
    st.builds(
        SweepPass,
        MOMENTS,
        MOMENTS,
        st.text(),
        st.text(),
        st.text(),
        st.none() | MOMENTS,
        st.none() | MOMENTS,
        st.just(False),
    ),
    MOMENTS,
)
def test_an_unfinished_pass_is_carried_on_just_as_it_was(going: SweepPass, now: datetime) -> None:
    assert SweepPass.continued(going.to_note(), now, 24, None) == going


def test_outcomes_are_added_up() -> None:
    summary = Summary()
    summary.add(Outcome("forwarded", 1, 2, 3, 4, 5))
    summary.add(Outcome("handed_over"))
    summary.add(Outcome("claim_lost"))
    summary.add(Outcome("deleted"))
    assert summary == Summary(
        forwarded=2,
        left_to_others=2,
        entries=1,
        records=2,
        dead_letters=4,
        new_bytes=5,
        is_whole=True,
    )
