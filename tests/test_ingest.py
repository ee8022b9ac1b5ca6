"""The whole story on fakes: what is appended is forwarded, once, whatever happens on the way."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import in_order_of_position, records_in, tuple_of

from flowlog_core.blob import BlobRef, Position, entry_id_of
from flowlog_core.checkpoints.checkpoint import Checkpoint, checkpoint_key
from flowlog_core.checkpoints.claim import take_or_ring
from flowlog_core.dead_letters import DeadLetter
from flowlog_core.errors import Archived, ItemRefused, NotAllowed, Unavailable
from flowlog_core.ingest import Outcome, Pipeline, ingest
from flowlog_core.source.reading import CHUNK_BYTES, Slice
from flowlog_core.testing.generate import (
    FlowLogGenerator,
    Format,
    GeneratedEntry,
    Interface,
    document,
)
from flowlog_core.testing.memory import (
    ManualClock,
    MemoryBlobs,
    MemoryCheckpoints,
    MemoryDeadLetters,
    MemorySink,
    service_time,
    some_blob,
)

BLOB = some_blob()
HOUR = datetime(2026, 1, 1, tzinfo=UTC)
NSG, VNET = Interface.nsg(), Interface.vnet()


def entries_of(seed: int, formats: list[Format], tuples: int = 5) -> list[GeneratedEntry]:
    generator = FlowLogGenerator(seed)
    return [
        generator.entry(form, VNET if form == "vnet4" else NSG, HOUR, tuples) for form in formats
    ]


@dataclass
class World:
    """Everything that `ingest` touches, and the truth about what was written."""

    clock: ManualClock = field(default_factory=ManualClock)
    blobs: MemoryBlobs = field(default_factory=MemoryBlobs)
    sink: MemorySink = field(default_factory=MemorySink)
    letters: MemoryDeadLetters = field(default_factory=MemoryDeadLetters)
    entries: list[GeneratedEntry] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.checkpoints = MemoryCheckpoints(self.clock)

    def append(self, *entries: GeneratedEntry) -> None:
        self.entries += entries
        self.blobs.put(BLOB, document(self.entries))

    def ingest(self, **options: Any) -> Outcome:
        return ingest(BLOB, self.pipeline(), **options)

    def pipeline(self) -> Pipeline:
        return Pipeline(self.blobs, self.checkpoints, self.sink, self.letters, 180, self.clock)

    def checkpoint(self) -> Checkpoint:
        found = self.checkpoints.get(checkpoint_key(BLOB)).checkpoint
        assert found is not None
        return found

    def written(self) -> list[str]:
        return [text for entry in self.entries for text in entry.tuples]

    def received(self) -> list[str]:
        return [tuple_of(record) for record in records_in(self.sink.messages)]


@pytest.fixture
def world() -> World:
    return World()


FORMATS = st.lists(st.sampled_from(["nsg1", "nsg2", "vnet4"]), max_size=3)


@given(st.lists(FORMATS, min_size=1, max_size=8), st.integers(0, 2**32))
def test_each_append_is_forwarded_once_and_read_once(
    appends: list[list[Format]], seed: int
) -> None:
    world = World()
    for number, formats in enumerate(appends):
        world.append(*entries_of(seed + number, formats))
        outcome = world.ingest()
        assert world.received() == world.written()
        assert (outcome.how, outcome.records) == ("forwarded", 5 * len(formats))
    assert world.blobs.read_bytes <= len(document(world.entries)) + len(appends) * (256 + 2)
    assert world.checkpoint().owner == ""
    assert world.checkpoint().progress.records == len(world.written())
    assert world.letters.letters == {}


def test_an_ordinary_append_costs_four_calls_and_the_sends(world: World) -> None:
    world.append(*entries_of(1, ["nsg2"]))
    world.ingest()
    world.checkpoints.calls.clear()
    world.blobs.calls.clear()
    world.append(*entries_of(2, ["nsg2"]))
    outcome = world.ingest()
    assert outcome.messages == 1
    assert world.checkpoints.calls == {"get": 1, "replace": 2}
    assert world.blobs.calls == {"read": 1}


def test_an_event_without_anything_new_sends_nothing(world: World) -> None:
    world.append(*entries_of(1, ["nsg2"]))
    world.ingest()
    assert world.ingest() == Outcome(new_bytes=2)  # the tail
    assert world.received() == world.written()


def test_ids_are_positions_in_the_blob(world: World) -> None:
    world.append(*entries_of(1, ["nsg1"], tuples=2))
    world.append(*entries_of(2, ["vnet4"], tuples=1))
    world.ingest()
    digest = Position(BLOB).blob_digest
    second = 12 + len(world.entries[0].raw) + 1
    assert [record["id"] for record in records_in(world.sink.messages)] == [
        f"{digest}.0.12.0",
        f"{digest}.0.12.1",
        f"{digest}.0.{second}.0",
    ]


SMALL_CHUNK_BYTES = CHUNK_BYTES // 16


def test_a_large_gap_is_committed_piece_by_piece(world: World) -> None:
    stream = FlowLogGenerator(1).stream("nsg2", NSG, HOUR, 3 * SMALL_CHUNK_BYTES)
    world.blobs.put(BLOB, b"".join(stream))
    ingest(BLOB, replace(world.pipeline(), chunk_bytes=SMALL_CHUNK_BYTES))
    reads = world.blobs.calls["read"]
    assert reads == 4
    # The claim with the first read, a commit after each piece but the last, the release.
    assert world.checkpoints.calls == {"get": 1, "create": 1, "replace": reads}
    ids = [record["id"] for record in records_in(world.sink.messages)]
    assert len(ids) == len(set(ids)) == world.checkpoint().progress.records


def bad(entry: GeneratedEntry, instead: bytes) -> bytes:
    """The entry with its first tuple written as `instead`."""
    return entry.raw.replace(entry.tuples[0].encode(), instead, 1)


def test_a_bad_tuple_goes_to_the_dead_letters_and_the_rest_goes_on(world: World) -> None:
    first, second = entries_of(1, ["nsg2", "nsg2"], tuples=3)
    world.blobs.put(
        BLOB, document([]).replace(b"[", b"[" + bad(first, b"1,2,3") + b"," + second.raw)
    )
    outcome = world.ingest()
    assert world.received() == [*first.tuples[1:], *second.tuples]
    digest = Position(BLOB).blob_digest
    (letter,) = world.letters.letters.values()
    assert letter.name == f"2026-01-01T00Z/000D3AF87856/{digest}.0.12.0.json"
    assert orjson.loads(letter.to_json()) == {
        "schema": "flowlog-dead-letter/1",
        "id": f"{digest}.0.12.0",
        "reason": letter.reason,
        "source": {
            "account": BLOB.account,
            "container": BLOB.container,
            "blob": BLOB.name,
            "generation": 0,
            "offset": 12,
            "tuple_index": 0,
        },
        "raw": "1,2,3",
    }
    assert "13" in letter.reason
    assert (outcome.records, outcome.dead_letters) == (5, 1)
    assert world.checkpoint().progress.dead_letters == 1


def test_many_bad_tuples_of_one_entry_are_kept_together(world: World) -> None:
    (entry,) = entries_of(1, ["nsg2"], tuples=20)
    raw = entry.raw.replace(b",T,", b",Q,").replace(b",U,", b",Q,")
    world.blobs.put(BLOB, b'{"records":[%b]}' % raw)
    world.ingest()
    (letter,) = world.letters.letters.values()
    assert (letter.raw, len(letter.tuples), letter.tuple_index) == (raw, 20, None)
    assert orjson.loads(letter.to_json())["tuples"][3]["tuple_index"] == 3


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (b'{"time":tru}', "not valid JSON"),
        (b'{"category":"Other","properties":{}}', "unknown"),
        (b'{"time":"\xff"}', "not valid JSON"),
    ],
)
def test_an_unreadable_entry_is_set_aside_whole(world: World, damage: bytes, reason: str) -> None:
    before, after = entries_of(1, ["nsg2", "vnet4"])
    world.blobs.put(BLOB, b'{"records":[%b,%b,%b]}' % (before.raw, damage, after.raw))
    world.ingest()
    assert world.received() == [*before.tuples, *after.tuples]
    (letter,) = world.letters.letters.values()
    assert (letter.raw, letter.position.offset) == (damage, 12 + len(before.raw) + 1)
    assert reason in letter.reason


def test_an_incomplete_end_waits_until_it_is_final(world: World) -> None:
    entry, cut = entries_of(1, ["nsg2", "nsg2"])
    world.blobs.put(BLOB, b'{"records":[%b,%b' % (entry.raw, cut.raw[:100]))
    world.ingest()
    assert world.received() == list(entry.tuples)
    assert world.checkpoint().progress.pending_bytes == 100
    assert world.letters.letters == {}
    world.ingest(final=True)
    (letter,) = world.letters.letters.values()
    assert letter.raw == cut.raw[:100]
    assert world.checkpoint().progress.pending_bytes == 0


def test_how_long_an_incomplete_end_has_been_pending_is_known(world: World) -> None:
    """Not less: from the last version that did not have it, or else from the blob's creation."""
    first, second = entries_of(1, ["nsg2", "nsg2"])
    clock = world.blobs.clock

    def committed_and_read(content: bytes) -> datetime | None:
        clock.sleep(60)
        world.blobs.put(BLOB, b'{"records":[%b' % content)
        world.ingest()
        return world.checkpoint().progress.pending_since

    created = service_time(clock) + timedelta(seconds=60)
    assert committed_and_read(first.raw[:50]) == created
    assert committed_and_read(first.raw[:90]) == created
    assert committed_and_read(first.raw) is None
    whole_at = service_time(clock)
    assert committed_and_read(b"%b,%b" % (first.raw, second.raw[:50])) == whole_at
    assert committed_and_read(b"%b,%b" % (first.raw, second.raw[:90])) == whole_at
    last_read_at = service_time(clock)
    assert committed_and_read(b"%b,%b,{" % (first.raw, second.raw)) == last_read_at
    assert committed_and_read(b"%b,%b]}" % (first.raw, second.raw)) is None


def test_a_rewritten_blob_is_read_again_as_a_new_generation(world: World) -> None:
    world.append(*entries_of(1, ["nsg2", "nsg2"]))
    world.ingest()
    world.sink.messages.clear()
    world.entries.clear()
    world.append(*entries_of(2, ["nsg2", "nsg2", "nsg2"]))
    outcome = world.ingest()
    assert outcome.rewrites == 1
    assert world.received() == world.written()
    generations = {record["id"].split(".")[1] for record in records_in(world.sink.messages)}
    assert generations == {"1"}


@pytest.mark.parametrize("content", [b"", b'{"records":[]}'])
def test_a_shrunken_blob_starts_again_from_nothing(world: World, content: bytes) -> None:
    world.append(*entries_of(1, ["nsg2"]))
    world.ingest()
    world.blobs.put(BLOB, content)
    world.ingest()
    assert (world.checkpoint().progress.offset, world.checkpoint().progress.generation) == (0, 1)
    world.entries.clear()
    world.sink.messages.clear()
    world.append(*entries_of(2, ["nsg2"]))
    world.ingest()
    assert world.received() == world.written()


def test_a_blob_that_was_never_rewritten_gets_the_same_ids_again_from_an_empty_table(
    world: World,
) -> None:
    """However it grew, and in whatever chunks it is read. One that was rewritten gets others."""
    damaged = GeneratedEntry(b'{"time":tru}', ())
    for entry in entries_of(1, ["nsg2", "vnet4", "nsg1", "vnet4"]):
        world.append(entry, damaged)
        world.ingest()
    again = World(blobs=world.blobs)
    ingest(BLOB, replace(again.pipeline(), chunk_bytes=500))
    assert again.sink.messages == world.sink.messages
    assert len({message.id for message in world.sink.messages}) == 4
    assert again.letters == world.letters
    assert len(world.letters.letters) == 4

    world.sink.messages.clear()
    world.entries = []
    world.append(*entries_of(2, ["nsg1"]))
    assert world.ingest().rewrites == 1
    once_more = World(blobs=world.blobs)
    once_more.ingest()
    ids = [[record["id"] for record in records_in(one.sink.messages)] for one in (world, once_more)]
    digest = Position(BLOB).blob_digest
    assert ids == [[f"{digest}.{generation}.12.{n}" for n in range(5)] for generation in (1, 0)]


def test_a_deleted_blob_is_done(world: World) -> None:
    world.append(*entries_of(1, ["nsg2"]))
    world.ingest()
    before = world.checkpoint()
    world.blobs.delete(BLOB)
    assert world.ingest() == Outcome(how="deleted")
    assert world.checkpoint() == before


@dataclass
class FailingSink(MemorySink):
    """Takes some messages, then raises."""

    takes: int = 0
    error: BaseException = field(default_factory=lambda: Unavailable("busy"))

    def send(self, messages: Iterable[Any]) -> int:
        for count, message in enumerate(messages):
            if count == self.takes:
                raise self.error
            self.messages.append(message)
        return self.takes


@pytest.mark.parametrize(
    "error", [Unavailable("busy"), NotAllowed("no"), KeyboardInterrupt(), MemoryError()]
)
def test_after_a_failure_the_same_messages_come_again_and_nothing_is_lost(
    error: BaseException,
) -> None:
    world = World(sink=FailingSink(takes=1, error=error))
    world.append(*entries_of(1, ["nsg2", "vnet4"]))
    with pytest.raises(type(error)):
        world.ingest()
    assert world.checkpoint().progress.offset == 0
    assert world.checkpoint().owner == ""  # so that the retry is not turned away
    (repeated,) = world.sink.messages
    world.sink = MemorySink()
    world.ingest()
    assert world.sink.messages[0] == repeated
    assert world.received() == world.written()


@dataclass
class PickySink(MemorySink):
    """Refuses the messages of some entries for what they are, after `delivers` of them."""

    refuses: set[int] = field(default_factory=set)
    """Offsets."""
    delivers: int = 0

    def send(self, messages: Iterable[Any]) -> int:
        count = 0
        for count, message in enumerate(messages, start=1):
            entry_id = entry_id_of(message.id)
            if int(entry_id.split(".")[2]) in self.refuses and count > self.delivers:
                raise ItemRefused("413 RequestBodyTooLarge", entry_id)
            self.messages.append(message)
        return count


def test_an_entry_that_is_refused_for_what_it_is_is_set_aside_and_its_neighbours_are_not() -> None:
    """After three refusals, each ten minutes after the last one; what is before it comes once."""
    sink = PickySink()
    world = World(sink=sink)
    world.append(*entries_of(1, ["nsg2", "vnet4", "nsg1", "nsg2"]))
    starts = [12]
    for entry in world.entries:
        starts.append(starts[-1] + len(entry.raw) + 1)
    sink.refuses = {starts[1], starts[3]}
    refusals = 0
    for _ in range(10):
        try:
            world.ingest()
        except ItemRefused:
            refusals += 1
            world.clock.sleep(300)
    assert refusals == 2 * 4  # each at 0, 5, 10 and 15 minutes; it is set aside at 20
    first, _, third, _ = (list(entry.tuples) for entry in world.entries)
    assert world.received() == [*first, *first, *third, *third]
    assert world.checkpoint().failure is None
    assert world.checkpoint().progress.offset == starts[-1] - 1
    kept = sorted(world.letters.letters.values(), key=lambda letter: letter.position.offset)
    assert [letter.raw for letter in kept] == [world.entries[1].raw, world.entries[3].raw]
    assert all("413 RequestBodyTooLarge" in letter.reason for letter in kept)
    assert world.checkpoint().progress.dead_letters == 2


def test_an_entry_that_is_refused_and_has_many_bad_tuples_is_one_dead_letter() -> None:
    """Letters are stored at a time, so of two with one name any might be the one that stays."""
    put: list[DeadLetter] = []

    class Letters(MemoryDeadLetters):
        def put(self, letters: Iterable[DeadLetter]) -> None:
            put.extend(kept := list(letters))
            super().put(kept)

    sink = PickySink(refuses={12})
    world = World(sink=sink, letters=Letters())
    (entry,) = entries_of(1, ["nsg2"])
    value = orjson.loads(entry.raw)
    value["properties"]["flows"][0]["flows"][0]["flowTuples"] += ["bad"] * 17
    world.append(replace(entry, raw=orjson.dumps(value)))
    for _ in range(6):
        with suppress(ItemRefused):
            world.ingest()
        world.clock.sleep(300)
    (letter,) = put
    assert (letter.raw, letter.tuples) == (orjson.dumps(value), ())
    assert world.checkpoint().progress.dead_letters == 1


def test_a_claim_that_cannot_be_given_back_is_mentioned_in_the_error(world: World) -> None:
    world.append(*entries_of(1, ["nsg2"]))

    class Offline(MemorySink):
        def send(self, messages: Iterable[Any]) -> int:
            next(iter(messages))

            def unreachable(*_: object) -> Any:
                raise Unavailable("the table is gone too")

            world.checkpoints.replace = unreachable  # type: ignore[method-assign, assignment]
            raise Unavailable("the queue is gone")

    world.sink = Offline()
    with pytest.raises(Unavailable, match="the queue is gone") as caught:
        world.ingest()
    assert caught.value.__notes__ == [
        "The claim could not be released and lasts until it runs out: the table is gone too"
    ]


def test_a_worker_that_lost_its_claim_stops_sending_and_stops_quietly(world: World) -> None:
    world.append(*entries_of(1, ["nsg2", "nsg2", "nsg2"]))

    class Slow(MemorySink):
        def send(self, messages: Iterable[Any]) -> int:
            for message in messages:
                self.messages.append(message)
                world.clock.sleep(200)
                world.sink = MemorySink(messages=self.messages)
                assert world.ingest().how == "forwarded"
            return 1

    world.sink = Slow()
    assert world.ingest().how == "claim_lost"
    # The first message was sent before the claim was lost, and comes again with the same id.
    assert [message.id.rpartition(".")[0] for message in world.sink.messages].count(
        world.sink.messages[0].id.rpartition(".")[0]
    ) == 2
    assert len(world.sink.messages) == 4
    unique = {record["id"]: record for record in records_in(world.sink.messages)}
    assert [tuple_of(r) for r in in_order_of_position(unique.values())] == world.written()


def test_a_record_too_large_for_the_sink_is_a_dead_letter(world: World) -> None:
    (entry,) = entries_of(1, ["nsg2"], tuples=2)
    incompressible = random.Random(1).randbytes(70_000).hex().encode()
    rule = b'"rule":"' + incompressible + b'"'
    raw = entry.raw.replace(b'"rule":"', b'"rule":"' + incompressible)
    assert rule[:-1] in raw
    world.blobs.put(BLOB, b'{"records":[%b]}' % raw)
    outcome = world.ingest()
    assert (outcome.records, outcome.dead_letters) == (0, 2)
    assert {letter.tuple_index for letter in world.letters.letters.values()} == {0, 1}


def test_dead_letters_are_not_all_held_until_a_chunk_is_through(world: World) -> None:
    """They may be as much as all that was read. The claim is kept before each putting away.

    Storing takes so long here that what was stored first is committed before the rest.
    """
    put: list[int] = []

    class Letters(MemoryDeadLetters):
        def put(self, letters: Iterable[DeadLetter]) -> None:
            kept = list(letters)
            put.append(sum(letter.held_bytes for letter in kept))
            world.clock.sleep(100)
            super().put(kept)

    world.letters = Letters()
    damaged = b'{"time":"' + b"x" * 3_000_000 + b'"}'
    world.blobs.put(BLOB, b'{"records":[' + b",".join([damaged] * 7) + b"]}")
    outcome = ingest(BLOB, replace(world.pipeline(), chunk_bytes=30_000_000))
    assert outcome.dead_letters == 7
    assert [size // 1_000_000 for size in put] == [9, 3, 9]
    assert [letter.raw for letter in world.letters.letters.values()] == [damaged] * 7
    assert world.checkpoint().progress.dead_letters == 7


def test_workers_at_the_same_time_lose_and_double_nothing() -> None:
    world = World()
    appends = [entries_of(seed, ["nsg2", "vnet4"], tuples=3) for seed in range(60)]
    start, outcomes = threading.Barrier(5), []

    def write() -> None:
        start.wait()
        for entries in appends:
            world.append(*entries)
            outcomes.append(world.ingest())

    def work() -> None:
        start.wait()
        outcomes.extend(world.ingest() for _ in range(80))

    world.blobs.put(BLOB, document([]))
    threads = [threading.Thread(target=t) for t in (write, work, work, work, work)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    records = records_in(world.sink.messages)
    assert len({record["id"] for record in records}) == len(records)
    assert [tuple_of(record) for record in in_order_of_position(records)] == world.written()
    assert {outcome.how for outcome in outcomes} <= {"forwarded", "handed_over"}


def other_blob() -> BlobRef:
    return some_blob(hour=1)


def test_blobs_do_not_share_anything(world: World) -> None:
    (entry,) = entries_of(1, ["nsg2"])
    for blob in (BLOB, other_blob()):
        world.blobs.put(blob, document([entry]))
        ingest(blob, world.pipeline())
    assert world.received() == [*entry.tuples, *entry.tuples]
    assert len({record["id"] for record in records_in(world.sink.messages)}) == 10


def test_a_blob_in_the_archive_tier_is_a_failure_and_waits_there(world: World) -> None:
    world.append(*entries_of(1, ["nsg2"]))
    world.blobs.archive(BLOB)
    with pytest.raises(Archived):
        world.ingest()
    failure = world.checkpoint().failure
    assert failure is not None
    assert (failure.attempts, "BlobArchived" in failure.error) == (1, True)
    world.blobs.rehydrate(BLOB)
    assert world.ingest().entries == 1
    assert world.received() == world.written()


def test_a_blob_that_is_archived_while_it_is_read_is_a_failure_too(world: World) -> None:
    world.append(*entries_of(1, ["nsg2"] * 40))
    whole = world.blobs.read

    def read(blob: BlobRef, start: int, max_bytes: int, etag: str | None) -> Slice:
        slice_read = whole(blob, start, max_bytes, etag)
        if etag is None:
            world.blobs.archive(blob)
        return slice_read

    world.blobs.read = read  # type: ignore[method-assign]  # as its own, so that it can begin anew
    with pytest.raises(Archived):
        ingest(BLOB, replace(world.pipeline(), chunk_bytes=10_000))
    assert 0 < world.checkpoint().progress.offset < 20_000


class Died(BaseException):
    """The process ends here; nothing that its code does after this has an effect."""


@dataclass
class Mortal(World):
    """Workers that die when they pack a record of `deadly`, each in a process of its own."""

    deadly: str = ""
    dead: set[str] = field(default_factory=set)
    owners: int = 0

    def ingest(self, **options: Any) -> Outcome:
        self.owners += 1
        owner, world = f"owner-{self.owners}", self

        class OfProcess(MemoryCheckpoints):
            def __init__(self) -> None:
                vars(self).update(vars(world.checkpoints))

            def replace(self, *arguments: Any) -> Any:
                if owner in world.dead:
                    raise Died
                return super().replace(*arguments)

        class DeadlySink(MemorySink):
            def pack(self, entry: Any) -> Any:
                if world.deadly and any(world.deadly in line for line in entry.lines):
                    world.dead.add(owner)
                    raise Died
                return super().pack(entry)

        checkpoints = OfProcess()
        pipeline = replace(
            self.pipeline(),
            checkpoints=checkpoints,
            sink=DeadlySink(messages=self.sink.messages),
            new_owner=lambda: owner,
            is_gone=self.dead.__contains__,
        )
        try:
            return ingest(BLOB, pipeline, **options)
        finally:
            self.checkpoints._versions = checkpoints._versions


@pytest.mark.parametrize("at", [0, 4, 7])
def test_an_entry_that_ends_every_process_is_set_aside_after_the_third_death_at_it(at: int) -> None:
    world = Mortal()
    world.append(*entries_of(1, ["vnet4"] * 8))
    src_ip = world.entries[at].tuples[0].split(",")[1]
    world.deadly = f'"{src_ip}"'
    others = [entry for entry in world.entries if not any(src_ip in one for one in entry.tuples)]
    assert len(others) >= 5
    deaths = 0
    while True:
        try:
            world.ingest(always_take_over=True)
        except Died:
            deaths += 1
            assert deaths < 12
            world.clock.sleep(60)
        else:
            break
    bad = [entry for entry in world.entries if entry not in others]
    assert 3 * len(bad) <= deaths <= 4 * len(bad)
    assert world.checkpoint().progress.dead_letters == len(bad)
    assert {letter.raw for letter in world.letters.letters.values()} == {e.raw for e in bad}
    assert {letter.reason for letter in world.letters.letters.values()} == {
        "the worker process ended 3 times while it forwarded this entry, which was therefore not "
        "parsed again"
    }
    assert set(world.received()) == {text for entry in others for text in entry.tuples}
    stored = world.checkpoint()
    assert (stored.owner, stored.deaths, stored.failure, stored.taken_over_at) == (
        "",
        0,
        None,
        None,
    )
    assert stored.progress.etag == world.blobs.etag_of(BLOB)


def test_deaths_at_the_end_of_a_blob_set_nothing_aside() -> None:
    """The brackets at the end are no entry: with them the next append would be a rewritten blob."""
    mortal = Mortal()
    mortal.append(*entries_of(1, ["nsg2"]))
    assert mortal.ingest().entries == 1
    pipeline, key = mortal.pipeline(), checkpoint_key(BLOB)
    for number in range(4):
        mortal.dead.add(f"dead-{number}")
        take_or_ring(
            pipeline.checkpoints,
            key,
            str(BLOB),
            f"dead-{number}",
            180,
            pipeline.clock,
            is_gone=mortal.dead.__contains__,
            always_take_over=True,
        )
    assert mortal.checkpoint().deaths == 3
    outcome = mortal.ingest(always_take_over=True)
    assert (outcome.how, outcome.dead_letters) == ("forwarded", 0)
    mortal.append(*entries_of(2, ["nsg2"]))
    outcome = mortal.ingest()
    assert (outcome.entries, outcome.rewrites, mortal.letters.letters) == (1, 0, {})


def test_after_one_death_everything_is_forwarded_entry_by_entry() -> None:
    """So that a second death tells which entry it was; the next chunk is as usual."""
    mortal = Mortal()
    mortal.append(*entries_of(1, ["nsg2"] * 4))
    mortal.deadly = "never"
    dead = replace(mortal.pipeline(), new_owner=lambda: "dead")
    mortal.dead.add("dead")
    key = checkpoint_key(BLOB)
    take_or_ring(dead.checkpoints, key, str(BLOB), "dead", 180, dead.clock)
    mortal.checkpoints.calls.clear()
    outcome = mortal.ingest()
    assert (outcome.how, outcome.entries, outcome.records) == ("forwarded", 4, 20)
    assert mortal.received() == mortal.written()
    assert mortal.checkpoints.calls["replace"] == 1 + 4 + 1  # taken over, each entry, released


def test_an_event_of_a_blob_that_ends_processes_is_left_to_the_sweep() -> None:
    mortal = Mortal()
    mortal.append(*entries_of(1, ["vnet4"]))
    mortal.deadly = "src_ip"
    for _ in range(2):
        with pytest.raises(Died):
            mortal.ingest()
    for _ in range(3):
        assert mortal.ingest().how == "handed_over"
    assert len(mortal.dead) == 2


def test_blobs_of_a_dead_process_are_taken_over_one_after_the_other(world: World) -> None:
    """So that one which ends the process does not take the others with it, again and again."""
    blobs = [some_blob(hour) for hour in range(6)]
    (entry,) = entries_of(1, ["nsg2"])
    now, most, lock = 0, 0, threading.Lock()

    class Watching(MemorySink):
        def send(self, messages: Iterable[Any]) -> int:
            nonlocal now, most
            with lock:
                now += 1
                most = max(most, now)
            time.sleep(0.02)
            with lock:
                now -= 1
            return super().send(messages)

    pipeline = replace(world.pipeline(), sink=Watching(), is_gone=lambda owner: owner == "dead")
    for blob in blobs:
        world.blobs.put(blob, document([entry]))
        key = checkpoint_key(blob)
        take_or_ring(world.checkpoints, key, str(blob), "dead", 180, world.clock)
    working = [threading.Thread(target=ingest, args=(blob, pipeline)) for blob in blobs]
    for one in working:
        one.start()
    for one in working:
        one.join()
    assert most == 1
    stored = [world.checkpoints.get(checkpoint_key(blob)).checkpoint for blob in blobs]
    assert [one.owner for one in stored if one is not None] == [""] * 6
