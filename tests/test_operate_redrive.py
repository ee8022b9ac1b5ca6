"""Redriving dead letters: the same ids, nothing twice, nothing lost, whenever it is stopped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

import orjson
import pytest
from support import records_in

from flowlog_core.blob import BlobRef, Position
from flowlog_core.checkpoints.checkpoint import checkpoint_key
from flowlog_core.consume import decode
from flowlog_core.dead_letters import DeadLetter
from flowlog_core.errors import ItemRefused, NotAllowed, StorageError, Unavailable
from flowlog_core.ingest import Pipeline, ingest
from flowlog_core.operate.entry_again import AsksOnce
from flowlog_core.operate.letters import read_letter
from flowlog_core.operate.redrive import Redriven, redrive
from flowlog_core.parsing import entry as parsing_entry
from flowlog_core.parsing.tuples import TupleFormat
from flowlog_core.shape.fields import Fields
from flowlog_core.shape.keep_drop import KeepDrop
from flowlog_core.shape.shaper import Shaper
from flowlog_core.sinks import EntryRecords, Packed, TooLarge
from flowlog_core.source.reading import Slice
from flowlog_core.testing.generate import FlowLogGenerator, Interface
from flowlog_core.testing.letters import MemoryLetters
from flowlog_core.testing.memory import (
    ManualClock,
    MemoryBlobs,
    MemoryCheckpoints,
    MemorySink,
    some_blob,
)

BLOB = some_blob(7)
HEAD = b'{"records":['


def entry_of(*tuples: str, version: int = 1) -> bytes:
    """An NSG entry, as Microsoft's page "NSG flow logs overview" shows it."""
    return orjson.dumps(
        {
            "time": "2026-01-01T07:00:00.0000000Z",
            "category": "NetworkSecurityGroupFlowEvent",
            "resourceId": "/NSG",
            "properties": {
                "Version": version,
                "flows": [{"rule": "r", "flows": [{"mac": "m", "flowTuples": list(tuples)}]}],
            },
        }
    )


def tuple_of(number: int, protocol: str = "T") -> str:
    return f"1767250800,10.0.0.{number},10.1.0.1,1000,443,{protocol},I,A"


class World:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.blobs, self.checkpoints = MemoryBlobs(self.clock), MemoryCheckpoints(self.clock)
        self.sink, self.letters = MemorySink("json"), MemoryLetters(self.clock)
        self.shaper = Shaper()

    @property
    def pipeline(self) -> Pipeline:
        return Pipeline(
            self.blobs,
            self.checkpoints,
            self.sink,
            self.letters,
            180,
            self.clock,
            shaper=self.shaper,
        )

    def forward(self, *entries: bytes) -> None:
        """Write the blob and forward it; then the sink is emptied."""
        self.blobs.put(BLOB, HEAD + b",".join(entries) + b"]}")
        ingest(BLOB, self.pipeline, final=True)
        self.sent_before = [record["id"] for record in records_in(self.sink.messages)]
        self.sink.messages.clear()

    def redrive(self, **options: Any) -> list[Redriven]:
        return [redrive(one, self.letters, self.pipeline, **options) for one in self.letters.all()]

    def sent(self) -> dict[str, str]:
        """What was sent, by id."""
        return {record["id"]: record["src_ip"] for record in records_in(self.sink.messages)}


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def new_protocol(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes today's code know what it did not: tuples of protocol X, entries of version 7."""

    def know() -> None:
        records = TupleFormat.records

        def with_x(self: TupleFormat, texts: list[Any], *rest: Any) -> Any:
            known = [t.replace(",X,", ",U,") if isinstance(t, str) else t for t in texts]
            return records(self, known, *rest)

        monkeypatch.setattr(TupleFormat, "records", with_x)
        formats = parsing_entry.FORMATS
        category = "NetworkSecurityGroupFlowEvent"
        known = {**formats, (category, 7): replace(formats[category, 1], version=7)}
        monkeypatch.setattr(parsing_entry, "FORMATS", known)

    return know


def ids(offset: int, *indexes: int) -> list[str]:
    return [Position(BLOB, offset=offset).record_id(index) for index in indexes]


def test_a_tuple_that_can_be_read_now_is_sent_with_its_own_id_and_nothing_else(
    world: World, new_protocol: Callable[[], None]
) -> None:
    world.forward(entry_of(tuple_of(1), tuple_of(2, "X"), tuple_of(3)))
    assert world.sent_before == ids(12, 0, 2)
    (stays,) = world.redrive()
    assert (stays.is_gone, stays.records) == (False, 0)
    assert "protocol" in stays.why
    new_protocol()
    (done,) = world.redrive()
    assert (done.is_gone, done.records, done.why) == (True, 1, "")
    assert world.sent() == dict.fromkeys(ids(12, 1), "10.0.0.2")
    assert world.letters.stored == {}
    assert world.redrive() == []


def test_an_entry_is_sent_whole_and_of_many_bad_tuples_only_those(
    world: World, new_protocol: Callable[[], None]
) -> None:
    unknown = entry_of(tuple_of(1), tuple_of(2), version=7)
    many = entry_of(tuple_of(0), *(tuple_of(n, "X") for n in range(1, 21)), tuple_of(21))
    world.forward(unknown, many)
    at = 12 + len(unknown) + 1
    assert world.sent_before == ids(at, 0, 21)
    assert [read_letter(one[0]).tuple_index for one in world.letters.stored.values()] == [None] * 2
    new_protocol()
    assert sum(one.records for one in world.redrive()) == 22
    assert list(world.sent()) == ids(12, 0, 1) + ids(at, *range(1, 21))
    assert world.letters.stored == {}


def test_todays_settings_say_what_of_a_letter_is_sent_and_in_which_form(
    world: World, new_protocol: Callable[[], None]
) -> None:
    world.forward(entry_of(tuple_of(1, "X"), tuple_of(2, "X"), tuple_of(3)))
    new_protocol()
    world.shaper = Shaper(KeepDrop.parse("", "src_ip=10.0.0.2"), schema="ecs")
    assert [(one.is_gone, one.records) for one in world.redrive()] == [(True, 1), (True, 0)]
    (message,) = world.sink.messages
    batch = decode(message.text)
    assert (batch.schema, batch.id) == ("ecs/9.4.0", f"{ids(12, 0)[0][:-1]}m0.1.ecs")
    assert [event["event"]["id"] for event in batch.records] == ids(12, 0)
    assert world.letters.stored == {}


def test_what_of_a_letter_is_still_bad_stays_with_its_entry(
    world: World, new_protocol: Callable[[], None]
) -> None:
    bad = tuple_of(9, "?")
    entry = entry_of(tuple_of(1), bad, version=7)
    world.forward(entry)
    new_protocol()
    (part,) = world.redrive()
    assert (part.records, part.is_gone) == (1, False)
    assert "protocol" in part.why
    (left,) = (read_letter(content) for content, _, _ in world.letters.stored.values())
    assert (left.raw, [one.index for one in left.tuples]) == (entry, [1])
    world.sink.messages.clear()
    (again,) = world.redrive()
    assert (again.records, world.sent()) == (0, {})


def test_of_damaged_neighbours_each_that_can_be_read_is_sent_and_no_byte_of_others_is_lost(
    world: World, new_protocol: Callable[[], None]
) -> None:
    broken, known = b'{"broken":tru}', entry_of(tuple_of(1), version=7)
    parts = [broken, known, broken, b'{"ends":[{"in":"brackets"}]}', known, broken]
    world.forward(*parts)
    (letter,) = (read_letter(content) for content, _, _ in world.letters.stored.values())
    assert letter.raw == b",".join(parts)  # neighbours share one
    new_protocol()
    (one,) = world.redrive()
    starts = [12]
    for part in parts:
        starts.append(starts[-1] + len(part) + 1)
    assert list(world.sent()) == ids(starts[1], 0) + ids(starts[4], 0)
    assert (one.records, one.is_gone) == (2, False)
    left = [read_letter(content) for content, _, _ in world.letters.stored.values()]
    assert sorted((one.position.offset, one.raw) for one in left) == [
        (starts[0], broken),
        (starts[2], b",".join(parts[2:4])),
        (starts[5], broken),
    ]


def test_a_record_that_was_too_large_needs_no_source(world: World) -> None:
    record = {"id": ids(12, 5)[0], "time": "2026-01-01T07:00:00Z", "src_ip": "10.0.0.5"}
    world.letters.put([DeadLetter(Position(BLOB, offset=12), "too large", orjson.dumps(record), 5)])
    (done,) = world.redrive()
    assert (done.records, done.is_gone, world.sent()) == (1, True, {record["id"]: "10.0.0.5"})


class FussySink(MemorySink):
    def pack(self, entry: EntryRecords) -> Packed:
        return Packed(iter(()), [TooLarge(index, "too large") for index in range(len(entry.lines))])


def test_a_record_that_is_still_too_large_stays(world: World) -> None:
    world.sink = FussySink()
    raw = orjson.dumps({"id": ids(12, 5)[0]})
    world.letters.put([DeadLetter(Position(BLOB, offset=12), "too large", raw, 5)])
    before = dict(world.letters.stored)
    (stays,) = world.redrive()
    assert (stays.is_gone, world.letters.stored) == (False, before)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("deleted", "its flow log is gone, and the tuple needs its entry"),
        ("rewritten", "its flow log was rewritten or deleted, and the tuple needs its entry"),
        ("other bytes", "its flow log holds something else at its place"),
        ("shorter", "its flow log is gone, and the tuple needs its entry"),
        ("no entry", "its entry cannot be read at its place in the flow log"),
    ],
)
def test_a_tuple_whose_entry_is_gone_or_changed_stays(
    world: World, new_protocol: Callable[[], None], change: str, why: str
) -> None:
    world.forward(entry_of(tuple_of(1, "X"), tuple_of(2)))
    new_protocol()
    contents = {
        "other bytes": HEAD + entry_of(tuple_of(3, "X"), tuple_of(2)) + b"]}",
        "shorter": HEAD,
        "no entry": HEAD + b'{"x":tru}]}',
        "rewritten": HEAD + entry_of(tuple_of(1, "X")) + b"]}",
    }
    if change == "deleted":
        world.blobs.delete(BLOB)
    else:
        world.blobs.put(BLOB, contents[change])
    if change == "rewritten":
        ingest(BLOB, world.pipeline)
        world.sink.messages.clear()
        stored = checkpoint_key(BLOB)
        checkpoint = world.checkpoints.get(stored).checkpoint
        assert checkpoint is not None
        assert checkpoint.progress.generation == 1
    found = next(one for one in world.redrive() if not one.is_gone)
    assert (found.records, found.why, world.sent()) == (0, why, {})
    assert found.letter.name in world.letters.stored


def test_a_letter_that_is_stored_without_the_mac_is_replaced_where_it_is(
    world: World, new_protocol: Callable[[], None]
) -> None:
    world.forward(entry_of(tuple_of(1), tuple_of(9, "?"), version=7))
    ((name, (content, _, _)),) = world.letters.stored.items()
    del world.letters.stored[name]
    plain_name = read_letter(content).plain_name
    world.letters.put_content(plain_name, content)
    new_protocol()
    assert [one.records for one in world.redrive()] == [1]
    assert list(world.letters.stored) == [plain_name]
    assert len(read_letter(world.letters.stored[plain_name][0]).tuples) == 1


def test_the_rules_and_fields_of_today_hold(world: World, new_protocol: Callable[[], None]) -> None:
    world.forward(entry_of(tuple_of(1, "X"), tuple_of(2, "X")))
    new_protocol()
    world.shaper = Shaper(KeepDrop.parse("", "src_ip=10.0.0.1"), Fields.parse("src_ip"))
    done = world.redrive()
    assert sorted((one.records, one.is_gone) for one in done) == [(0, True), (1, True)]
    sent = records_in(world.sink.messages)
    assert [(list(one), one["src_ip"]) for one in sent] == [(["id", "src_ip"], "10.0.0.2")]
    assert world.letters.stored == {}


def sends_with(world: World, error: StorageError) -> None:
    """From now on the sink takes all messages and then raises."""

    def refuse(messages: Iterable[Any]) -> int:
        list(messages)
        raise error

    world.sink.send = refuse  # type: ignore[method-assign]


def test_what_the_service_refuses_stays_and_keeps_no_other_from_its_turn(
    world: World, new_protocol: Callable[[], None]
) -> None:
    world.forward(entry_of(tuple_of(1, "X"), tuple_of(2)))
    new_protocol()

    sends_with(world, ItemRefused("413 RequestBodyTooLarge", "item"))
    (stays,) = world.redrive()
    assert (stays.is_gone, stays.why) == (False, "413 RequestBodyTooLarge")
    assert len(world.letters.stored) == 1


@pytest.mark.parametrize("error", [NotAllowed("403"), Unavailable("connection refused")])
def test_an_account_that_cannot_be_read_is_asked_once_and_keeps_no_other_letter_from_its_turn(
    world: World, new_protocol: Callable[[], None], error: StorageError
) -> None:
    world.forward(entry_of(tuple_of(1, "X"), tuple_of(2, "X")), entry_of(version=7))
    world.letters.put([DeadLetter(Position(BLOB, 0, 9_000), "unknown", entry_of(tuple_of(5)))])
    new_protocol()
    asked: list[object] = []

    def refuse(blob: BlobRef, start: int, max_bytes: int, etag: str | None) -> Slice:
        asked.append((blob, start, max_bytes, etag))
        raise error

    world.blobs.read = refuse  # type: ignore[method-assign]
    pipeline = replace(world.pipeline, reader=AsksOnce(world.blobs))
    done = [redrive(one, world.letters, pipeline) for one in world.letters.all()]
    stay = [(one.why, one.error) for one in done if not one.is_gone]
    assert stay == [(f"the tuple needs its entry: {error}", error)] * 2
    assert list(world.sent().values()) == ["10.0.0.5"]
    assert len(asked) == 1


def test_a_dry_run_changes_nothing(world: World, new_protocol: Callable[[], None]) -> None:
    world.forward(entry_of(tuple_of(1, "X"), tuple_of(2)))
    new_protocol()
    before = dict(world.letters.stored)
    (done,) = world.redrive(is_dry=True)
    assert (done.records, done.is_gone) == (1, True)
    assert (world.sent(), world.letters.stored) == ({}, before)


def test_one_that_was_written_anew_meanwhile_stays(
    world: World, new_protocol: Callable[[], None]
) -> None:
    world.forward(entry_of(tuple_of(1, "X"), tuple_of(2)))
    new_protocol()
    (name,) = world.letters.stored
    send = world.sink.send

    def send_late(messages: Iterable[Any]) -> int:
        world.letters.put_content(name, world.letters.stored[name][0])
        return send(messages)

    world.sink.send = send_late  # type: ignore[method-assign]
    (stays,) = world.redrive()
    assert (stays.is_gone, stays.why) == (False, "it changed meanwhile: run it again")
    assert name in world.letters.stored


def test_nothing_is_removed_before_the_sink_has_accepted_it(
    world: World, new_protocol: Callable[[], None]
) -> None:
    world.forward(entry_of(tuple_of(1, "X"), tuple_of(2)))
    new_protocol()

    sends_with(world, Unavailable("busy"))
    before = dict(world.letters.stored)
    with pytest.raises(Unavailable):
        world.redrive()
    assert world.letters.stored == before


T = TypeVar("T")


class Killed(BaseException):
    """The process ends."""


class Mortal(MemoryLetters):
    """Ends the process before, or right after, its next call of some number."""

    left = -1
    after = False

    def _die(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed

    def read(self, name: str) -> tuple[bytes, str]:
        return self._call(lambda: MemoryLetters.read(self, name))

    def create(self, letter: DeadLetter) -> None:
        self._call(lambda: MemoryLetters.create(self, letter))

    def replace(self, name: str, letter: DeadLetter, etag: str) -> None:
        self._call(lambda: MemoryLetters.replace(self, name, letter, etag))

    def remove(self, name: str, etag: str) -> None:
        self._call(lambda: MemoryLetters.remove(self, name, etag))

    def _call(self, call: Callable[[], T]) -> T:
        if not self.after:
            self._die()
        found = call()
        if self.after:
            self._die()
        return found


def test_killed_anywhere_and_run_again_each_record_arrives_and_no_letter_is_lost(
    new_protocol: Callable[[], None],
) -> None:
    """Each of its storage calls in turn is the last one of a first run."""
    broken, known = b'{"broken":tru}', entry_of(tuple_of(1), tuple_of(2), version=7)
    many = entry_of(*(tuple_of(n, "X") for n in range(20)), tuple_of(9, "?"))
    single = entry_of(tuple_of(1), tuple_of(2, "X"))
    ordinary = FlowLogGenerator(1).entry("nsg2", Interface.nsg(), BLOB.log.hour, 2).raw
    parts = [broken, known, broken, known, ordinary, many, single]
    before = World()
    before.forward(*parts)
    new_protocol()
    expected: dict[str, Any] = {}
    for after in (False, True):
        for left in range(1, 30):
            world = World()
            world.blobs, world.checkpoints = before.blobs, before.checkpoints
            world.letters = letters = Mortal(world.clock)
            letters.stored = dict(before.letters.stored)
            letters.left, letters.after = left, after
            with suppress(Killed):
                world.redrive()
            was_killed = letters.left <= 0
            letters.left = -1
            world.redrive()
            sent = records_in(world.sink.messages)
            by_id = {record["id"]: record for record in sent}
            expected = expected or by_id
            assert by_id == expected
            assert all(record == by_id[record["id"]] for record in sent)
            if not was_killed:
                assert Counter(record["id"] for record in sent).most_common(1)[0][1] == 1
            rest = sorted(
                (read_letter(content).position.offset, read_letter(content).raw)
                for content, _, _ in letters.stored.values()
            )
            assert [raw for _, raw in rest] == [broken, broken, many]
    assert len(expected) == 4 + 20 + 1
    assert not was_killed
