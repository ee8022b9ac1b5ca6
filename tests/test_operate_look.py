"""One look at an installation: what is counted, what is unknown, what it costs."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest
from support import blob_of_interface

from flowlog_core.blob import BlobRef, Position
from flowlog_core.checkpoints.checkpoint import Checkpoint, Failure, Progress, checkpoint_key
from flowlog_core.dead_letters import DeadLetter
from flowlog_core.errors import NotAllowed, NotFound, Unavailable
from flowlog_core.ingest import Pipeline, ingest
from flowlog_core.operate.look import MAX_REASONS_READ, Sight, look
from flowlog_core.operate.status import ClaimHeld, FailingBlob, SweepStatus, Totals
from flowlog_core.sinks.depth import QueueDepth
from flowlog_core.sweep.cursor import Container, Cursor
from flowlog_core.testing.generate import FlowLogGenerator, Interface, document
from flowlog_core.testing.letters import MemoryLetters
from flowlog_core.testing.memory import (
    EPOCH,
    ManualClock,
    MemoryBlobs,
    MemoryCheckpoints,
    MemoryCursors,
    MemorySink,
    service_time,
)

LOGS = Container("account", "logs")
HOUR = EPOCH + timedelta(hours=30)


def blob_at(hours_ago: int = 0, number: int = 1) -> BlobRef:
    return blob_of_interface(Interface.nsg(number), HOUR - timedelta(hours=hours_ago), *LOGS)


class World:
    def __init__(self) -> None:
        self.clock = ManualClock((HOUR - EPOCH).total_seconds() + 1800)
        self.blobs, self.checkpoints = MemoryBlobs(self.clock), MemoryCheckpoints(self.clock)
        self.cursors, self.letters = MemoryCursors(self.clock), MemoryLetters(self.clock)
        self.sink = MemorySink()
        self.queues: list[Any] = [lambda: QueueDepth("flow-records", 0, None)]
        self.containers = [LOGS]
        self.written: dict[BlobRef, list[Any]] = {}
        self.generator = FlowLogGenerator(1)

    @property
    def sight(self) -> Sight:
        return Sight(
            self.containers, self.blobs, self.checkpoints, self.cursors, self.letters, self.queues
        )

    def append(self, blob: BlobRef) -> int:
        """Returns how many bytes the blob has now."""
        entries = self.written.setdefault(blob, [])
        entries.append(self.generator.entry("nsg2", Interface.nsg(), blob.log.hour, 2))
        self.blobs.put(blob, document(entries))
        return len(document(entries))

    def ingest(self, blob: BlobRef) -> None:
        pipeline = Pipeline(self.blobs, self.checkpoints, self.sink, self.letters, 180, self.clock)
        ingest(blob, pipeline)

    def progress(self, blob: BlobRef) -> Progress:
        """What is committed of a blob."""
        checkpoint = self.checkpoints.get(checkpoint_key(blob)).checkpoint
        assert checkpoint is not None
        return checkpoint.progress

    def set(self, blob: BlobRef, **changed: Any) -> None:
        """Change a blob's checkpoint."""
        key = checkpoint_key(blob)
        answer = self.checkpoints.get(key)
        assert answer.checkpoint is not None
        self.checkpoints.replace(key, replace(answer.checkpoint, **changed), answer.etag)


@pytest.fixture
def world() -> World:
    return World()


NOTHING = Totals(0, 0, 0, 0.0, 0, 0, 0, 0, 0, None, 0)


def test_an_installation_that_nothing_was_written_to_keeps_up(world: World) -> None:
    status = look(world.sight)
    assert (status.totals, status.unknown) == (NOTHING, [])
    assert (status.resources, status.sweeps) == ([], [SweepStatus(LOGS, None)])


def test_what_is_behind_is_counted_by_resource_the_longest_lag_first(world: World) -> None:
    slow, quick, done = blob_at(number=1), blob_at(number=2), blob_at(number=3)
    for blob in (slow, done, blob_at(1, 3)):
        read_bytes = world.append(blob)
        world.ingest(blob)
        if blob is slow:
            slow_bytes = world.append(blob) - read_bytes
    world.clock.sleep(100)
    quick_read_bytes = world.append(quick)
    world.ingest(quick)
    quick_bytes = world.append(quick) - quick_read_bytes
    world.clock.sleep(20)
    status = look(world.sight)
    # The brackets at the end of a blob are new with each version.
    assert [
        (row.resource_id, row.lag_s, row.bytes_behind, row.blobs_behind, row.blobs, row.newest_hour)
        for row in status.resources
    ] == [
        (slow.log.resource_id, 121.0, slow_bytes + 2, 1, 1, HOUR),
        (quick.log.resource_id, 21.0, quick_bytes + 2, 1, 1, HOUR),
        (done.log.resource_id, 0.0, 0, 0, 2, HOUR),
    ]
    assert status.totals == replace(
        NOTHING, blobs=4, blobs_behind=2, bytes_behind=slow_bytes + quick_bytes + 4, lag_s=121.0
    )


def test_failures_and_claims_are_named_with_their_times(world: World) -> None:
    failing, claimed, dead = blob_at(number=1), blob_at(number=2), blob_at(number=3)
    for blob in (failing, claimed, dead):
        world.append(blob)
        world.ingest(blob)
        world.append(blob)
    now = service_time(world.clock)
    world.set(failing, failure=Failure(3, now - timedelta(seconds=60), "403 no role"))
    world.set(claimed, owner="a", owned_until=now + timedelta(seconds=40))
    world.set(dead, owner="b", owned_until=now - timedelta(seconds=40))
    status = look(world.sight)
    # The third try in a row is four minutes after it failed: a minute, doubled twice.
    assert [one for row in status.resources for one in row.failing] == [
        FailingBlob(str(failing), "403 no role", 3, now + timedelta(seconds=180))
    ]
    assert sorted(one for row in status.resources for one in row.claims) == sorted(
        [
            ClaimHeld(str(claimed), now + timedelta(seconds=40), has_run_out=False),
            ClaimHeld(str(dead), now - timedelta(seconds=40), has_run_out=True),
        ]
    )
    assert (status.totals.failing, status.totals.claims) == (1, 2)
    assert status.resources[0].resource_id == failing.log.resource_id


def test_records_dropped_by_rule_are_counted_by_resource(world: World) -> None:
    for blob, dropped in ((blob_at(number=1), 3), (blob_at(1, 1), 4), (blob_at(number=2), 0)):
        world.append(blob)
        world.ingest(blob)
        world.set(blob, progress=replace(world.progress(blob), dropped=dropped))
    status = look(world.sight)
    assert {row.resource_id: row.dropped for row in status.resources} == {
        blob_at(number=1).log.resource_id: 7,
        blob_at(number=2).log.resource_id: 0,
    }
    assert status.totals == replace(NOTHING, blobs=3, dropped=7)


def test_archived_blobs_are_counted_apart(world: World) -> None:
    world.append(blob_at(20))
    world.blobs.archive(blob_at(20))
    world.append(blob_at(19))
    world.ingest(blob_at(19))
    world.blobs.archive(blob_at(19))
    totals = look(world.sight).totals
    assert (totals.blobs, totals.archived, totals.blobs_behind, totals.lag_s) == (2, 1, 0, 0)


def test_hours_before_since_are_left_out_everywhere(world: World) -> None:
    for hours_ago in (0, 5):
        world.append(blob_at(hours_ago))
        world.letters.put([DeadLetter(Position(blob_at(hours_ago), 0, 12), "why", b"{}")])
    totals = look(world.sight, since=HOUR - timedelta(hours=4)).totals
    assert (totals.blobs, totals.blobs_behind, totals.dead_letters) == (1, 1, 1)
    assert totals.lag_s == 1801.0  # from the hour's start: nothing of it was ever read
    assert look(world.sight).totals.lag_s == 1801.0 + 5 * 3600


def test_dead_letters_are_counted_by_resource_and_reason_of_the_newest(world: World) -> None:
    one, two = blob_at(number=1), blob_at(number=2)
    gone = blob_at(number=3)
    world.append(one)
    world.append(two)
    old = [DeadLetter(Position(one, 0, at), "old: x", b"{}") for at in range(30)]
    new = [DeadLetter(Position(two, 0, at), f"new: {at}", b"{}") for at in range(90)]
    many = "17 tuples could not be read; the first: not an address: x"
    world.letters.put(old)
    world.clock.sleep(60)
    world.letters.put([*new, DeadLetter(Position(gone, 0, 0), many, b"{}")])
    status = look(world.sight)
    assert status.totals.dead_letters == 121
    assert status.reasons == {"new": 90, "not an address": 1, "old": MAX_REASONS_READ - 91}
    counts = {row.resource_id: (row.dead_letters, row.reasons) for row in status.resources}
    assert counts == {one.log.resource_id: (30, {"old": 9}), two.log.resource_id: (90, {"new": 90})}


def test_queues_and_sweeps_are_told(world: World) -> None:
    ended = HOUR - timedelta(minutes=3)
    world.containers = [LOGS, Container("account", "more"), Container("account", "third")]
    world.cursors.put(LOGS, Cursor(HOUR, HOUR, last_whole=ended), "")
    # As earlier releases saved the end of a pass.
    world.cursors.put(world.containers[1], Cursor(HOUR, HOUR, is_over=True, saved=HOUR), "")
    world.cursors.note_look(world.containers[2], HOUR - timedelta(minutes=1))
    depths = [QueueDepth("records-00", 3, 60.0), QueueDepth("records-01", 4, 90.0)]
    world.queues = [lambda depth=depth: depth for depth in depths]
    status = look(world.sight)
    assert status.sweeps == [
        SweepStatus(LOGS, ended),
        SweepStatus(world.containers[1], HOUR),
        SweepStatus(world.containers[2], None, HOUR - timedelta(minutes=1)),
    ]
    assert status.queues == depths
    assert (status.totals.queue_messages, status.totals.queue_oldest_s) == (7, 90.0)


def raising(error: Exception) -> Any:
    def call(*_: object, **__: object) -> Any:
        raise error

    return call


UNSEEN = {
    "listing": (
        ("blobs", "page"),
        "blobs blobs_behind bytes_behind lag_s archived failing claims dropped",
    ),
    "checkpoints": (
        ("checkpoints", "scan"),
        "blobs_behind bytes_behind lag_s archived failing claims dropped",
    ),
    "cursors": (
        ("cursors", "passes"),
        "blobs_behind bytes_behind lag_s archived failing claims dropped",
    ),
    "letters": (("letters", "all"), "dead_letters"),
}


@pytest.mark.parametrize("what", UNSEEN)
def test_what_cannot_be_seen_is_null_and_named(world: World, what: str) -> None:
    (holder, method), unseen = UNSEEN[what]
    world.append(blob_at())
    setattr(getattr(world, holder), method, raising(NotAllowed("403: no role")))
    status = look(world.sight)
    null = {name for name in Totals.__slots__ if getattr(status.totals, name) is None}
    assert null - {"queue_oldest_s"} == set(unseen.split())
    assert status.unknown == ["403: no role"]


def test_a_queue_that_cannot_be_seen_hides_the_sum(world: World) -> None:
    world.queues.append(raising(Unavailable("no answer")))
    status = look(world.sight)
    assert (status.totals.queue_messages, status.unknown) == (None, ["no answer"])


def test_one_account_of_two_is_shown_though_the_totals_are_unknown(world: World) -> None:
    world.containers = [LOGS, Container("other", "logs")]
    world.append(blob_at())
    page = world.blobs.page

    def only_one(account: str, *arguments: Any, **options: Any) -> Any:
        if account == "other":
            raise NotAllowed("403 of other")
        return page(account, *arguments, **options)

    world.blobs.page = only_one  # type: ignore[method-assign]
    status = look(world.sight)
    assert (status.totals.blobs, status.totals.lag_s) == (None, None)
    assert [(row.account, row.lag_s) for row in status.resources] == [("account", 1801.0)]
    assert status.sees_checkpoints


def test_a_container_that_does_not_exist_yet_holds_nothing(world: World) -> None:
    world.blobs.page = raising(NotFound("404"))  # type: ignore[method-assign]
    assert (look(world.sight).totals, look(world.sight).unknown) == (NOTHING, [])


def test_a_letter_that_no_version_can_read_is_a_reason_of_its_own(world: World) -> None:
    letter = DeadLetter(Position(blob_at(), 0, 12), "why", b"{}")
    item = {**orjson.loads(letter.to_json()), "schema": "flowlog-dead-letter/9"}
    world.letters.put_content(letter.name, orjson.dumps(item))
    assert list(look(world.sight).reasons) == [
        "its schema is 'flowlog-dead-letter/9', and this version of Flowlog reads "
        "flowlog-dead-letter/1: was it written by a newer one?"
    ]


def test_a_look_costs_its_pages_and_changes_nothing(world: World) -> None:
    """Microsoft's pages: 5,000 blobs a page of a listing, 1,000 entities a page of a query."""
    for hours_ago in range(24):
        for number in range(10):
            blob = blob_at(hours_ago, number)
            world.blobs.put(blob, b"{}")
            etag = world.blobs.etag_of(blob)
            stored = Checkpoint(str(blob), Progress(offset=2, etag=etag))
            world.checkpoints.create(checkpoint_key(blob), stored)
    world.blobs.blobs_a_page = 100
    for calls in (world.blobs.calls, world.checkpoints.calls, world.cursors.calls):
        calls.clear()
    assert look(world.sight).totals == replace(NOTHING, blobs=240)
    assert world.blobs.calls == {"page": 3}
    assert world.checkpoints.calls == {"scan": 1}
    assert world.cursors.calls == {"passes": 1}
