"""An event of a version that was forwarded costs one read; one that comes back outlives a claim."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from support import records_in

from flowlog_core.blob import BlobRef
from flowlog_core.checkpoints.checkpoint import Progress, checkpoint_key
from flowlog_core.checkpoints.claim import Claim, take_or_ring
from flowlog_core.errors import StillClaimed
from flowlog_core.ingest_event import ingest_event
from flowlog_core.outcome import Failed, Outcome
from flowlog_core.pipeline import Pipeline
from flowlog_core.source.events import CommittedBlob
from flowlog_core.testing.memory import (
    ManualClock,
    MemoryBlobs,
    MemoryCheckpoints,
    MemoryDeadLetters,
    MemorySink,
    some_blob,
)

BLOB = some_blob()
KEY = checkpoint_key(BLOB)
CLAIM_S = 60
ENTRY = (
    b'{"time":"2026-01-01T00:00:00Z","category":"NetworkSecurityGroupFlowEvent","properties":'
    b'{"Version":1,"flows":[{"rule":"r","flows":[{"mac":"m","flowTuples":['
    b'"1767225600,10.0.0.%d,10.0.0.9,1,2,T,I,A"]}]}]}}'
)


@dataclass
class World:
    """One blob and all that is around it; the pipeline's observer, too."""

    clock: ManualClock = field(default_factory=ManualClock)
    blobs: MemoryBlobs = field(default_factory=MemoryBlobs)
    sink: MemorySink = field(default_factory=MemorySink)
    seen: list[Outcome | Failed] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.checkpoints = MemoryCheckpoints(self.clock)
        self.pipeline = Pipeline(
            self.blobs,
            self.checkpoints,
            self.sink,
            MemoryDeadLetters(),
            CLAIM_S,
            self.clock,
            observer=self,
        )

    def done(self, _blob: BlobRef, outcome: Outcome) -> None:
        self.seen.append(outcome)

    def failed(self, _blob: BlobRef, failed: Failed) -> None:
        self.seen.append(failed)

    def commit(self, *numbers: int) -> str:
        """Commit a version with these entries; its ETag."""
        self.blobs.put(BLOB, b'{"records":[%b]}' % b",".join(ENTRY % one for one in numbers))
        return self.blobs.etag_of(BLOB)

    def event(self, etag: str, dequeue_count: int = 1) -> Outcome:
        return ingest_event(CommittedBlob(BLOB, etag), dequeue_count, self.pipeline)

    def claimed_by_another(self) -> Claim:
        claim = take_or_ring(self.checkpoints, KEY, str(BLOB), "other", CLAIM_S, self.clock)
        assert claim is not None
        return claim

    def calls(self) -> dict[str, int]:
        """Calls of the two stores since this was asked last."""
        counted = dict(self.checkpoints.calls + self.blobs.calls)
        self.checkpoints.calls.clear()
        self.blobs.calls.clear()
        return counted

    @property
    def sent(self) -> list[str]:
        return [record["src_ip"] for record in records_in(self.sink.messages)]


@pytest.fixture
def world() -> World:
    return World()


def test_a_version_that_was_read_to_its_end_costs_one_table_read(world: World) -> None:
    etag = world.commit(1)
    world.event(etag)
    assert world.sent == ["10.0.0.1"]
    world.calls()
    # What this process released last it knows without a read, once.
    for written, calls in ((etag, {}), (f'"{etag}"', {"get": 1})):
        assert world.event(written) == Outcome("forwarded")
        assert world.calls() == calls
        assert world.seen[-1] == Outcome("forwarded")  # it counts as an event that was seen
    assert world.sent == ["10.0.0.1"]


def test_that_needs_no_ring_even_if_another_worker_holds_the_claim(world: World) -> None:
    etag = world.commit(1)
    world.event(etag)
    world.claimed_by_another()
    for dequeue_count in (1, 2):
        assert world.event(etag, dequeue_count) == Outcome("forwarded")
    stored = world.checkpoints.get(KEY).checkpoint
    assert stored is not None
    assert (stored.owner, stored.rings) == ("other", 0)


@pytest.mark.parametrize("etag", ["", '""', "version-0", "version-2"])
def test_any_other_event_goes_the_ordinary_way(world: World, etag: str) -> None:
    """Without an ETag, of an older version, or of the present one, which is shorter."""
    world.event(world.commit(1, 2))
    assert world.commit(3) == "version-2"
    world.event(etag)
    assert world.sent == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]


def test_an_empty_etag_in_the_checkpoint_equals_nothing(world: World) -> None:
    """A worker keeps none while something is known to be new."""
    world.claimed_by_another().commit(Progress())
    assert world.event("").how == "handed_over"


def test_a_worker_that_is_rung_leaves_no_etag_that_would_end_its_event_when_it_returns(
    world: World,
) -> None:
    """It dies after the first version; the event of the second one had rung it, and is gone."""
    first = world.commit(1)
    claim = world.claimed_by_another()
    claim.look()
    second = world.commit(1, 2)
    assert world.event(second).how == "handed_over"
    assert not claim.finish(Progress(etag=first))
    world.clock.sleep(CLAIM_S + 1)
    world.event(first, dequeue_count=2)
    assert world.sent == ["10.0.0.1", "10.0.0.2"]


def test_the_first_delivery_leaves_a_claimed_blob_to_its_worker(world: World) -> None:
    world.claimed_by_another()
    assert world.event(world.commit(1)).how == "handed_over"
    stored = world.checkpoints.get(KEY).checkpoint
    assert stored is not None
    assert stored.rings == 1


def test_a_later_delivery_rings_and_comes_back_until_the_claim_ran_out(world: World) -> None:
    etag = world.commit(1)
    world.claimed_by_another()
    for dequeue_count in (2, 3):
        with pytest.raises(StillClaimed, match=r"another worker has claimed it"):
            world.event(etag, dequeue_count)
        # Not a failure in the metrics: nothing went wrong.
        assert world.seen[-1] == Outcome("handed_over")
        stored = world.checkpoints.get(KEY).checkpoint
        assert stored is not None
        assert (stored.rings, stored.failure) == (dequeue_count - 1, None)
    world.clock.sleep(CLAIM_S + 1)
    assert world.event(etag, 4).how == "forwarded"
    assert world.sent == ["10.0.0.1"]
