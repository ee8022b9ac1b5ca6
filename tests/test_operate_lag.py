"""The lag of a blob: never too short, and too long by less than the time between two commits."""

from __future__ import annotations

import random
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from support import blob_of_interface

from flowlog_core.blob import BlobRef
from flowlog_core.checkpoints.checkpoint import Checkpoint, Progress, checkpoint_key
from flowlog_core.errors import Unavailable
from flowlog_core.ingest import Pipeline, ingest
from flowlog_core.operate.lag import Behind, behind
from flowlog_core.operate.look import Sight, look
from flowlog_core.source.listing import Listed
from flowlog_core.sweep.cursor import Container
from flowlog_core.testing.generate import FlowLogGenerator, Interface
from flowlog_core.testing.letters import MemoryLetters
from flowlog_core.testing.memory import (
    EPOCH,
    ManualClock,
    MemoryBlobs,
    MemoryCheckpoints,
    MemoryCursors,
    MemorySink,
    some_blob,
)

BLOB = some_blob(hour=7)
HOUR = BLOB.log.hour
LISTED = Listed(BLOB, '"v2"', 500, HOUR + timedelta(minutes=10))
READ = Progress(
    offset=300, etag='"v1"', blob_last_modified=HOUR + timedelta(minutes=9), blob_created=HOUR
)


def at(minute: int) -> datetime:
    return HOUR + timedelta(minutes=minute)


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        (None, Behind(500, HOUR)),
        (Progress(), Behind(500, HOUR)),
        (READ, Behind(200, at(9))),
        (replace(READ, etag='"v2"', blob_last_modified=at(10)), None),
        # Read after the listing: the version is unknown to it.
        (replace(READ, etag='"v3"', offset=600, blob_last_modified=at(11)), None),
        # Within one second, nobody can say which version is the newer one.
        (replace(READ, etag='"v3"', blob_last_modified=at(10)), Behind(200, at(10))),
        # Part of the first version was read.
        (Progress(offset=100, blob_created=at(2)), Behind(400, at(2))),
        # The version is cleared while something is known to be new.
        (replace(READ, etag=""), Behind(200, at(9))),
        (replace(READ, etag="", blob_last_modified=at(11)), None),
        (replace(READ, etag="", blob_last_modified=at(10)), Behind(200, at(10))),
        (replace(READ, etag="", blob_last_modified=at(10), offset=498), None),
        (replace(READ, etag="", blob_last_modified=at(9), offset=498), Behind(2, at(9))),
        # An incomplete end: committed, and not forwarded.
        (
            replace(READ, etag='"v2"', pending_bytes=7, pending_since=at(3)),
            Behind(7, at(3)),
        ),
        (replace(READ, pending_bytes=7, pending_since=at(3)), Behind(200, at(3))),
        # Shorter than what was read: rewritten.
        (replace(READ, offset=501), Behind(500, at(9))),
    ],
    ids=str,
)
def test_what_of_a_blob_is_behind_and_since_when(
    progress: Progress | None, expected: Behind | None
) -> None:
    checkpoint = None if progress is None else Checkpoint(str(BLOB), progress)
    assert behind(LISTED, checkpoint) == expected


def test_an_empty_blob_is_never_behind() -> None:
    assert behind(LISTED._replace(blob_bytes=0), None) is None


def test_a_lag_allows_for_the_whole_seconds_of_both_times() -> None:
    assert Behind(1, at(9)).lag_s(at(10)) == 61
    assert Behind(1, at(9)).lag_s(at(8)) == 0


class WeakSink(MemorySink):
    """Fails before so many messages; never if None."""

    left: int | None = None

    def send(self, messages: Iterable[Any]) -> int:
        count = 0
        for message in messages:
            if self.left is not None and count >= self.left:
                raise Unavailable("busy")
            self.messages.append(message)
            count += 1
        return count


class Schedule:
    """Logs that grow, are forwarded at times, and the truth about what is not."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.clock = ManualClock(7 * 3600 + self.rng.random())
        self.blobs, self.checkpoints = MemoryBlobs(self.clock), MemoryCheckpoints(self.clock)
        self.sink, self.letters = WeakSink(), MemoryLetters(self.clock)
        self.pipeline = Pipeline(
            self.blobs, self.checkpoints, self.sink, self.letters, 180, self.clock
        )
        self.logs = [
            blob_of_interface(Interface.nsg(number), HOUR, BLOB.account, BLOB.container)
            for number in range(3)
        ]
        self.raw: dict[BlobRef, bytes] = {}
        self.torn: dict[BlobRef, bytes] = {}
        self.commits: dict[BlobRef, list[tuple[float, int]]] = {log: [] for log in self.logs}
        """When each version was committed, and where its data ends, without the final brackets."""
        self.reads: dict[BlobRef, list[int]] = {log: [] for log in self.logs}
        """How many versions there were at each reading to the end."""
        self.generator = FlowLogGenerator(seed)
        self.sight = Sight(
            [Container(BLOB.account, BLOB.container)],
            self.blobs,
            self.checkpoints,
            MemoryCursors(self.clock),
            self.letters,
            [],
        )

    def commit(self) -> None:
        log = self.rng.choice(self.logs)
        new = self.generator.entry("nsg2", Interface.nsg(), HOUR, 2).raw
        before = self.raw.get(log, b'{"records":[')
        torn = self.torn.pop(log, b"")
        if not torn:
            before += (b"," if log in self.raw else b"") + new
        self.raw[log], tail = before + torn, b"]}"
        if len(torn) > 1 and self.rng.random() < 0.5:  # a piece of it is still to come
            cut = self.rng.randrange(1, len(torn))
            self.raw[log], self.torn[log], tail = before + torn[:cut], torn[cut:], b""
        elif not torn and self.rng.random() < 0.3:
            cut = self.rng.randrange(1, len(new))
            self.raw[log], self.torn[log], tail = before + b"," + new[:cut], new[cut:], b""
        self.blobs.put(log, self.raw[log] + tail)
        self.commits[log].append((self.clock.now_s, len(self.raw[log])))

    def forward(self) -> None:
        self.sink.left = self.rng.choice((None, None, 0))
        log = self.rng.choice(self.logs)
        with suppress(Unavailable):
            ingest(log, self.pipeline)
            self.reads[log].append(len(self.commits[log]))

    def truth(self) -> dict[str, tuple[float, float]]:
        """For each resource the age of its oldest byte that is not forwarded, and with one interval
        more."""
        truth = {}
        for log, commits in self.commits.items():
            if commits:
                truth[log.log.resource_id] = 0.0, 0.0
            checkpoint = self.checkpoints.get(checkpoint_key(log)).checkpoint
            offset = checkpoint.progress.offset if checkpoint else 0
            times = [(HOUR - EPOCH).total_seconds(), *(committed_s for committed_s, _ in commits)]
            late = next((n for n, (_, end) in enumerate(commits) if end > offset), None)
            if late is None:
                continue
            before = late  # index of the version before it in `times`
            if seen := [count for count in self.reads[log] if count > late]:
                # An incomplete end that was read: nobody knows the versions between two readings.
                before = max((n for n in self.reads[log] if n < seen[0]), default=1)
            truth[log.log.resource_id] = (
                self.clock.now_s - times[late + 1],
                self.clock.now_s - times[before] + 2,
            )
        return truth


def test_in_any_schedule_the_lag_is_not_too_short_and_hardly_too_long() -> None:
    seen = set()
    for seed in range(25):
        schedule = Schedule(seed)
        for _ in range(30):
            schedule.rng.choice((schedule.commit, schedule.forward))()
            schedule.clock.sleep(schedule.rng.choice((0, 0.3, 1.7, 60, 200)))
            status = look(schedule.sight)
            found = {row.resource_id: row.lag_s for row in status.resources}
            truth = schedule.truth()
            assert found.keys() == truth.keys()
            for resource, lag_s in found.items():
                least, most = truth[resource]
                assert least <= lag_s <= most, f"seed {seed}"
                seen.add((least > 0, lag_s > 0))
            assert status.totals.lag_s == max(found.values(), default=0)
    assert {(True, True), (False, False)} <= seen
