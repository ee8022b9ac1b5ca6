"""Backfill: what was never forwarded in a range, through the live checkpoints, at any moment."""

from __future__ import annotations

import io
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest
from command_line import flowlog
from test_cli import Local
from test_cli import local as local  # noqa: PLC0414 - a fixture
from test_cli_options import Terminal
from test_sweep_sweep import HOUR, LOGS, NOW, World, blob_at

from flowlog_core.blob import BlobRef
from flowlog_core.checkpoints.checkpoint import checkpoint_key
from flowlog_core.checkpoints.claim import take_or_ring
from flowlog_core.cli.progress import TransferProgress
from flowlog_core.cli.terminal import ProgressLine
from flowlog_core.consume import decode
from flowlog_core.ingest import ingest
from flowlog_core.operate.backfill import Plan, backfill, forecast, plan
from flowlog_core.operate.live import Live
from flowlog_core.operate.selection import LogSelection
from flowlog_core.parallel import Parallel
from flowlog_core.sweep.cursor import Container
from flowlog_core.testing.generate import FlowLogGenerator, Interface, document
from flowlog_core.testing.network_watcher import NetworkWatcherWriter


@dataclass
class Told:
    """Progress that is counted."""

    bytes_read: int = 0
    blobs: int = 0
    at_each: Callable[[], None] = field(default=lambda: None)

    def read(self, count: int) -> None:
        self.bytes_read += count

    def done(self) -> None:
        self.blobs += 1
        self.at_each()


@pytest.fixture
def world() -> World:
    return World()


def live(world: World, *containers: Container) -> Live:
    def one_by_one(items, do):  # type: ignore[no-untyped-def]
        return sum(1 for item in items if [do(item)])

    return Live(world.blobs, world.pipeline, world.cursors, containers or (LOGS,), one_by_one)


def hours(since_hours_ago: float, until_hours_ago: float = -1) -> LogSelection:
    return LogSelection(NOW - since_hours_ago * HOUR, NOW - until_hours_ago * HOUR)


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        # NOW is on the hour.
        (hours(3, 1), [3, 2]),
        (hours(2.5, 0.5), [3, 2, 1]),
        (hours(1), [1, 0]),
        (hours(3, 2.5), [3]),
    ],
)
def test_whole_hours_from_that_of_since_that_begin_before_until(
    world: World, selection: LogSelection, expected: list[int]
) -> None:
    for ago in range(6):
        world.append(blob_at(ago))
    backfill(live(world), selection, Told(), threading.Event())
    forwarded = {blob for blob in world.written if world.blobs.calls and is_forwarded(world, blob)}
    assert forwarded == {blob_at(ago) for ago in expected}


def is_forwarded(world: World, blob: BlobRef) -> bool:
    return world.checkpoints.get(checkpoint_key(blob)).checkpoint is not None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [1, 2, 11]),
        ({"resource": "web-1-nsg"}, [1]),
        ({"resource": "WEB-1"}, [1, 11]),
        ({"resource": "web-?-nsg"}, [1, 2]),
        ({"resource": "*/NETWORKSECURITYGROUPS/web-1*"}, [1, 11]),
        ({"resource": "web"}, [1, 2, 11]),
        ({"resource": "eb-1-nsg*"}, []),
        ({"mac": "00-22-48-00-00-02"}, [2]),
        ({"accounts": frozenset(["account"])}, [1, 2, 11]),
        ({"accounts": frozenset(["other"])}, []),
    ],
)
def test_resources_interfaces_and_sources_are_selected(
    world: World, changes: dict[str, object], expected: list[int]
) -> None:
    for number in (1, 2, 11):
        world.append(blob_at(1, number))
    selection = replace(hours(2), **changes)  # type: ignore[arg-type]
    backfill(live(world), selection, Told(), threading.Event())
    found = [number for number in (1, 2, 11) if is_forwarded(world, blob_at(1, number))]
    assert found == expected


def test_only_what_was_never_forwarded_is_sent_and_the_live_app_goes_on_from_there(
    world: World,
) -> None:
    done, half, new = blob_at(30, 1), blob_at(40, 2), blob_at(50, 3)
    for blob in (done, half, new):
        world.append(blob)
    ingest(done, world.pipeline)
    ingest(half, world.pipeline)
    world.append(half)
    told = Told()
    assert plan(live(world), hours(60), NOW).blobs == 2
    report = backfill(live(world), hours(60), told, threading.Event())
    assert (report.behind, report.forwarded, report.records, told.blobs) == (2, 2, 4, 2)
    world.append(new)
    ingest(new, world.pipeline)
    everything = sorted(text for texts in world.written.values() for text in texts)
    assert sorted(world.received()) == everything
    assert plan(live(world), hours(60), NOW) == Plan(logs=3)
    assert backfill(live(world), hours(60), told, threading.Event()).behind == 0


def test_what_the_live_app_is_working_on_is_left_to_it(world: World) -> None:
    world.append(blob_at(1))
    blob = blob_at(1)
    store = world.checkpoints
    claim = take_or_ring(store, checkpoint_key(blob), str(blob), "live", 180, world.clock)
    assert claim is not None
    report = backfill(live(world), hours(2), Told(), threading.Event())
    assert (report.left_to_others, report.forwarded, world.received()) == (1, 0, [])


def test_it_is_stopped_and_goes_on_and_sends_each_tuple_once(world: World) -> None:
    for ago in range(12):
        world.append(blob_at(ago))
    for expected in (5, 10, 12):
        stop = threading.Event()
        told = Told()

        def stop_after_five(stop: threading.Event = stop, told: Told = told) -> None:
            if told.blobs == 5:
                stop.set()

        told.at_each = stop_after_five
        backfill(live(world), hours(20), told, stop)
        assert len([blob for blob in world.written if is_forwarded(world, blob)]) == expected
    everything = sorted(text for texts in world.written.values() for text in texts)
    assert sorted(world.received()) == everything


def test_a_dry_run_tells_what_is_then_sent_and_sends_nothing(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Within 2 percent is what is promised; as it reads what is there, it is exact."""
    generator = FlowLogGenerator(3)
    for number, tuples in enumerate((1, 30, 400, 2500), start=1):
        blob = blob_at(number, number)
        entries = [
            generator.entry(log_format, Interface.nsg(number), blob.log.hour, tuples)
            for log_format in ("nsg1", "nsg2")
        ]
        world.blobs.put(blob, document(entries[:1]))
        if number == 2:  # half of it is forwarded already
            ingest(blob, world.pipeline)
        world.blobs.put(blob, document(entries))
    damaged = blob_at(9, 9)
    world.blobs.put(damaged, document([generator.entry("nsg2", Interface.nsg(9), NOW, 3)])[:-40])
    sent_before, calls = len(world.sink.messages), world.checkpoints.calls.copy()
    told = Told()
    counted = forecast(live(world), hours(10), told, threading.Event())
    assert len(world.sink.messages) == sent_before
    assert world.letters.letters == {}
    assert "dead letter" not in caplog.text  # none was made
    assert {
        name for name in world.checkpoints.calls if world.checkpoints.calls[name] > calls[name]
    } == {"forwarded", "between"}
    expected_plan = plan(live(world), hours(10), NOW)
    assert (counted.blobs, told.blobs) == (expected_plan.blobs, 5) == (5, 5)
    report = backfill(live(world), hours(10), Told(), threading.Event())
    sent = len(world.sink.messages) - sent_before
    assert (counted.messages, counted.records) == (sent, report.records)
    assert (counted.new_bytes, counted.dead_letters) == (report.new_bytes, report.dead_letters)
    assert report.dead_letters == 1
    assert sum(len(decode(one.text).records) for one in world.sink.messages[sent_before:]) == (
        counted.records
    )
    assert expected_plan.behind_bytes == counted.new_bytes


def test_a_dry_run_counts_a_rewritten_log_from_its_beginning(world: World) -> None:
    blob, generator = blob_at(1), FlowLogGenerator(5)
    for tuples in (9, 4):
        entries = [generator.entry("nsg2", Interface.nsg(), NOW, tuples)]
        world.blobs.put(blob, document(entries))
        if tuples == 9:
            ingest(blob, world.pipeline)
    counted = forecast(live(world), hours(2), Told(), threading.Event())
    assert counted.records == 4
    assert backfill(live(world), hours(2), Told(), threading.Event()).records == 4


def test_archived_logs_are_counted_and_not_read(world: World) -> None:
    for number in (1, 2):
        world.append(blob_at(1, number))
    world.blobs.archive(blob_at(1, 2))
    found = plan(live(world), hours(2), NOW)
    assert (found.blobs, found.archived) == (1, 1)
    assert forecast(live(world), hours(2), Told(), threading.Event()).blobs == 1
    report = backfill(live(world), hours(2), Told(), threading.Event())
    assert (report.forwarded, report.archived, report.failed) == (1, 1, 0)


def test_the_line_of_progress_has_blobs_bytes_rate_and_time_left() -> None:
    now_s = 100.0
    progress = TransferProgress(ProgressLine(), 300, 3_000_000, clock=lambda: now_s)
    assert progress.text() == "░░░░░░░░░░░░░░░░   0%  0 of 300 blobs  0 bytes of 3.0 MB"
    progress.read(750_000)
    progress.done()
    now_s = 105.0
    assert progress.text() == (
        "████░░░░░░░░░░░░  25%  1 of 300 blobs  750 kB of 3.0 MB  150 kB/s  15 s left"
    )
    progress.read(9_000_000)
    assert progress.text().startswith("████████████████ 100%  ")


def test_progress_is_shown_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for out, is_shown in ((Terminal(), True), (io.StringIO(), False)):
        TransferProgress(ProgressLine(out=out), 1, 10).read(5)
        assert bool(out.getvalue()) is is_shown


def test_the_command_on_azurite(local: Local) -> None:
    generator = FlowLogGenerator(4)
    written: list[str] = []
    first = datetime.fromisoformat("2026-01-01T07:00:00Z")
    for ahead in range(4):
        hour = first + timedelta(hours=ahead)
        blob = local.container.get_blob_client(Interface.nsg(7).blob_name(hour))
        writer = NetworkWatcherWriter(blob)
        for _ in range(2):
            writer.append(generator.entry("nsg2", Interface.nsg(7), hour, 8))
        if ahead in (1, 2):
            written += writer.written
    span = ("--since", "2026-01-01T08", "--until", "2026-01-01T10", "--source", "flowlogs")
    code, out, err = flowlog("backfill", *span, "--dry-run", environment=local.environment)
    size = re.search(r" ([0-9.]+ kB): ", out)
    assert size is not None
    assert (code, out) == (
        0,
        f"Would forward 2 blobs, {size[1]}: 32 tuples in 4 messages. Nothing was sent.\n",
    )
    assert err == (
        f"2 blobs with {size[1]} not forwarded in the hours from 2026-01-01T08 to 2026-01-01T09 "
        "(UTC).\n"
    )
    code, out, err = flowlog("backfill", *span, environment=local.environment)
    assert (code, out) == (0, "")
    assert err.splitlines()[-1].startswith(
        "2 blobs looked at, 2 forwarded: 4 entries, 32 records, "
    )
    _, out, _ = flowlog("tail", "-q", "--once", environment=local.environment)
    ids = [json.loads(line)["id"] for line in out.splitlines()]
    assert len(ids) == len(set(ids)) == len(written) == 32
    code, _, err = flowlog("backfill", *span, environment=local.environment)
    assert (code, err) == (
        0,
        "Nothing is behind in the hours from 2026-01-01T08 to 2026-01-01T09 (UTC).\n",
    )
    code, _, err = flowlog("backfill", *span, "--resource", "typo", environment=local.environment)
    assert (code, err) == (
        0,
        "No such flow logs in the hours from 2026-01-01T08 to 2026-01-01T09 (UTC).\n",
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "--since is required: --since 2026-01-31T09, or --since 24h"),
        (
            ("--since", "2026-01-02", "--until", "2026-01-01"),
            "--until 2026-01-01T00:00 is not after --since 2026-01-02T00:00",
        ),
        (
            ("--since", "2026-01-02", "--source", "Other"),
            "there is no source 'Other'. There are: FlowLogs (x)",
        ),
    ],
)
def test_wrong_usage_is_named(arguments: tuple[str, ...], told: str) -> None:
    account = dict.fromkeys(("FlowLogs", "AzureWebJobsStorage"), "AccountName=x;AccountKey=eA==;"
                            "BlobEndpoint=http://127.0.0.1:9/x;QueueEndpoint=http://127.0.0.1:9/x;"
                            "TableEndpoint=http://127.0.0.1:9/x")  # fmt: skip
    code, out, err = flowlog("backfill", *arguments, environment=account)
    assert (code, out, err) == (2, "", f"flowlog backfill: {told}\n")


def test_two_workers_share_the_work(world: World) -> None:
    for ago in range(8):
        world.append(blob_at(ago))
    parallel = Parallel(2)
    try:
        backfill(replace(live(world), parallel=parallel), hours(20), Told(), threading.Event())
    finally:
        parallel.close()
    everything = sorted(text for texts in world.written.values() for text in texts)
    assert sorted(world.received()) == everything
