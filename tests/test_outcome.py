"""What `ingest` reports of every blob, and what it counts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random
from typing import Any

import orjson
import pytest

from flowlog_core.blob import BlobRef
from flowlog_core.checkpoints.checkpoint import Answer, Checkpoint, CheckpointKey
from flowlog_core.consume import decode
from flowlog_core.errors import ClaimLost, FlowlogError, Unavailable
from flowlog_core.ingest import ingest
from flowlog_core.observe.traffic import Traffic
from flowlog_core.outcome import Failed, Observers, Outcome
from flowlog_core.pipeline import Pipeline
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

    def send(self, messages: Iterable[Any]) -> int:
        count = 0
        for message in messages:
            self.clock.sleep(3)
            self.messages.append(message)
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


def test_what_is_late_is_the_last_record_of_the_last_entry(pipeline: Pipeline, ear: Ear) -> None:
    entries = []
    for seconds_ago in (500, 10):
        hour = EPOCH + timedelta(seconds=NOW_S - seconds_ago)
        entries.append(FlowLogGenerator(1).entry("nsg2", Interface.nsg(), hour, 9))
    pipeline.reader.put(BLOB, document(entries))  # type: ignore[attr-defined]  # a MemoryBlobs
    ingest(BLOB, pipeline)
    last = int(entries[-1].tuples[-1].split(",", 1)[0])
    first = int(entries[-1].tuples[0].split(",", 1)[0])
    assert first < last
    ((_, heard),) = ear.done_with
    assert heard.lag_s == (EPOCH + timedelta(seconds=pipeline.clock.monotonic())).timestamp() - last


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
        pipeline.clock.sleep(61)  # tries within a minute count as one
    assert ear.failed_with == [(BLOB, Failed(0, 1, error)), (BLOB, Failed(0, 2, error))]
    assert ear.done_with == []


def test_an_observer_hears_of_a_failure_to_claim_too(pipeline: Pipeline, ear: Ear) -> None:
    class Gone(MemoryCheckpoints):
        def get(self, *_: Any) -> Any:
            raise Unavailable("no table")

    with pytest.raises(Unavailable) as caught:
        ingest(BLOB, replace(pipeline, checkpoints=Gone()))
    assert ear.failed_with == [(BLOB, Failed(0, None, caught.value))]


def test_an_observer_of_a_failure_hears_what_was_committed_before_it(
    pipeline: Pipeline, ear: Ear
) -> None:
    """Two entries in two pieces, of which the second cannot be sent."""
    entries = [FlowLogGenerator(1).entry("nsg1", Interface.nsg(), EPOCH, 3) for _ in range(2)]
    sent: list[Any] = []

    class Full(MemorySink):
        def send(self, messages: Iterable[Any]) -> int:
            sent.extend(messages)
            if len(sent) > 1:
                raise Unavailable("full")
            return len(sent)

    data = document(entries)
    pipeline.reader.put(BLOB, data)  # type: ignore[attr-defined]  # it is a MemoryBlobs
    with pytest.raises(Unavailable):
        ingest(BLOB, replace(pipeline, sink=Full(), chunk_bytes=len(data) // 2 + 100))
    ((_, failed),) = ear.failed_with
    assert (failed.outcome.entries, failed.outcome.records) == (1, 3)


@pytest.mark.parametrize("error", [Unavailable("busy"), ClaimLost("taken")])
def test_what_was_sent_and_not_committed_is_not_counted(
    pipeline: Pipeline, ear: Ear, error: FlowlogError
) -> None:
    """It will be sent again, and is counted then. Of two pieces, the second commit fails."""
    entries = [FlowLogGenerator(1).entry("nsg1", Interface.nsg(), EPOCH, 3) for _ in range(2)]
    data = document(entries)

    class Broken(MemoryCheckpoints):
        def replace(self, key: CheckpointKey, checkpoint: Checkpoint, etag: str) -> Answer:
            if checkpoint.progress.entries == 2:
                raise error
            return super().replace(key, checkpoint, etag)

    pipeline.reader.put(BLOB, data)  # type: ignore[attr-defined]  # it is a MemoryBlobs
    broken = replace(
        pipeline,
        checkpoints=Broken(ManualClock(NOW_S)),
        chunk_bytes=len(data) // 2 + 100,
        new_traffic=Traffic,
    )
    if isinstance(error, ClaimLost):
        outcome = ingest(BLOB, broken)
        assert (outcome.how, ear.failed_with) == ("claim_lost", [])
    else:
        with pytest.raises(Unavailable):
            ingest(BLOB, broken)
        ((_, failed),) = ear.failed_with
        outcome = failed.outcome
    assert (outcome.entries, outcome.records, outcome.messages) == (1, 3, 1)
    assert outcome.new_bytes == len(data) // 2 + 100
    assert outcome.traffic is not None
    assert sum(int(row["records"] or 0) for row in outcome.traffic.rows()) == 3
    assert len(pipeline.sink.messages) == 2  # type: ignore[attr-defined]  # it is a MemorySink


def test_a_chunk_is_added_to_the_outcome_of_its_call() -> None:
    outcome = Outcome("forwarded", 1, 2, 3, 4, 5, 6, backlog_bytes=7, lag_s=8.0, dropped=9)
    outcome += Outcome("forwarded", 10, 20, 30, 40, 50, lag_s=9.0, dropped=90)
    assert outcome == Outcome("forwarded", 11, 22, 33, 44, 55, 6, dropped=99)
    assert (outcome.backlog_bytes, outcome.lag_s) == (7, 9.0)
    outcome += Outcome()  # without a record: the newest is still the one before
    assert outcome.lag_s == 9.0


def test_several_observers_hear_the_same() -> None:
    one, other = Ear(), Ear()
    outcome, failed = Outcome("handed_over"), Failed(0, 1, Unavailable("busy"))
    for tell, what in ((Observers.done, outcome), (Observers.failed, failed)):
        tell(Observers(one, other), BLOB, what)  # type: ignore[arg-type]  # each gets its own
    assert one == other == Ear([(BLOB, outcome)], [(BLOB, failed)])


def test_what_the_sink_refused_is_in_no_sum_of_traffic(pipeline: Pipeline) -> None:
    entry = FlowLogGenerator(1).entry("nsg2", Interface.nsg(), EPOCH, 3)
    rule = orjson.loads(entry.raw)["properties"]["flows"][0]["rule"]
    # Random, so that it fits no message compressed either.
    too_long = entry.raw.replace(rule.encode(), Random(1).randbytes(60_000).hex().encode())
    pipeline.reader.put(BLOB, b'{"records":[%b]}' % too_long)  # type: ignore[attr-defined]  # as below
    outcome = ingest(BLOB, replace(pipeline, new_traffic=Traffic))
    assert outcome.dead_letters > 0
    assert outcome.traffic is not None
    counted = sum(int(row["records"] or 0) for row in outcome.traffic.rows())
    assert counted == outcome.records == 3 - outcome.dead_letters


def test_sums_of_traffic_are_those_of_what_was_forwarded(pipeline: Pipeline) -> None:
    """Chunk by chunk; and None where nobody asked for them."""
    data = document([FlowLogGenerator(1).entry("nsg2", Interface.nsg(), EPOCH, 60)] * 3)
    pipeline.reader.put(BLOB, data)  # type: ignore[attr-defined]  # it is a MemoryBlobs
    summing = replace(pipeline, new_traffic=Traffic, chunk_bytes=len(data) // 3)
    outcome = ingest(BLOB, summing)
    expected = Traffic()
    for message in pipeline.sink.messages:  # type: ignore[attr-defined]  # it is a MemorySink
        records = decode(message.text).records
        expected.add([orjson.dumps(record).decode() for record in records])
    assert outcome.traffic is not None
    assert outcome.traffic.rows() == expected.rows()
    assert outcome.records == 180
    pipeline.reader.put(some_blob(1), data)  # type: ignore[attr-defined]  # it is a MemoryBlobs
    assert ingest(some_blob(1), pipeline).traffic is None


def test_sums_leave_out_what_was_not_committed_when_it_failed(pipeline: Pipeline, ear: Ear) -> None:
    data = document([FlowLogGenerator(1).entry("nsg2", Interface.nsg(), EPOCH, 60)] * 3)
    pipeline.reader.put(BLOB, data)  # type: ignore[attr-defined]  # it is a MemoryBlobs

    class FullSink(TimedSink):
        """Takes one message."""

        def send(self, messages: Iterable[Any]) -> int:
            if self.messages:
                raise Unavailable("full")
            return super().send(messages)

    sink = FullSink()
    sink.clock = pipeline.clock  # type: ignore[assignment]  # it is a ManualClock
    broken = replace(pipeline, sink=sink, new_traffic=Traffic, chunk_bytes=len(data) // 3 + 99)
    with pytest.raises(Unavailable):
        ingest(BLOB, broken)
    ((_, failed),) = ear.failed_with
    assert failed.outcome.traffic is not None
    sums = failed.outcome.traffic.rows()
    assert sum(int(row["records"] or 0) for row in sums) == failed.outcome.records == 60
