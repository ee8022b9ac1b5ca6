"""One chunk: its messages and dead letters, and the progress to commit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import orjson
import pytest

from flowlog_core.checkpoints.checkpoint import (
    SEAM_BYTES,
    CheckpointKey,
    Progress,
    checkpoint_key,
    seam_of,
)
from flowlog_core.checkpoints.claim import Claim, take_or_ring
from flowlog_core.clock import Stopwatch
from flowlog_core.consume import decode
from flowlog_core.forward_chunk import Part, forward_chunk
from flowlog_core.held_letters import MAX_RUN_BYTES
from flowlog_core.observe.traffic import Traffic
from flowlog_core.outcome import Outcome, Step
from flowlog_core.parsing.framing import Framer
from flowlog_core.pipeline import Pipeline
from flowlog_core.shape.fields import Fields
from flowlog_core.shape.keep_drop import KeepDrop
from flowlog_core.shape.shaper import Shaper
from flowlog_core.source.reading import Chunk
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
KEY: CheckpointKey = checkpoint_key(BLOB)


@dataclass
class World:
    """A claimed blob, read in chunks."""

    clock: ManualClock = field(default_factory=ManualClock)
    sink: MemorySink = field(default_factory=MemorySink)
    letters: MemoryDeadLetters = field(default_factory=MemoryDeadLetters)
    framer: Framer = field(default_factory=Framer)
    shaper: Shaper = field(default_factory=Shaper)
    new_traffic: Callable[[], Traffic | None] = lambda: None

    def __post_init__(self) -> None:
        self.checkpoints = MemoryCheckpoints(self.clock)
        claim = take_or_ring(self.checkpoints, KEY, str(BLOB), "me", 180, self.clock)
        assert claim is not None
        self.claim: Claim = claim

    def forward(
        self, data: bytes, left_bytes: int, *, final: bool = False
    ) -> tuple[Progress, Outcome]:
        stopwatch: Stopwatch[Step] = Stopwatch(self.clock, "checkpoint")
        [part] = forward_chunk(
            BLOB,
            Chunk(data, b"", "etag", left_bytes),
            self.framer,
            self.claim,
            replace(
                Pipeline(MemoryBlobs(), self.checkpoints, self.sink, self.letters, 180, self.clock),
                shaper=self.shaper,
                new_traffic=self.new_traffic,
            ),
            stopwatch,
            final=final,
        )
        assert part.is_end == (left_bytes == 0)
        return part.progress, part.outcome

    def parts(self, data: bytes) -> list[Part]:
        """Each is committed before the next."""
        stopwatch: Stopwatch[Step] = Stopwatch(self.clock, "checkpoint")
        parts: list[Part] = []
        for part in forward_chunk(
            BLOB,
            Chunk(data, b"", "etag", 0),
            self.framer,
            self.claim,
            Pipeline(MemoryBlobs(), self.checkpoints, self.sink, self.letters, 180, self.clock),
            stopwatch,
            final=False,
        ):
            self.claim.commit(part.progress)
            parts.append(part)
        return parts

    def sent(self) -> int:
        return sum(len(decode(message.text).records) for message in self.sink.messages)


def test_a_chunk_returns_what_may_be_committed_and_what_it_forwarded() -> None:
    """The first of two chunks ends within the second entry, whose first tuple is bad."""
    world = World()
    first, second = (
        FlowLogGenerator(seed).entry("nsg2", Interface.nsg(), EPOCH, 3) for seed in (1, 2)
    )
    spoiled = second.raw.replace(second.tuples[0].encode(), b"1,2,3", 1)
    data = document([]).replace(b"[", b"[" + first.raw + b"," + spoiled)
    first_end = data.index(first.raw) + len(first.raw)
    second_end = data.index(spoiled) + len(spoiled)
    cut = second_end - 10
    assert world.forward(data[:cut], len(data) - cut) == (
        Progress(first_end, seam_of(data[:first_end][-SEAM_BYTES:]), entries=1, records=3),
        Outcome(entries=1, records=3, messages=1, new_bytes=cut),
    )
    world.claim.commit(Progress(first_end, entries=1, records=3))
    assert world.forward(data[cut:], 0) == (
        Progress(
            second_end,
            seam_of(data[:second_end][-SEAM_BYTES:]),
            etag="etag",
            entries=2,
            records=5,
            dead_letters=1,
        ),
        Outcome(entries=1, records=2, messages=1, dead_letters=1, new_bytes=len(data) - cut),
    )
    assert [letter.raw for letter in world.letters.letters.values()] == [b"1,2,3"]
    assert world.sent() == 5


def test_a_chunk_commits_nothing_itself() -> None:
    world = World()
    data = document([FlowLogGenerator(1).entry("vnet4", Interface.vnet(), EPOCH, 3)])
    world.forward(data, 0)
    stored = world.checkpoints.get(KEY).checkpoint
    assert world.sent() == 3
    assert (stored and stored.progress, world.claim.progress) == (Progress(), Progress())


def test_neighbours_that_cannot_be_read_share_a_dead_letter() -> None:
    """9 KB of `{},` made 3,000 uploads once. What is kept is exactly what is in the blob."""
    world = World()
    good = FlowLogGenerator(1).entry("nsg2", Interface.nsg(), EPOCH, 3).raw
    unreadable = b"{}, \n" * 3000 + b"[1],{}"
    data = b'{"records":[' + unreadable + b"," + good + b",{}]}"
    _, outcome = world.forward(data, 0)
    assert (outcome.dead_letters, outcome.records) == (2, 3)
    kept = sorted(world.letters.letters.values(), key=lambda one: one.position.offset)
    assert [(one.position.offset, one.raw) for one in kept] == [
        (12, unreadable),
        (len(data) - 4, b"{}"),
    ]
    # Damage lasts until an entry begins, so `[1],{}` is one span.
    assert kept[0].reason.startswith("3001 neighbours could not be read; the first: unknown format")
    assert kept[1].reason.startswith("unknown format")


def test_entries_of_an_unknown_version_cost_a_few_dead_letters() -> None:
    entry = FlowLogGenerator(1).entry("vnet4", Interface.vnet(), EPOCH, 40).raw
    unknown = entry.replace(b'"flowLogVersion":4', b'"flowLogVersion":5')
    world = World()
    _, outcome = world.forward(b'{"records":[' + b",".join([unknown] * 400) + b"]}", 0)
    whole_bytes = len(unknown) * 400
    assert outcome.dead_letters == -(-whole_bytes // (MAX_RUN_BYTES // len(unknown) * len(unknown)))
    assert outcome.dead_letters <= 4
    rest = [one.raw for one in world.letters.letters.values()]
    assert b",".join(rest) == b",".join([unknown] * 400)


def test_many_dead_letters_are_committed_on_the_way() -> None:
    good = FlowLogGenerator(1).entry("nsg1", Interface.nsg(), EPOCH, 1).raw
    world = World()
    parts = world.parts(b'{"records":[' + b",".join([good, b"{}"] * 1200) + b"]}")
    assert [part.outcome.dead_letters for part in parts] == [500, 500, 200]
    assert [part.is_end for part in parts] == [False, False, True]
    assert [part.progress.etag for part in parts] == ["", "", "etag"]
    offsets = [part.progress.offset for part in parts]
    assert offsets == [12 + 500 * (len(good) + 4) - 1, 12 + 1000 * (len(good) + 4) - 1, offsets[2]]
    assert sum(part.outcome.records for part in parts) == 1200


def test_slow_storage_keeps_what_it_took() -> None:
    """Each send takes 6 s: after the third only the entry follows that was drawn ahead."""
    world = World()

    class Slow(MemorySink):
        def send(self, messages: Iterable[Any]) -> int:
            def slowly() -> Iterator[Any]:
                for message in messages:
                    world.clock.sleep(6)
                    yield message

            return super().send(slowly())

    world.sink = Slow()
    entries = [FlowLogGenerator(n).entry("nsg2", Interface.nsg(), EPOCH, 3) for n in range(7)]
    parts = world.parts(document(entries))
    assert [part.outcome.entries for part in parts] == [4, 3]
    assert world.sent() == 21


# --- what the settings leave of it ---


def four_tuples() -> bytes:
    """An entry of two denied tuples, a bad one and an allowed one."""
    tuples = ["1735636259,10.1.0.4,20.0.0.1,5,443,T,O,D,B,,,,"] * 2
    tuples += ["1,2,3", "1735636259,10.1.0.4,20.0.0.1,5,443,T,O,A,E,1,2,3,4"]
    flows = [{"rule": "r", "flows": [{"mac": "m", "flowTuples": tuples}]}]
    entry = {
        "category": "NetworkSecurityGroupFlowEvent",
        "properties": {"Version": 2, "flows": flows},
    }
    return orjson.dumps(entry)


def test_a_chunk_of_dropped_records_moves_the_offset_and_sends_nothing() -> None:
    world = World(shaper=Shaper(KeepDrop.parse("dst_port=80", "")))
    data = b'{"records":[%b]}' % b",".join([four_tuples()] * 3)
    progress, outcome = world.forward(data, 0)
    assert progress.offset == len(data) - len(b"]}")
    assert (progress.entries, progress.records, progress.dropped) == (3, 0, 9)
    assert (outcome.entries, outcome.records, outcome.dropped, outcome.messages) == (3, 0, 9, 0)
    assert outcome.lag_s is None  # nothing was forwarded that could be late
    assert world.sink.messages == []
    # What cannot be read is kept whatever is wanted.
    assert progress.dead_letters == outcome.dead_letters == len(world.letters.letters) == 3
    world.claim.commit(progress)
    stored = world.checkpoints.get(KEY).checkpoint
    assert stored is not None
    assert stored.progress == progress


def test_what_is_dropped_is_counted_beside_what_is_sent() -> None:
    world = World(shaper=Shaper(KeepDrop.parse("", "action=deny")))
    progress, outcome = world.forward(b'{"records":[%b]}' % four_tuples(), 0)
    assert (progress.records, progress.dropped, progress.dead_letters) == (1, 2, 1)
    assert (outcome.records, outcome.dropped, outcome.dead_letters) == (1, 2, 1)
    (message,) = world.sink.messages
    assert message.id.endswith(".m3.1")
    (record,) = decode(message.text).records
    assert record["id"].endswith(".3")


def test_a_record_too_large_is_kept_whole_whatever_is_sent_of_it() -> None:
    """Put back after the settings changed, it is all there."""
    rule = Random(1).randbytes(60_000).hex()  # random, so that it fits no message compressed
    data = b'{"records":[%b]}' % four_tuples().replace(b'"r"', b'"%b"' % rule.encode())
    shaper = Shaper(fields=Fields.parse("rule"))
    world = World(shaper=shaper)
    world.forward(data, 0)
    whole = World()
    whole.forward(data, 0)
    assert len(world.letters.letters) == 4
    assert world.letters.letters == whole.letters.letters


@pytest.mark.parametrize("schema", ["flowlog", "ecs"])
def test_sums_of_traffic_are_of_tuples_whatever_is_sent(schema: str) -> None:
    """Of kept ones. A sum has no state, and one minute of several."""
    data = document([FlowLogGenerator(1).entry("vnet4", Interface.vnet(), EPOCH, 90)] * 2)
    rules = KeepDrop.parse("", "direction=inbound")
    plain = World(shaper=Shaper(rules), new_traffic=Traffic)
    summing = World(shaper=Shaper(rules, aggregates=True, schema=schema), new_traffic=Traffic)
    (_, expected), (_, outcome) = plain.forward(data, 0), summing.forward(data, 0)
    assert expected.traffic is not None
    assert outcome.traffic is not None
    assert outcome.traffic.rows() == expected.traffic.rows()
    assert outcome.records < expected.records
    assert outcome.dropped == expected.dropped > 0


def test_sums_that_the_sink_refused_are_in_no_sum_of_traffic() -> None:
    rule = Random(1).randbytes(60_000).hex()
    small, large = four_tuples(), four_tuples().replace(b'"r"', b'"%b"' % rule.encode())
    world = World(shaper=Shaper(aggregates=True), new_traffic=Traffic)
    _, outcome = world.forward(b'{"records":[%b,%b]}' % (small, large), 0)
    # Two denied tuples of one flow, an allowed one and a bad one, in each entry.
    assert (outcome.records, outcome.dead_letters) == (2, 1 + 4)
    ids = {letter.id: letter.raw for letter in world.letters.letters.values()}
    assert sorted(name.rpartition(".")[2] for name in ids) == ["0", "1", "2", "2", "3"]
    # Whole records, each of its tuple, so that any settings can send them again.
    assert {
        name for name, raw in ids.items() if raw.startswith(b'{"id":"%b","' % name.encode())
    } == {name for name in ids if not name.endswith(".2")}
    assert outcome.traffic is not None
    assert sum(int(row["records"] or 0) for row in outcome.traffic.rows()) == 3
