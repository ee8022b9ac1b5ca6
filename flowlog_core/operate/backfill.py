"""Forwards what was never forwarded in a range of hours, through the live checkpoints.

It is the sweep's own pass over that range, so it may run beside the live app, be stopped and be
started again at any moment.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from flowlog_core.blob import BlobRef
from flowlog_core.checkpoints.checkpoint import Checkpoint, Progress
from flowlog_core.errors import Archived, BlobDeleted, BlobGrew, BlobRewritten
from flowlog_core.ingest import begin_anew
from flowlog_core.operate.catch_up import CatchUp
from flowlog_core.operate.live import Live
from flowlog_core.operate.progressing import Progressing
from flowlog_core.operate.selection import LogSelection, selected_logs
from flowlog_core.operate.unclaimed import (
    CountingReader,
    CountingSink,
    NoDeadLetters,
    forward_unclaimed,
)
from flowlog_core.outcome import Failed, Observers, Outcome
from flowlog_core.pipeline import Pipeline
from flowlog_core.source.listing import Listed
from flowlog_core.sweep.behind import SETTLED_AFTER, behind_with_checkpoints, bytes_behind
from flowlog_core.sweep.options import SweepOptions
from flowlog_core.sweep.report import SweepReport


@dataclass(slots=True)
class Plan:
    """What is behind in a range."""

    logs: int = 0
    """All of the range."""
    blobs: int = 0
    behind_bytes: int = 0
    """Of those that can be read."""
    archived: int = 0
    """Behind, but in the archive tier: they are left out."""


@dataclass(slots=True)
class Forecast:
    """What forwarding all that is behind would send, counted by reading it."""

    blobs: int = 0
    new_bytes: int = 0
    records: int = 0
    messages: int = 0
    dead_letters: int = 0
    dropped: int = 0
    """Tuples that the rules drop."""

    def add(self, outcome: Outcome) -> None:
        """Count a part of a blob."""
        self.new_bytes += outcome.new_bytes
        self.records += outcome.records
        self.messages += outcome.messages
        self.dead_letters += outcome.dead_letters
        self.dropped += outcome.dropped


def logs_behind(
    live: Live,
    selection: LogSelection,
    now: datetime,
    seen: Callable[[int], None] = lambda _: None,
) -> Iterator[tuple[Listed, Checkpoint | None]]:
    """The logs of the selection that have something to forward. Raises a `StorageError`.

    `seen` is called with the number of selected blobs of each page.
    """
    for container in selection.containers(live.containers):
        for page in selected_logs(live.lister, container, selection):
            seen(len(page))
            yield from behind_with_checkpoints(live.pipeline.checkpoints, page, now)


def plan(live: Live, selection: LogSelection, now: datetime) -> Plan:
    """How much that is. Raises a `StorageError`."""
    found = Plan()

    def seen(logs: int) -> None:
        found.logs += logs

    for one, checkpoint in logs_behind(live, selection, now, seen):
        if one.is_archived:
            found.archived += 1
        else:
            found.blobs += 1
            found.behind_bytes += bytes_behind(one, checkpoint)
    return found


def forecast(
    live: Live, selection: LogSelection, progress: Progressing, stop: threading.Event
) -> Forecast:
    """Read and pack all that is behind, and send nothing. Raises a `StorageError`."""
    pipeline, now = live.pipeline, live.now()
    found, lock = Forecast(), threading.Lock()
    counting = replace(
        pipeline,
        reader=CountingReader(pipeline.reader, progress.read),
        sink=CountingSink(pipeline.sink),
        dead_letters=NoDeadLetters(),
        new_traffic=lambda: None,
    )
    offsets: dict[BlobRef, Progress] = {}

    def wanted() -> Iterator[BlobRef]:
        for one, checkpoint in logs_behind(live, selection, now):
            if stop.is_set():
                return
            if not one.is_archived:
                with lock:
                    offsets[one.blob] = checkpoint.progress if checkpoint else Progress()
                yield one.blob

    def count(blob: BlobRef) -> None:
        with lock:
            since = offsets.pop(blob)
        whole = _count_one(blob, since, counting, final=now - blob.log.hour >= SETTLED_AFTER)
        progress.done()
        with lock:
            found.blobs += 1
            for outcome in whole:
                found.add(outcome)

    live.parallel(wanted(), count)
    return found


def _count_one(blob: BlobRef, since: Progress, pipeline: Pipeline, *, final: bool) -> list[Outcome]:
    counted: list[Outcome] = []
    while True:
        try:
            for part in forward_unclaimed(blob, since, pipeline.reader, pipeline, final=final):
                since = part.progress
                counted.append(part.outcome)
        except BlobGrew:
            continue
        except BlobRewritten:
            since = begin_anew(since)
            continue
        except (BlobDeleted, Archived):
            pass
        return counted


class _Counting:
    """Passes an observer's calls on to a `Progressing`."""

    def __init__(self, progress: Progressing) -> None:
        self._progress = progress

    def done(self, blob: BlobRef, outcome: Outcome) -> None:  # noqa: ARG002 - as `Observer.done`
        self._progress.done()

    def failed(self, blob: BlobRef, failed: Failed) -> None:  # noqa: ARG002 - as `Observer.failed`
        self._progress.done()


def backfill(
    live: Live, selection: LogSelection, progress: Progressing, stop: threading.Event
) -> SweepReport:
    """Forward all that is behind in the selection, once, whatever else is running.

    `stop` ends it after the blobs that are under way. Blobs that fail are counted, and named in the
    log; their checkpoints keep the failure, as the sweep does. Raises a `FlowlogError` only if not
    even the time could be read.
    """
    pipeline = replace(
        live.pipeline,
        reader=CountingReader(live.pipeline.reader, progress.read),
        observer=Observers(live.pipeline.observer, _Counting(progress)),
    )
    options = SweepOptions(
        selection.containers(live.containers),
        hours=0,
        since=selection.first_hour,
        until=selection.last_hour,
        untouched_for_s=0,
        waits_after_failures=False,
        max_s=math.inf,
        only=selection.has,
    )
    return CatchUp(live.lister, pipeline, live.cursors, options, live.parallel, stop).run()
