"""One chunk: its messages and dead letters, and the progress to commit."""

from __future__ import annotations

from dataclasses import dataclass, field

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
from flowlog_core.forward_chunk import forward_chunk
from flowlog_core.outcome import Outcome, Step
from flowlog_core.parsing.framing import Framer
from flowlog_core.pipeline import Pipeline
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

    def __post_init__(self) -> None:
        self.checkpoints = MemoryCheckpoints(self.clock)
        claim = take_or_ring(self.checkpoints, KEY, str(BLOB), "me", 180, self.clock)
        assert claim is not None
        self.claim: Claim = claim

    def forward(self, data: bytes, left_bytes: int, *, final: bool = False) -> object:
        stopwatch: Stopwatch[Step] = Stopwatch(self.clock, "checkpoint")
        return forward_chunk(
            BLOB,
            Chunk(data, b"", "etag", left_bytes),
            self.framer,
            self.claim,
            Pipeline(MemoryBlobs(), self.checkpoints, self.sink, self.letters, 180, self.clock),
            stopwatch,
            final=final,
        )

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
