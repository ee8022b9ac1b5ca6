"""Sends again what was forwarded: same ids, same content, and no live checkpoint is written.

    live checkpoint    0 ............................ offset      what may be sent again
    replay's cursor    0 .......... place                         what was sent again so far

- A log is read from 0 to the live offset, never beyond: what comes after is the live app's to send.
- Before anything of a log is sent, its creation time and the bytes before the live offset are
  checked against the live checkpoint, as the live app does before it reads on; the read that shows
  them gives the ETag, and every further read asks for that version. So bytes of a rewritten log are
  never sent under ids that belong to other bytes.
- If the log grew meanwhile, the same check is made anew, and the new ETag is taken. The generation
  must still be that of the first look.
- Entries are read, shaped and packed by `forward_chunk`, as at first.
- Dead letters are not made again. An entry that the service refuses for what it is is passed over.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from flowlog_core.blob import BlobRef
from flowlog_core.checkpoints.checkpoint import (
    Answer,
    Checkpoint,
    CheckpointKey,
    Progress,
    Refusal,
    checkpoint_key,
)
from flowlog_core.errors import (
    Archived,
    BlobDeleted,
    BlobGrew,
    BlobRewritten,
    Conflict,
    ItemRefused,
    OutOfRange,
)
from flowlog_core.operate.progressing import Progressing
from flowlog_core.operate.replay_cursor import ReplayCursor
from flowlog_core.operate.selection import LogSelection, selected_logs
from flowlog_core.operate.unclaimed import CountingReader, NoDeadLetters, forward_unclaimed
from flowlog_core.pipeline import Pipeline
from flowlog_core.sinks import Sink
from flowlog_core.source.listing import BlobLister
from flowlog_core.source.reading import LogReader, Slice, read_appended
from flowlog_core.sweep.behind import with_stored
from flowlog_core.sweep.cursor import Container

log = logging.getLogger(__name__)


class CheckpointReader(Protocol):
    """What a replay needs of a `CheckpointStore`: it only reads."""

    def get(self, key: CheckpointKey) -> Answer:
        """See `CheckpointStore.get`."""
        ...

    def between(self, partition: str, first: str, last: str) -> dict[str, Checkpoint]:
        """See `CheckpointStore.between`."""
        ...


@dataclass(frozen=True)
class Replay:
    """What is sent again, and whither."""

    lister: BlobLister
    checkpoints: CheckpointReader
    pipeline: Pipeline
    """Of the live service: its reader and how it packs. Its sink is not used."""
    containers: Sequence[Container]
    selection: LogSelection
    sink: Sink


@dataclass(slots=True)
class ReplayPlan:
    """What was forwarded of the selection."""

    logs: int = 0
    """All of the selection."""
    blobs: int = 0
    forwarded_bytes: int = 0


def plan_replay(replay: Replay) -> ReplayPlan:
    """How much there is to send again. Raises a `StorageError`."""
    found = ReplayPlan()
    for container in replay.selection.containers(replay.containers):
        for page in selected_logs(replay.lister, container, replay.selection):
            found.logs += len(page)
            for _, checkpoint in with_stored(replay.checkpoints.between, page):
                if checkpoint is not None and _is_forwarded(checkpoint):
                    found.blobs += 1
                    found.forwarded_bytes += checkpoint.progress.offset
    return found


def _is_forwarded(checkpoint: Checkpoint | None) -> bool:
    return checkpoint is not None and checkpoint.progress.offset > 0


class Skipped(NamedTuple):
    """A log of which nothing more was sent, and why."""

    blob: BlobRef
    reason: str


@dataclass(slots=True)
class ReplayReport:
    """What one run did; `cursor` has the counts of all runs."""

    cursor: ReplayCursor
    skipped: list[Skipped] = field(default_factory=list)
    is_whole: bool = False
    """Whether the end of the selection was reached."""


def run_replay(
    replay: Replay,
    cursor: ReplayCursor,
    save: Callable[[ReplayCursor], None],
    progress: Progressing,
    stop: threading.Event,
) -> ReplayReport:
    """Send again what lies behind `cursor`; `save` each new one before going on.

    `stop` ends it at the next place that can be gone on from. A log that fails its check is named
    and left. Raises a `StorageError` if anything cannot be read or sent; the cursor that was saved
    last is where to go on.
    """
    return _Run(replay, cursor, save, progress, stop).run()


class _Run:
    def __init__(
        self,
        replay: Replay,
        cursor: ReplayCursor,
        save: Callable[[ReplayCursor], None],
        progress: Progressing,
        stop: threading.Event,
    ) -> None:
        self._replay, self._save, self._progress, self._stop = replay, save, progress, stop
        self._report = ReplayReport(cursor)
        self._pipeline = replace(
            replay.pipeline,
            reader=CountingReader(replay.pipeline.reader, progress.read),
            sink=replay.sink,
            dead_letters=NoDeadLetters(),
            new_traffic=lambda: None,
        )

    def run(self) -> ReplayReport:
        for blob in self._logs():
            if self._stop.is_set() or not self._send_or_skip(blob):
                return self._report
            self._progress.done()
        self._report.is_whole = not self._stop.is_set()
        return self._report

    def _logs(self) -> Iterator[BlobRef]:
        """Those behind the cursor of which something was forwarded, container by container."""
        replay = self._replay
        containers = sorted(replay.selection.containers(replay.containers))
        for container in containers:
            at = self._report.cursor
            if container < at.container:
                continue
            done = at.done if container == at.container else ""
            for page in selected_logs(replay.lister, container, replay.selection, done):
                for one, checkpoint in with_stored(replay.checkpoints.between, page):
                    if _is_forwarded(checkpoint):
                        yield one.blob

    def _send_or_skip(self, blob: BlobRef) -> bool:
        """Whether the log is through; False where it was stopped within it."""
        try:
            if not self._send(blob):
                return False
        except (BlobRewritten, BlobDeleted, Archived) as error:
            log.warning("%s; nothing more of it is sent again", error)
            self._report.skipped.append(Skipped(blob, str(error)))
            self._move(self._report.cursor.past(blob, is_skipped=True))
        else:
            self._move(self._report.cursor.past(blob))
        return True

    def _send(self, blob: BlobRef) -> bool:
        """Send what was forwarded of one log. Returns False if it was stopped before the end."""
        pinned = self._pin(blob, None)
        at = self._report.cursor.progress_in(blob, pinned.live.generation)
        refusal: Refusal | None = None
        while True:
            reader = ReaderUpTo(self._pipeline.reader, pinned.live.offset, pinned.etag)
            try:
                for part in forward_unclaimed(
                    blob, at, reader, self._pipeline, final=True, refusal=refusal
                ):
                    has_got_further, at = part.progress.offset > at.offset, part.progress
                    self._move(self._report.cursor.within(blob, at, part.outcome))
                    is_within = has_got_further and at.offset < pinned.live.offset
                    if self._stop.is_set() and is_within:
                        return False
            except ItemRefused as error:
                # What is refused for what it is became a dead letter at first, too.
                log.warning("%s; this entry is not sent again", error)
                refusal = Refusal(error.entry_id, 1, datetime.now(UTC))
            except (BlobGrew, Conflict):
                pinned = self._pin(blob, pinned.live)
            else:
                return True

    def _pin(self, blob: BlobRef, before: Progress | None) -> Pinned:
        """Check the log against its live checkpoint, and take the version that was checked.

        `before` is the live progress that an earlier look took: what was to be sent then is still
        to be sent. Raises `BlobRewritten`, `BlobDeleted` or `Archived`.
        """
        checkpoint = self._replay.checkpoints.get(checkpoint_key(blob)).checkpoint
        live = before or (checkpoint.progress if checkpoint else Progress())
        if (
            checkpoint is None
            or not checkpoint.progress.offset
            or checkpoint.progress.generation != live.generation
        ):
            raise BlobRewritten(f"{blob} was found to be rewritten while it was sent again")
        # Reading behind the live offset makes the same checks that the live app makes.
        shown = next(read_appended(self._pipeline.reader, blob, live, _PEEK_BYTES))
        return Pinned(live, shown.etag)

    def _move(self, cursor: ReplayCursor) -> None:
        self._save(cursor)
        self._report.cursor = cursor


_PEEK_BYTES = 4096
"""More than the bytes before an offset that are checked."""


class Pinned(NamedTuple):
    """A version of a log of which it was checked that its bytes are those that were forwarded."""

    live: Progress
    etag: str


class ReaderUpTo:
    """A `LogReader` of one version of a blob, for which the blob ends at the live offset."""

    def __init__(self, reader: LogReader, end: int, etag: str) -> None:
        self._reader, self._end, self._etag = reader, end, etag

    def read(self, blob: BlobRef, start: int, max_bytes: int, etag: str | None) -> Slice:  # noqa: ARG002 - it is always the same
        """See `LogReader.read`."""
        if start >= self._end:
            raise OutOfRange(f"{blob} was forwarded up to {self._end}")
        part = self._reader.read(blob, start, min(max_bytes, self._end - start), self._etag)
        return part._replace(blob_bytes=self._end)

    def blob_bytes(self, blob: BlobRef) -> int:  # noqa: ARG002 - as `LogReader.blob_bytes`
        """See `LogReader.blob_bytes`."""
        return self._end
