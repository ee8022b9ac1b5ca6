"""Replay: what was forwarded is sent again, with the same ids and content, and nothing else.

`Model` plays made-up schedules: logs grow, are rewritten, deleted and made anew, the live app
forwards some of it, while a replay goes on, is killed and goes on again. A judge compares what the
replay sent with what the live app sent. The mutants break one rule of the replay each.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import orjson
import pytest
from azure.data.tables import TableServiceClient
from command_line import flowlog
from hypothesis import given
from hypothesis import strategies as st
from support import records_in
from test_cli import Local
from test_cli import local as local  # noqa: PLC0414 - a fixture
from test_operate_backfill import Told, hours
from test_sweep_sweep import LOGS, NOW, World, blob_at

from flowlog_core.blob import BlobRef, Position
from flowlog_core.checkpoints.checkpoint import Progress, checkpoint_key
from flowlog_core.cli.selecting import form_of
from flowlog_core.config.settings import Settings
from flowlog_core.consume import decode
from flowlog_core.errors import FlowlogError, ItemRefused, Unavailable
from flowlog_core.ingest import ingest
from flowlog_core.operate import replay as replaying
from flowlog_core.operate.catch_up import catch_up
from flowlog_core.operate.record_file import RecordFile
from flowlog_core.operate.replay import Replay, ReplayReport, plan_replay, run_replay
from flowlog_core.operate.replay_cursor import BadCursor, CursorFile, ReplayCursor, named_in_errors
from flowlog_core.outcome import Outcome
from flowlog_core.service import Service
from flowlog_core.shape.fields import Fields
from flowlog_core.shape.keep_drop import KeepDrop
from flowlog_core.shape.shaper import Shaper
from flowlog_core.source.reading import Slice, read_appended
from flowlog_core.sweep.cursor import Container
from flowlog_core.testing.generate import FlowLogGenerator, Interface, document
from flowlog_core.testing.memory import MemoryBlobs, MemorySink
from flowlog_core.testing.network_watcher import NetworkWatcherWriter

CHUNK_BYTES = 700  # more than the 256 bytes before an offset that are checked


class Killed(BaseException):
    """The process ends here."""


@dataclass
class Recorder(MemorySink):
    """A sink of a replay that may end its process."""

    kill_after: int = 10**9

    def send(self, messages: Iterable[Any]) -> int:
        count = 0
        for message in messages:
            if len(self.messages) >= self.kill_after:
                raise Killed
            self.messages.append(message)
            count += 1
        return count


def a_replay(world: World, sink: MemorySink, **changes: Any) -> Replay:
    pipeline = replace(world.pipeline, chunk_bytes=CHUNK_BYTES)
    made = Replay(world.blobs, world.checkpoints, pipeline, [LOGS], hours(24), sink)
    return replace(made, **changes)


def begin() -> ReplayCursor:
    return ReplayCursor(NOW - hours(24).until.resolution, NOW)


def run(
    replay: Replay, cursor: ReplayCursor | None = None, saved: list[ReplayCursor] | None = None
) -> ReplayReport:
    save = (saved if saved is not None else []).append
    return run_replay(replay, cursor or begin(), save, Told(), threading.Event())


def sent(sink: MemorySink) -> dict[str, str]:
    return {message.id: message.text for message in sink.messages}


@pytest.fixture
def world() -> World:
    return World()


def grow(world: World, *blobs: BlobRef, times: int = 3) -> None:
    for _ in range(times):
        for blob in blobs:
            world.append(blob)
            ingest(blob, world.pipeline)


# What is sent.


@st.composite
def growing_logs(draw: st.DrawFn) -> list[bytes]:
    """The versions of a log: entries of all formats, some damaged, some with bad tuples."""
    generator = FlowLogGenerator(draw(st.integers(0, 1000)))
    versions, entries = [], list[bytes]()
    for _ in range(draw(st.integers(1, 4))):
        for _ in range(draw(st.integers(1, 3))):
            made = generator.entry(
                "nsg1" if draw(st.booleans()) else "nsg2",
                Interface.nsg(),
                NOW,
                draw(st.integers(0, 40)),
            )
            text = document([made])[12:-2]
            damage = draw(st.sampled_from(["none", "none", "none", "tuple", "cut", "rubbish"]))
            if damage == "tuple" and made.tuples:
                text = text.replace(made.tuples[0].encode(), b"1,2,3", 1)
            elif damage == "cut":
                text = text[: len(text) // 2]
            elif damage == "rubbish":
                text = b'{"time": nonsense}'
            entries.append(text)
        versions.append(b'{"records":[' + b",".join(entries) + b"]}")
    return versions


@given(versions=growing_logs(), final=st.booleans(), chunk_bytes=st.sampled_from([600, 5000]))
def test_the_same_messages_byte_for_byte(
    versions: list[bytes], final: bool, chunk_bytes: int
) -> None:
    world, blob = World(), blob_at(1)
    for content in versions:
        world.blobs.put(blob, content)
        ingest(blob, replace(world.pipeline, chunk_bytes=600), final=final)
    again = MemorySink()
    letters, calls = dict(world.letters.letters), world.checkpoints.calls.copy()
    made = a_replay(world, again)
    report = run(replace(made, pipeline=replace(made.pipeline, chunk_bytes=chunk_bytes)))
    assert sorted(again.messages) == sorted(world.sink.messages)
    assert world.letters.letters == letters
    assert set(world.checkpoints.calls - calls) <= {"get", "between"}
    assert report.is_whole
    assert report.skipped == []


def test_nothing_beyond_the_live_offset_and_nothing_of_what_was_never_forwarded(
    world: World,
) -> None:
    half, never = blob_at(1, 1), blob_at(1, 2)
    grow(world, half)
    world.append(half)  # and not forwarded
    world.append(never)
    again = MemorySink()
    assert plan_replay(a_replay(world, again)).blobs == 1
    report = run(a_replay(world, again))
    assert again.messages == world.sink.messages
    assert (report.cursor.counts.blobs, report.cursor.counts.entries) == (1, 3)


def test_only_the_hours_and_resources_that_were_asked_for(world: World) -> None:
    for ago, number in ((1, 1), (2, 1), (1, 2), (30, 1)):
        grow(world, blob_at(ago, number), times=1)
    again = MemorySink()
    selection = replace(hours(3, 0), resource="web-1-nsg")
    run(a_replay(world, again, selection=selection))
    wanted = tuple(map(digest_of, (blob_at(1, 1), blob_at(2, 1))))
    expected = {one.id for one in world.sink.messages if one.id.startswith(wanted)}
    assert set(sent(again)) == expected
    assert len(again.messages) == 2


def digest_of(blob: BlobRef) -> str:
    return Position(blob).blob_digest


def test_the_present_generation_of_a_rewritten_log_is_sent_under_its_own_ids(world: World) -> None:
    blob, generator = blob_at(1), FlowLogGenerator(8)
    for tuples in (20, 5):
        world.blobs.put(blob, document([generator.entry("nsg2", Interface.nsg(), NOW, tuples)]))
        ingest(blob, world.pipeline)
    again = MemorySink()
    run(a_replay(world, again))
    assert again.messages == world.sink.messages[-1:]
    assert ".1.12.m0.5" in again.messages[0].id


def test_records_go_to_a_file_a_record_a_line(world: World, tmp_path: Path) -> None:
    grow(world, blob_at(1, 1), blob_at(2, 2))
    with (tmp_path / "flows.ndjson").open("wb") as file:
        run(a_replay(world, RecordFile(file, MemorySink())))  # type: ignore[arg-type]

    lines = (tmp_path / "flows.ndjson").read_bytes().splitlines()
    expected = sorted(records_in(world.sink.messages), key=lambda record: record["id"])
    assert sorted(map(orjson.loads, lines), key=lambda record: record["id"]) == expected


@pytest.mark.parametrize("schema", ["flowlog", "ecs"])
def test_rules_fields_and_schema_in_force_shape_what_is_sent_again(
    world: World, schema: str
) -> None:
    fields = Fields.parse("lean" if schema == "flowlog" else "")
    shaper = Shaper(KeepDrop.parse("direction=outbound", ""), fields, schema=schema)
    world.pipeline = replace(world.pipeline, shaper=shaper)
    grow(world, blob_at(1), times=8)
    again = MemorySink()
    run(a_replay(world, again))
    assert again.messages == world.sink.messages
    assert 0 < len(records_in(again.messages)) < 16


def test_the_settings_in_force_are_named() -> None:
    account = "AccountName=x;AccountKey=eA==;" + ";".join(
        f"{kind}Endpoint=http://127.0.0.1:9/x" for kind in ("Blob", "Queue", "Table")
    )
    environment = dict.fromkeys(("FlowLogs", "AzureWebJobsStorage"), account)
    environment |= {"FLOWLOG_KEEP": "action=deny", "FLOWLOG_FIELDS": "lean"}
    form = (
        "FLOWLOG_KEEP=action=deny, FLOWLOG_DROP=(not set), FLOWLOG_FIELDS=lean, "
        "FLOWLOG_AGGREGATE=false, FLOWLOG_SCHEMA=flowlog"
    )
    for sink, expected in (("queue", f"FLOWLOG_QUEUE_ENCODING=gzip, {form}"), ("table", form)):
        settings = Settings.from_environment(environment | {"FLOWLOG_SINK": sink})
        assert form_of(settings) == expected


# What is checked before.


def test_a_rewritten_log_is_named_and_nothing_of_it_is_sent(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    good, rewritten, deleted, archived = (blob_at(1, number) for number in (1, 2, 3, 4))
    grow(world, good, rewritten, deleted, archived)
    size = world.blobs.blob_bytes(rewritten)
    world.blobs.put(rewritten, b" " * size * 2)
    world.blobs.delete(deleted)
    world.blobs.archive(archived)
    again = MemorySink()
    report = run(a_replay(world, again))
    assert set(sent(again)) == {
        message.id for message in world.sink.messages if message.id.startswith(digest_of(good))
    }
    assert [one.blob for one in report.skipped] == [rewritten, archived]
    assert f"{rewritten} holds other bytes before its offset " in caplog.text
    assert caplog.text.count("; nothing more of it is sent again") == 2
    assert (report.is_whole, report.cursor.counts.skipped) == (True, 2)


def test_a_log_that_was_deleted_and_made_anew_is_not_sent_though_its_bytes_are_the_same(
    world: World,
) -> None:
    blob = blob_at(1)
    grow(world, blob)
    content = world.blobs.read(blob, 0, 10**9, None).data
    world.blobs.delete(blob)
    world.clock.sleep(60)
    world.blobs.put(blob, content)
    again = MemorySink()
    report = run(a_replay(world, again))
    assert again.messages == []
    assert "was created at" in report.skipped[0].reason


class Meddling(MemoryBlobs):
    """Blobs to which something happens before some read."""

    def __init__(self, world: World) -> None:
        self.__dict__ = world.blobs.__dict__
        self.before_read: dict[int, Callable[[], None]] = {}
        self.reads = 0

    def read(self, blob: BlobRef, start: int, max_bytes: int, etag: str | None) -> Slice:
        self.reads += 1
        self.before_read.pop(self.reads, lambda: None)()
        return super().read(blob, start, max_bytes, etag)


def test_a_log_that_grows_meanwhile_is_checked_again_and_sent_up_to_the_first_offset(
    world: World,
) -> None:
    blob = blob_at(1)
    grow(world, blob, times=6)
    expected = list(world.sink.messages)
    again, blobs = MemorySink(), Meddling(world)

    def grows() -> None:
        world.append(blob)
        ingest(blob, world.pipeline)

    blobs.before_read = {2: grows, 4: grows}
    made = a_replay(world, again)
    report = run(replace(made, pipeline=replace(made.pipeline, reader=blobs)))
    assert again.messages == expected
    assert (report.is_whole, blobs.before_read) == (True, {})


@pytest.mark.parametrize("is_noticed", [False, True])
def test_a_log_that_is_rewritten_meanwhile_is_left_at_once(world: World, is_noticed: bool) -> None:
    blob = blob_at(1)
    grow(world, blob, times=6)
    forwarded = sent(world.sink)
    again, blobs = MemorySink(), Meddling(world)
    size = world.blobs.blob_bytes(blob)

    def rewritten() -> None:
        entry = FlowLogGenerator(77).entry("nsg2", Interface.nsg(), NOW, 90)
        world.blobs.put(blob, document([entry]))
        assert world.blobs.blob_bytes(blob) > size
        if is_noticed:  # by the live app, which goes on with a new generation
            ingest(blob, world.pipeline)

    blobs.before_read = {4: rewritten}
    made = a_replay(world, again)
    report = run(replace(made, pipeline=replace(made.pipeline, reader=blobs)))
    assert [one.blob for one in report.skipped] == [blob]
    assert sent(again).items() < forwarded.items()


def test_an_entry_that_the_service_refuses_is_passed_over_and_named(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    grow(world, blob_at(1), blob_at(2), times=4)
    refused = {world.sink.messages[at].id.rpartition(".m")[0] for at in (1, 2, 5)}

    class Refusing(MemorySink):
        def send(self, messages: Iterable[Any]) -> int:
            count = 0
            for message in messages:
                entry_id = message.id.rpartition(".m")[0]
                if entry_id in refused:
                    raise ItemRefused("413 RequestBodyTooLarge", entry_id)
                self.messages.append(message)
                count += 1
            return count

    again = Refusing()
    made = a_replay(world, again)
    report = run(replace(made, pipeline=replace(made.pipeline, chunk_bytes=100_000)))
    assert report.is_whole
    assert sent(again) == {
        name: text
        for name, text in sent(world.sink).items()
        if name.rpartition(".m")[0] not in refused
    }
    assert caplog.text.count("this entry is not sent again") == 3


# The cursor.


def test_it_goes_on_after_a_kill_and_sends_little_twice(world: World, tmp_path: Path) -> None:
    blobs = [blob_at(ago, ago) for ago in range(1, 5)]
    grow(world, *blobs, times=5)
    file = CursorFile(tmp_path / "state" / "cursor.json")
    runs, again = 0, list[Any]()
    while True:
        sink = Recorder(kill_after=7)
        try:
            report = run_replay(
                a_replay(world, sink), file.load() or begin(), file.save, Told(), threading.Event()
            )
        except Killed:
            runs += 1
            again += sink.messages
            continue
        again += sink.messages
        break
    assert runs >= 2
    assert {message.id: message.text for message in again} == sent(world.sink)
    assert len(again) <= len(world.sink.messages) + 2 * runs
    assert report.is_whole
    assert report.cursor.counts.entries == 20
    assert report.cursor.counts.blobs == 4


def test_it_is_stopped_within_a_log_and_goes_on(world: World) -> None:
    grow(world, blob_at(1), blob_at(2), times=8)
    again, saved = MemorySink(), list[ReplayCursor]()
    stop = threading.Event()

    def save(cursor: ReplayCursor) -> None:
        saved.append(cursor)
        stop.set()

    cursor, rounds = begin(), 0
    while True:
        stop.clear()
        report = run_replay(a_replay(world, again), cursor, save, Told(), stop)
        rounds, cursor = rounds + 1, report.cursor
        if report.is_whole:
            break
        assert cursor == saved[-1]
    assert rounds > 2
    assert sorted(again.messages) == sorted(world.sink.messages)  # each once


def test_a_cursor_is_stored_whole_and_read_back(tmp_path: Path) -> None:
    file = CursorFile(tmp_path / "new" / "cursor.json")
    assert file.load() is None
    progress = Progress(12, "ab", 64, NOW, 3, blob_last_modified=NOW)
    cursor = replace(begin(), form="x", output_bytes=7).within(blob_at(1), progress, Outcome())
    for one in (begin(), cursor, cursor.past(blob_at(1)), cursor.past(blob_at(2), is_skipped=True)):
        file.save(one)
        assert file.load() == one
    file.path.write_bytes(b'{"format":"flowlog-replay/2"}')
    with pytest.raises(BadCursor, match="is not the cursor of a replay"):
        file.load()
    file.remove()
    file.remove()
    assert file.load() is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_told_with_the_file_that_it_holds(tmp_path: Path) -> None:
    file = CursorFile(tmp_path / "cursor.json")
    (tmp_path / "cursor.json.new").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as raised:
        file.save(begin())
    assert raised.value.filename == str(tmp_path / "cursor.json.new")
    with (
        pytest.raises(OSError, match="No space left") as raised,
        named_in_errors(Path("/dev/full")),
        Path("/dev/full").open("wb") as out,
    ):
        RecordFile(out, MemorySink()).send([b"{}"])
    assert raised.value.filename == "/dev/full"


def test_two_runs_of_one_replay_exclude_each_other(tmp_path: Path) -> None:
    file = CursorFile(tmp_path / "cursor.json")
    with (
        file.locked(),
        pytest.raises(BadCursor, match="the same replay is running"),
        file.locked(),
    ):
        pass
    with file.locked():
        pass


def test_a_fault_of_storage_ends_it_and_the_cursor_is_where_to_go_on(world: World) -> None:
    grow(world, blob_at(1), times=6)
    saved = list[ReplayCursor]()
    blobs, again = Meddling(world), MemorySink()

    def fails() -> None:
        raise Unavailable("busy")

    blobs.before_read = {4: fails}
    made = a_replay(world, again)
    broken = replace(made, pipeline=replace(made.pipeline, reader=blobs))
    with pytest.raises(Unavailable):
        run(broken, saved=saved)
    assert run(broken, saved[-1]).is_whole
    assert sorted(again.messages) == sorted(world.sink.messages)


# The model, its judge and its mutants.


@dataclass
class Model:
    """One made-up schedule."""

    seed: int
    world: World = field(default_factory=World)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.blobs = [blob_at(1, number) for number in (1, 2)]
        self.generator = FlowLogGenerator(self.seed)
        self.contents: dict[BlobRef, list[bytes]] = {blob: [] for blob in self.blobs}
        self.live_pipeline = replace(self.world.pipeline, chunk_bytes=CHUNK_BYTES)
        self.again = MemorySink()

    def play(self) -> None:
        """Raises AssertionError where the replay broke a promise."""
        for _ in range(self.random.randint(2, 10)):
            self.something_happens()
        blobs = Meddling(self.world)
        cursor: ReplayCursor | None = None
        for _ in range(6):  # the last run is left alone
            sink = Recorder(kill_after=self.random.choice([1, 2, 4, 10**9]))
            if self.random.random() < 0.3:
                sink.kill_after = 10**9
            happens_at = {self.random.randint(1, 12) for _ in range(self.random.randint(0, 3))}
            blobs.reads = 0
            blobs.before_read = dict.fromkeys(happens_at, self.disturb)
            made = a_replay(self.world, sink)
            made = replace(made, pipeline=replace(made.pipeline, reader=blobs))
            saved = [cursor or begin()]
            writes = self.writes()
            try:
                report = run_replay(made, saved[0], saved.append, Told(), threading.Event())
            except Killed:
                report = None
            except FlowlogError:
                report = None
            finally:
                self.again.messages += sink.messages
            assert self.writes() - writes == self.own_writes, "a live checkpoint was written"
            self.own_writes = 0
            self.judge()
            cursor = None if report and report.is_whole else saved[-1]
        self.judge_whole()

    own_writes: int = 0

    def writes(self) -> int:
        calls = self.world.checkpoints.calls
        return calls["create"] + calls["replace"] + calls["remove"]

    def disturb(self) -> None:
        before = self.writes()
        self.something_happens()
        self.own_writes += self.writes() - before

    def something_happens(self) -> None:
        blob, what = self.random.choice(self.blobs), self.random.random()
        if what < 0.45:
            self.contents[blob] += [self.entry()]
        elif what < 0.55:  # rewritten, and as long or longer
            count = len(self.contents[blob]) + self.random.randint(0, 1)
            self.contents[blob] = [self.entry() for _ in range(count)]
        elif what < 0.62 and self.world.blobs.etag_of(blob):
            self.world.blobs.delete(blob)  # and made anew, with other bytes or another beginning
            self.world.clock.sleep(5)
            if self.random.random() < 0.5:
                self.contents[blob] = [self.entry() for _ in self.contents[blob]]
            else:
                first, *others = self.contents[blob]
                self.contents[blob] = [first.replace(b",O,", b",I,", 1), *others]
        if what < 0.62 and self.contents[blob]:
            whole = b'{"records":[' + b",".join(self.contents[blob]) + b"]}"
            self.world.blobs.put(blob, whole)
        elif self.world.blobs.etag_of(blob):
            ingest(blob, self.live_pipeline)

    def entry(self) -> bytes:
        made = self.generator.entry("nsg2", Interface.nsg(), NOW, self.random.randint(1, 4))
        return document([made])[12:-2]

    def judge(self) -> None:
        """All that was sent again was sent before, with that id and content."""
        live = sent(self.world.sink)
        for message in self.again.messages:
            assert live.get(message.id) == message.text, f"{message.id} was never sent so"

    def judge_whole(self) -> None:
        """An undisturbed replay sends all that the live checkpoints know of, if it is there.

        However often it is killed.
        """
        sink, saved = MemorySink(), [begin()]
        report: ReplayReport | None = None
        while report is None:
            mine = Recorder(kill_after=self.random.randint(3, 6))
            with suppress(Killed):
                report = run_replay(
                    a_replay(self.world, mine), saved[-1], saved.append, Told(), threading.Event()
                )
            sink.messages += mine.messages
        assert report.is_whole
        # A run that was killed had skipped some too: which, a last one tells.
        skipped = {one.blob for one in run(a_replay(self.world, MemorySink())).skipped}
        expected = set()
        for blob in set(self.world.blobs.versions()) - skipped:
            checkpoint = self.world.checkpoints.get(checkpoint_key(blob)).checkpoint
            if checkpoint is not None:
                start = f"{digest_of(blob)}.{checkpoint.progress.generation}."
                expected |= {
                    one.id
                    for one in self.world.sink.messages
                    if one.id.startswith(start)
                    and int(one.id.split(".")[2]) < checkpoint.progress.offset
                }
        assert set(sent(sink)) == expected, "the whole of it was not sent again"


def test_the_model_finds_nothing() -> None:
    for seed in range(150):
        Model(seed).play()


def _pin_without(check: str) -> Callable[..., Any]:
    real = replaying._Run._pin

    def pin(run: Any, blob: BlobRef, before: Progress | None) -> Any:
        if check == "second look":
            if before is not None:
                part = run._pipeline.reader.read(blob, 0, 1, None)
                return replaying.Pinned(before, part.etag)
            return real(run, blob, before)
        checkpoint = run._replay.checkpoints.get(checkpoint_key(blob)).checkpoint
        live = before or checkpoint.progress
        if check == "seam":
            part = run._pipeline.reader.read(blob, 0, 1, None)
            return replaying.Pinned(live, part.etag)
        if check == "creation time":
            live = replace(live, blob_created=None)
        shown = next(read_appended(run._pipeline.reader, blob, live, 4096))
        return replaying.Pinned(before or checkpoint.progress, shown.etag)

    return pin


def _any_version(reader: Any, blob: BlobRef, start: int, max_bytes: int, _etag: Any) -> Slice:
    part: Slice = reader._reader.read(blob, start, min(max_bytes, reader._end - start), None)
    return part._replace(blob_bytes=reader._end)


def _to_the_end(reader: Any, blob: BlobRef, start: int, max_bytes: int, _etag: Any) -> Slice:
    part: Slice = reader._reader.read(blob, start, max_bytes, reader._etag)
    return part


def _past_what_it_began(cursor: ReplayCursor, blob: BlobRef, *_args: Any) -> ReplayCursor:
    return cursor.past(blob)


def _commits(run: Any, cursor: ReplayCursor) -> None:
    run._save(cursor)
    run._report.cursor = cursor
    if cursor.blob:
        blob = BlobRef.parse(cursor.blob)
        assert blob is not None
        key = checkpoint_key(blob)
        answer = run._replay.checkpoints.get(key)
        if answer.checkpoint is not None:
            now = replace(answer.checkpoint, progress=cursor.progress)
            run._replay.checkpoints.replace(key, now, answer.etag)


MUTANTS: dict[str, tuple[object, str, Any]] = {
    "sends without a check": (replaying._Run, "_pin", _pin_without("seam")),
    "does not check when the blob was created": (
        replaying._Run, "_pin", _pin_without("creation time"),
    ),
    "does not check again when the log has changed": (
        replaying._Run, "_pin", _pin_without("second look"),
    ),
    "reads whatever version is there": (replaying.ReaderUpTo, "read", _any_version),
    "sends what lies beyond the live offset": (replaying.ReaderUpTo, "read", _to_the_end),
    "writes a live checkpoint": (replaying._Run, "_move", _commits),
    "goes on behind a log that it had only begun": (ReplayCursor, "within", _past_what_it_began),
}  # fmt: skip


@contextmanager
def built_in(name: str) -> Iterator[None]:
    owner, attribute, replacement = MUTANTS[name]
    with ExitStack() as stack:
        stack.enter_context(patch.object(owner, attribute, replacement))
        yield


@pytest.mark.parametrize("name", MUTANTS)
def test_the_model_catches_every_mutant(name: str) -> None:
    with built_in(name):
        for seed in range(600):
            try:
                Model(seed).play()
            except AssertionError:
                return
    pytest.fail(f"no schedule showed that a replay {name}")


def test_containers_are_gone_through_one_after_the_other(world: World) -> None:
    other = Container("account", "another")
    grow(world, blob_at(1, 1), blob_at(1, 2, container=other), blob_at(2, 3), times=2)
    again = MemorySink()
    made = a_replay(world, again, containers=[LOGS, other])
    saved = list[ReplayCursor]()
    run(made, saved=saved)
    assert sorted(again.messages) == sorted(world.sink.messages)
    for cursor in saved:
        again.messages.clear()
        assert run(made, cursor).cursor.counts == saved[-1].counts


# The command, on Azurite.


SPAN = ("--since", "2026-01-01T07", "--until", "2026-01-01T12")

KILLED_AT_THE_FIFTH_CURSOR = """
import os, signal, sys
from flowlog_core.cli import main
from flowlog_core.operate.replay_cursor import CursorFile
save, count = CursorFile.save, 0
def save_or_die(self, cursor):
    global count
    count += 1
    if count == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    save(self, cursor)
CursorFile.save = save_or_die
sys.exit(main(sys.argv[1:]))
"""


def forwarded_logs(local: Local) -> list[str]:
    """Four hours of logs, all forwarded; returns the records, as they were sent."""
    generator = FlowLogGenerator(4)
    for hour in range(7, 11):
        start = datetime(2026, 1, 1, hour, tzinfo=UTC)
        blob = local.container.get_blob_client(Interface.nsg(7).blob_name(start))
        writer = NetworkWatcherWriter(blob)
        for _ in range(2):
            writer.append(generator.entry("nsg2", Interface.nsg(7), start, 8))
    service = Service(Settings.from_environment(local.environment))
    catch_up(service, threading.Event())
    service.close()
    return taken(local)


def taken(local: Local) -> list[str]:
    """The records in the queue, a line each, which are taken from it."""
    lines = []
    for message in local.queue.receive_messages(messages_per_page=32):
        lines += [orjson.dumps(record).decode() for record in decode(message.content).records]
        local.queue.delete_message(message)
    return sorted(lines)


def killed(local: Local, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED_AT_THE_FIFTH_CURSOR, "replay", *SPAN, *arguments],
        env={**os.environ, **local.environment},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL


def checkpoints_of(local: Local) -> list[tuple[str, str]]:
    table = TableServiceClient.from_connection_string(local.environment["FlowLogs"])
    client = table.get_table_client(local.environment["FLOWLOG_CHECKPOINT_TABLE"])
    return sorted((str(one["RowKey"]), str(one.metadata["etag"])) for one in client.list_entities())


def test_the_command_sends_again_to_the_queue_though_it_is_killed(
    local: Local, tmp_path: Path
) -> None:
    local.environment["XDG_STATE_HOME"] = str(tmp_path)
    records, before = forwarded_logs(local), checkpoints_of(local)
    code, out, err = flowlog("replay", *SPAN, "--to", "queue", environment=local.environment)
    assert (code, out) == (2, "")
    assert "Use --yes" in err
    killed(local, "--to", "queue", "--yes")
    code, out, err = flowlog(
        "replay", *SPAN, "--to", "queue", "--yes", environment=local.environment
    )
    told = err.splitlines()
    assert (code, out) == (0, "")
    assert told[0].startswith("Continuing where an earlier run ended, after ")
    assert told[1].startswith("4 blobs with ")
    assert told[1].endswith(
        " that were forwarded in the hours from 2026-01-01T07 to 2026-01-01T11 (UTC), to queue "
        f"{local.queue_name}."
    )
    assert told[2].startswith("With these settings: FLOWLOG_QUEUE_ENCODING=gzip")
    assert told[3] == "Sent again: 4 blobs, 8 entries, 64 records, 8 messages."
    again = taken(local)
    assert sorted(set(again)) == records
    assert len(again) <= len(records) + 16  # what was sent between the last cursor and the kill
    assert checkpoints_of(local) == before
    assert list(tmp_path.rglob("*.json")) == []


def test_the_command_writes_a_file_that_has_each_record_once_though_it_is_killed(
    local: Local, tmp_path: Path
) -> None:
    records, file = forwarded_logs(local), tmp_path / "flows.ndjson"
    cursor = ("--cursor", str(tmp_path / "cursor.json"), "--to", str(file))
    killed(local, *cursor)
    assert file.stat().st_size
    assert flowlog("replay", "-q", *SPAN, *cursor, environment=local.environment) == (0, "", "")
    assert sorted(file.read_text().splitlines()) == records
    code, _, err = flowlog("replay", *SPAN, *cursor, environment=local.environment)
    assert (code, f"{file} exists already. Name another file" in err) == (2, True)
    code, out, err = flowlog(
        "replay", "-q", *SPAN, "--to", "-", "--resource", "web-7-nsg", environment=local.environment
    )
    assert (code, sorted(out.splitlines()), err) == (0, records, "")
    nothing = ("--resource", "web-8-nsg", "--to", "-")
    code, out, err = flowlog("replay", *SPAN, *nothing, environment=local.environment)
    assert (code, out) == (0, "")
    assert err.startswith("No such flow logs in the hours from 2026-01-01T07 to ")
    rewritten = local.container.get_blob_client(
        Interface.nsg(7).blob_name(datetime(2026, 1, 1, 8, tzinfo=UTC))
    )
    rewritten.upload_blob(b" " * 20_000, overwrite=True)
    code, out, err = flowlog("replay", *SPAN, "--to", "-", environment=local.environment)
    assert (code, len(out.splitlines())) == (1, 48)
    assert "; nothing more of it is sent again\n" in err
    assert "1 log could not be sent again, named above" in err


def test_a_cursor_of_another_encoding_is_not_gone_on_from(local: Local, tmp_path: Path) -> None:
    forwarded_logs(local)
    arguments = ("--cursor", str(tmp_path / "cursor.json"), "--to", "queue", "--yes")
    killed(local, *arguments)
    changed = local.environment | {"FLOWLOG_QUEUE_ENCODING": "json"}
    code, _, err = flowlog("replay", *SPAN, *arguments, environment=changed)
    assert code == 2
    assert "this replay began with FLOWLOG_QUEUE_ENCODING=gzip" in err
    code, _, err = flowlog("replay", "--restart", *SPAN, *arguments, environment=changed)
    assert (code, err.splitlines()[-1]) == (
        0,
        "Sent again: 4 blobs, 8 entries, 64 records, 8 messages.",
    )
