"""Old checkpoints go, but only where the blob is gone, and never one that is in use."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from flowlog_core.blob import BlobRef, LogBlob
from flowlog_core.checkpoints.checkpoint import Checkpoint, checkpoint_key
from flowlog_core.errors import NotAllowed
from flowlog_core.source.blobs import AzureBlobs
from flowlog_core.source.reading import Slice
from flowlog_core.sweep.cleanup import remove_stale_checkpoints
from flowlog_core.testing.generate import Interface
from flowlog_core.testing.memory import EPOCH, ManualClock, MemoryBlobs, MemoryCheckpoints

NOW_S = 365 * 24 * 3600.0


def blob_of(days_ago: int, number: int = 1) -> BlobRef:
    hour = EPOCH + timedelta(seconds=NOW_S) - timedelta(days=days_ago)
    log = LogBlob.parse(Interface.nsg(number).blob_name(hour))
    assert log is not None
    return BlobRef("account", "logs", log)


class World:
    def __init__(self) -> None:
        self.clock = ManualClock(NOW_S)
        self.checkpoints = MemoryCheckpoints(self.clock)
        self.blobs = MemoryBlobs(self.clock)

    def add(self, *blobs: BlobRef) -> None:
        for blob in blobs:
            self.checkpoints.create(checkpoint_key(blob), Checkpoint(str(blob)))

    def remove(self, max_s: float = 60, stop: threading.Event | None = None) -> int:
        return remove_stale_checkpoints(self.checkpoints, self.blobs, self.clock, 90, max_s, stop)

    def has(self, blob: BlobRef) -> bool:
        return self.checkpoints.get(checkpoint_key(blob)).checkpoint is not None


@pytest.fixture
def world() -> World:
    return World()


def test_an_old_checkpoint_goes_if_its_blob_is_gone(world: World) -> None:
    old, there, empty, young = blob_of(91), blob_of(91, 2), blob_of(91, 3), blob_of(89)
    world.add(old, there, empty, young)
    world.blobs.put(there, b"x")
    world.blobs.put(empty, b"")
    assert world.remove() == 1
    assert [world.has(blob) for blob in (old, there, empty, young)] == [False, True, True, True]
    assert world.remove() == 0


def test_one_that_changes_meanwhile_stays(world: World) -> None:
    blob = blob_of(91)
    world.add(blob)

    class Busy(MemoryBlobs):
        def read(self, blob: BlobRef, start: int, max_bytes: int, etag: str | None) -> Slice:
            answer = world.checkpoints.get(checkpoint_key(blob))
            assert answer.checkpoint is not None
            world.checkpoints.replace(checkpoint_key(blob), answer.checkpoint, answer.etag)
            return super().read(blob, start, max_bytes, etag)

    world.blobs = Busy(world.clock)
    assert world.remove() == 0
    assert world.has(blob)


def test_what_cannot_be_told_stays_and_stops_nothing(world: World) -> None:
    forbidden, gone = blob_of(92, 1), blob_of(91, 2)
    world.add(forbidden, gone)

    class Guarded(MemoryBlobs):
        def read(self, blob: BlobRef, start: int, max_bytes: int, etag: str | None) -> Slice:
            if blob == forbidden:
                raise NotAllowed("403")
            return super().read(blob, start, max_bytes, etag)

    world.blobs = Guarded(world.clock)
    assert world.remove() == 1
    assert (world.has(forbidden), world.has(gone)) == (True, False)


def test_it_ends_in_time(world: World) -> None:
    world.add(blob_of(91))
    assert world.remove(max_s=0) == 0


def test_it_ends_when_it_is_told_to(world: World) -> None:
    world.add(blob_of(91))
    stop = threading.Event()
    stop.set()
    assert world.remove(stop=stop) == 0


def test_one_of_an_archived_blob_stays_without_a_word(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    archived = blob_of(92)
    world.add(archived)
    world.blobs.put(archived, b"x")
    world.blobs.archive(archived)
    assert world.remove() == 0
    assert world.has(archived)
    assert [one for one in caplog.records if one.levelname == "WARNING"] == []


def test_a_checkpoint_of_an_account_that_is_no_source_any_more_stays_and_stops_nothing(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Were it removed, all of that account would come again once it is a source again."""
    retired, gone = blob_of(92, 1), blob_of(91, 2)
    world.add(retired, gone)

    class Sources(MemoryBlobs):
        def read(self, blob: BlobRef, start: int, max_bytes: int, etag: str | None) -> Slice:
            if blob == retired:
                return AzureBlobs({}).read(blob, start, max_bytes, etag)
            return super().read(blob, start, max_bytes, etag)

    world.blobs = Sources(world.clock)
    assert world.remove() == 1
    assert (world.has(retired), world.has(gone)) == (True, False)
    assert [one for one in caplog.records if one.levelname == "WARNING"] == []
