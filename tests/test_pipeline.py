"""What an observer hears of every blob, and what the log says of it."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from flowlog_core.checkpoint import BlobRef
from flowlog_core.errors import Unavailable
from flowlog_core.ingest import ingest
from flowlog_core.pipeline import Failed, LogObserver, Outcome, Pipeline
from flowlog_core.testing.generate import FlowLogGenerator, Interface, document
from flowlog_core.testing.memory import (
    EPOCH,
    ManualClock,
    MemoryBlobs,
    MemoryCheckpoints,
    MemoryDeadLetters,
    MemorySink,
    some_blob,
)

BLOB = some_blob()
NOW_S = 1000.0


@dataclass
class Ear:
    """Keeps what it hears."""

    done_with: list[tuple[BlobRef, Outcome]] = field(default_factory=list)
    failed_with: list[tuple[BlobRef, Failed]] = field(default_factory=list)

    def done(self, blob: BlobRef, outcome: Outcome) -> None:
        self.done_with.append((blob, outcome))

    def failed(self, blob: BlobRef, failed: Failed) -> None:
        self.failed_with.append((blob, failed))


class TimedSink(MemorySink):
    """Takes three seconds a message."""

    clock = ManualClock(NOW_S)

    def send(self, parcels: Iterable[Any]) -> int:
        count = 0
        for parcel in parcels:
            self.clock.sleep(3)
            self.messages.append(parcel)
            count += 1
        return count


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
def pipeline(ear: Ear) -> Pipeline:
    clock = ManualClock(NOW_S)
    sink = TimedSink()
    sink.clock = clock
    checkpoints = MemoryCheckpoints(clock)
    return Pipeline(
        MemoryBlobs(clock), checkpoints, sink, MemoryDeadLetters(), 180, clock, observer=ear
    )


def content() -> bytes:
    """One entry whose only tuple is of ten seconds before NOW_S."""
    hour = EPOCH
    entry = FlowLogGenerator(1).entry("nsg1", Interface.nsg(), hour, 1)
    seconds = int((EPOCH + timedelta(seconds=NOW_S - 10)).timestamp())
    first = entry.tuples[0].split(",", 1)[0]
    return document([replace(entry, raw=entry.raw.replace(first.encode(), b"%d" % seconds))])


def test_an_observer_hears_what_was_done_how_long_it_took_and_how_late_it_was(
    pipeline: Pipeline, ear: Ear
) -> None:
    data = content()
    pipeline.reader.put(BLOB, data)  # type: ignore[attr-defined]  # it is a MemoryBlobs
    outcome = ingest(BLOB, pipeline)
    ((blob, heard),) = ear.done_with
    assert (blob, heard) == (BLOB, outcome)
    assert (outcome.lag_s, outcome.backlog_bytes) == (13.0, len(data))
    assert outcome.seconds == {"read": 0, "normalize": 0, "send": 3, "checkpoint": 0}
    assert ear.failed_with == []


def test_an_observer_hears_of_every_failure_and_which_attempt_it_was(
    pipeline: Pipeline, ear: Ear
) -> None:
    error = Unavailable("busy")

    class Busy(MemoryBlobs):
        def read(self, *_: Any) -> Any:
            raise error

    broken = replace(pipeline, reader=Busy())
    for _ in range(2):
        with pytest.raises(Unavailable):
            ingest(BLOB, broken)
    assert ear.failed_with == [(BLOB, Failed(0, 1, error)), (BLOB, Failed(0, 2, error))]
    assert ear.done_with == []


def test_an_observer_hears_of_a_failure_to_claim_too(pipeline: Pipeline, ear: Ear) -> None:
    class Gone(MemoryCheckpoints):
        def get(self, *_: Any) -> Any:
            raise Unavailable("no table")

    with pytest.raises(Unavailable) as caught:
        ingest(BLOB, replace(pipeline, checkpoints=Gone()))
    assert ear.failed_with == [(BLOB, Failed(0, None, caught.value))]


def test_the_log_has_one_line_a_blob(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "flowlog_core")
    LogObserver().done(BLOB, Outcome("forwarded", 1, 2, 3, 4, 5))
    LogObserver().failed(BLOB, Failed(70, 2, Unavailable("busy")))
    LogObserver().failed(BLOB, Failed(0, None, MemoryError()))
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        (
            "INFO",
            f"forwarded {BLOB}: 1 entries, 2 records in 3 sends, 4 dead letters, 5 new bytes",
        ),
        ("ERROR", f"failed {BLOB} at offset 70, attempt 2: busy"),
        ("ERROR", f"failed {BLOB} at offset 0, attempt unknown: MemoryError"),
    ]
