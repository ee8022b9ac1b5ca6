"""The whole story of one blob: claim it, read what was appended, send it, commit, let go."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from uuid import uuid4

from flowlog_core.appended import CHUNK_BYTES, Chunk, LogReader, read_appended
from flowlog_core.checkpoint import (
    BlobRef,
    CheckpointStore,
    Progress,
    checkpoint_key,
    seam_of,
)
from flowlog_core.claim import Claim, take_or_ring
from flowlog_core.clock import Clock, SystemClock
from flowlog_core.dead_letter import DeadLetter, DeadLetterStore, dead_letters_of
from flowlog_core.errors import (
    BlobDeleted,
    BlobGrew,
    BlobRewritten,
    ClaimLost,
    FlowlogError,
)
from flowlog_core.framing import Damaged, Entry, Framer
from flowlog_core.normalize import BadTuple, UnreadableEntry, normalize
from flowlog_core.records import Source, record_id
from flowlog_core.sinks import EntryRecords, Sink, tuple_index_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Everything that `ingest` touches outside itself."""

    reader: LogReader
    checkpoints: CheckpointStore
    sink: Sink
    dead_letters: DeadLetterStore
    owned_for_s: float = 180
    clock: Clock = field(default_factory=SystemClock)
    new_owner: Callable[[], str] = lambda: uuid4().hex
    chunk_bytes: int = CHUNK_BYTES
    """How much is read and committed at a time; must be more than a seam's 64 bytes."""


@dataclass(slots=True)
class Outcome:
    """What one call of `ingest` did. The counts are of this call alone."""

    how: Literal["forwarded", "rung", "lost", "deleted"] = "forwarded"
    """`rung`: another worker has the blob and was told. `lost`: another took it on the way."""
    entries: int = 0
    records: int = 0
    parcels: int = 0
    dead_letters: int = 0
    new_bytes: int = 0
    rewrites: int = 0


def ingest(blob: BlobRef, pipeline: Pipeline, *, final: bool = False) -> Outcome:
    """Forward what was appended to `blob` since its checkpoint, until nothing is new.

    Whatever is committed to the blob before this call begins is, when it returns, in the sink or
    the dead letters, or in the hands of another worker whose claim is alive. With `final`, bytes
    at the end that make no entry are dead letters too, since nothing will follow them.

    Raises a `FlowlogError` if that could not be had; then the claim is given back, and the same
    call made again carries on from the last commit.
    """
    outcome = Outcome()
    claim = take_or_ring(
        pipeline.checkpoints,
        checkpoint_key(blob),
        str(blob),
        pipeline.new_owner(),
        pipeline.owned_for_s,
        pipeline.clock,
    )
    if claim is None:
        outcome.how = "rung"
        return outcome
    try:
        while not _forward_what_is_new(blob, claim, pipeline, outcome, final=final):
            pass
    except ClaimLost:
        outcome.how = "lost"
    except BaseException as error:
        _give_back(blob, claim, error)
        raise
    return outcome


def _forward_what_is_new(
    blob: BlobRef, claim: Claim, pipeline: Pipeline, outcome: Outcome, *, final: bool
) -> bool:
    """One look at the blob. True: all of it is forwarded and the claim is let go."""
    claim.look()
    framer: Framer | None = None
    try:
        since = claim.progress
        for chunk in read_appended(pipeline.reader, blob, since, pipeline.chunk_bytes):
            framer = framer or Framer(claim.progress.offset, chunk.before)
            work = _Piece(blob, claim, pipeline, framer, chunk)
            progress = work.forward(outcome, final=final)
            if chunk.is_last:
                return claim.finish(progress)
            claim.commit(progress)
    except BlobGrew:
        return False
    except BlobRewritten as found:
        log.warning("%s; it is read again from its beginning, as a new generation", found)
        outcome.rewrites += 1
        claim.commit(_begin_anew(claim.progress))
        return False
    except BlobDeleted as found:
        log.info("%s: there is nothing left to forward", found)
        outcome.how = "deleted"
    return claim.finish(claim.progress)


def _begin_anew(progress: Progress) -> Progress:
    return replace(
        progress, offset=0, seam="", generation=progress.generation + 1, etag="", pending_bytes=0
    )


def _give_back(blob: BlobRef, claim: Claim, error: BaseException) -> None:
    told = str(error) or type(error).__name__
    try:
        attempts = claim.abandon(told).attempts
    except FlowlogError as second:
        error.add_note(f"The claim could not be given back and has to run out: {second}")
        attempts = 0
    log.error(
        "failed %s at offset %d, attempt %s: %s",
        blob,
        claim.progress.offset,
        attempts or "unknown",
        told,
    )


@dataclass(slots=True)
class _Piece:
    """One chunk on its way: frame, normalize and send it, and say how far that gets."""

    blob: BlobRef
    claim: Claim
    pipeline: Pipeline
    framer: Framer
    chunk: Chunk
    letters: list[DeadLetter] = field(default_factory=list)
    entries: int = 0
    records: int = 0

    def forward(self, outcome: Outcome, *, final: bool) -> Progress:
        before = self.claim.progress
        source = Source(self.blob.account, self.blob.container, self.blob.name, before.generation)
        parcels = self.pipeline.sink.send(self._parcels(source, final=final))
        if self.letters:
            self.claim.keep()
            self.pipeline.dead_letters.put(self.letters)
            for letter in self.letters:
                log.warning("dead letter %s of %s: %s", letter.name, self.blob, letter.reason)
        outcome.entries += self.entries
        outcome.records += self.records
        outcome.parcels += parcels
        outcome.dead_letters += len(self.letters)
        outcome.new_bytes += len(self.chunk.data)
        return Progress(
            offset=self.framer.offset,
            seam=seam_of(self.framer.before),
            generation=before.generation,
            etag=self.chunk.etag if self.chunk.is_last else "",
            pending_bytes=self.framer.pending_bytes if self.chunk.is_last else 0,
            entries=before.entries + self.entries,
            records=before.records + self.records,
            dead_letters=before.dead_letters + len(self.letters),
        )

    def _parcels(self, source: Source, *, final: bool) -> Iterator[Any]:
        for item in self._items(final=final):
            if isinstance(item, Damaged):
                self._set_aside(source, item.start, item.raw, item.reason)
                continue
            for parcel in self._packed(source, item):
                self.claim.keep()
                yield parcel

    def _items(self, *, final: bool) -> Iterator[Entry | Damaged]:
        yield from self.framer.feed(self.chunk.data)
        if self.chunk.is_last:
            yield from self.framer.end(final=final)

    def _packed(self, source: Source, entry: Entry) -> list[Any]:
        try:
            normalized = normalize(entry.value, record_id(source, entry.start, 0).removesuffix("0"))
        except UnreadableEntry as error:
            self._set_aside(source, entry.start, entry.raw, error.reason)
            return []
        packed = self.pipeline.sink.pack(
            EntryRecords(self.blob, source, entry.start, normalized.lines)
        )
        too_large = [
            BadTuple(tuple_index_of(line), line, reason) for line, reason in packed.too_large
        ]
        self.letters += dead_letters_of(
            self.blob, source, entry.start, entry.raw, [*normalized.bad, *too_large]
        )
        self.entries += 1
        self.records += len(normalized.lines) - len(too_large)
        return list(packed.parcels)

    def _set_aside(self, source: Source, start: int, raw: bytes, reason: str) -> None:
        self.letters.append(DeadLetter(self.blob, source, start, reason, raw))
