"""One chunk of a blob: cut it into entries, normalize, pack and send them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from flowlog_core.blob import BlobRef, Position
from flowlog_core.checkpoints.checkpoint import SEAM_BYTES, Progress, seam_of
from flowlog_core.checkpoints.claim import Claim
from flowlog_core.clock import Stopwatch
from flowlog_core.dead_letters import DeadLetter, DeadLetterStore, dead_letters_of
from flowlog_core.outcome import Outcome, Step
from flowlog_core.parsing import Damaged, Framer, Lines, ParsedEntry, read
from flowlog_core.parsing.unparsed import MAX_UNPARSED_BYTES, element_by_brackets
from flowlog_core.pipeline import Pipeline
from flowlog_core.sinks import EntryRecords, Packed
from flowlog_core.source.reading import Chunk

log = logging.getLogger(__name__)

_MAX_HELD_BYTES = 8 * 1024 * 1024
"""Dead letters held in memory before they are stored: a whole chunk may be damaged."""


def forward_chunk(
    blob: BlobRef,
    chunk: Chunk,
    framer: Framer,
    claim: Claim,
    pipeline: Pipeline,
    stopwatch: Stopwatch[Step],
    *,
    final: bool,
) -> tuple[Progress, Outcome]:
    """Send every record of the chunk and store every dead letter.

    Returns what may be committed now, and what to add to the call's outcome once it is. Raises
    `ClaimLost`, or a `StorageError` if anything was not accepted; nothing may be committed then.

    Where a process has ended at this offset, each entry is committed before the next is parsed, so
    that the offset comes to be at the entry that ends processes, if one does.
    """
    start = Position(blob, claim.progress.generation)
    items = read(
        [chunk.data],
        lambda offset: start.at(offset).entry_id,
        framer,
        is_end=chunk.is_last,
        final=final,
    )
    total = Outcome(new_bytes=len(chunk.data))
    if claim.deaths:
        for item in items:
            sent = _forward_items([item], start, claim, pipeline, stopwatch)
            progress = _progress(claim.progress, chunk, framer, sent)
            claim.commit(replace(progress, etag="", pending_bytes=0))
            total += sent
        return _progress(claim.progress, chunk, framer, Outcome()), total
    total += _forward_items(items, start, claim, pipeline, stopwatch)
    return _progress(claim.progress, chunk, framer, total), total


def _forward_items(
    items: Iterable[ParsedEntry | Damaged],
    start: Position,
    claim: Claim,
    pipeline: Pipeline,
    stopwatch: Stopwatch[Step],
) -> Outcome:
    outcome = Outcome(traffic=pipeline.new_traffic())
    newest: datetime | None = None

    def keep_claim() -> None:
        with stopwatch.step("checkpoint"):
            claim.keep()

    letters = _DeadLetters(pipeline.dead_letters, keep_claim)

    def messages() -> Iterator[Any]:
        nonlocal newest
        for item in items:
            position = start.at(item.start)
            if isinstance(item, Damaged):
                letters.add([DeadLetter(position, item.reason, item.raw)])
                continue
            records = EntryRecords(position, item.lines, [bad.index for bad in item.bad])
            packed = pipeline.sink.pack(records)
            if item.bad or packed.too_large:
                letters.add(dead_letters_of(records, item.raw, item.bad, packed.too_large))
            _count(outcome, item.lines, packed)
            newest = item.lines.last_time or newest
            yield from packed.messages

    def claimed(drawn: Iterator[Any]) -> Iterator[Any]:
        for message in drawn:
            keep_claim()
            yield message

    with stopwatch.step("send"):
        sent = pipeline.sink.send(claimed(stopwatch.each("normalize", messages())))
        letters.store()
    outcome.messages, outcome.dead_letters = sent, letters.count
    if newest is not None:
        outcome.lag_s = (claim.now() - newest).total_seconds()
    return outcome


def set_aside_unparsed(
    blob: BlobRef, chunk: Chunk, following: Iterator[Chunk], claim: Claim, pipeline: Pipeline
) -> Progress:
    """Make a dead letter of the entry at the offset without parsing it. Returns what to commit.

    `chunk` begins at the offset, and `following` yields the chunks after it.
    """
    data = bytearray(chunk.data)
    start, end = element_by_brackets(data)
    while end is None and len(data) < MAX_UNPARSED_BYTES:
        more = next(following, None)
        if more is None:
            break
        data += more.data
        start, end = element_by_brackets(data)
    if end is None:  # in pieces, as a Framer would cut it, but never the blob's final brackets
        whole = data[:MAX_UNPARSED_BYTES]
        end = len(whole.rstrip(b" \t\r\n,]}")) or len(whole)
        start = min(start, end - 1)
    before = claim.progress
    letter = DeadLetter(
        Position(blob, before.generation, before.offset + start),
        f"the worker process ended {claim.deaths} times while it forwarded this entry, which was "
        "therefore not parsed again",
        bytes(data[start:end]),
    )
    claim.keep()
    pipeline.dead_letters.put([letter])
    log.error("dead letter %s of %s: %s", letter.name, blob, letter.reason)
    return replace(
        before,
        offset=before.offset + end,
        seam=seam_of(chunk.before + data[:end]),
        seam_bytes=SEAM_BYTES,
        blob_created=chunk.created,
        etag="",
        pending_bytes=0,
        dead_letters=before.dead_letters + 1,
    )


def _count(outcome: Outcome, lines: Lines, packed: Packed) -> None:
    outcome.entries += 1
    outcome.records += len(lines) - len(packed.too_large)
    if outcome.traffic is not None:
        refused = {one.index for one in packed.too_large}
        accepted = (line for index, line in enumerate(lines) if index not in refused)
        outcome.traffic.add(Lines.of(accepted) if refused else lines)


def _progress(before: Progress, chunk: Chunk, framer: Framer, outcome: Outcome) -> Progress:
    return replace(
        before,
        offset=framer.offset,
        seam=seam_of(framer.before),
        seam_bytes=SEAM_BYTES,
        blob_created=chunk.created,
        etag=chunk.etag if chunk.is_last else "",
        blob_last_modified=chunk.last_modified if chunk.is_last else before.blob_last_modified,
        pending_bytes=framer.pending_bytes if chunk.is_last else 0,
        entries=before.entries + outcome.entries,
        records=before.records + outcome.records,
        dead_letters=before.dead_letters + outcome.dead_letters,
    )


@dataclass(slots=True)
class _DeadLetters:
    """Collects a chunk's dead letters and stores many at a time."""

    dead_letter_store: DeadLetterStore
    keep_claim: Callable[[], None]
    count: int = 0
    _held: list[DeadLetter] = field(default_factory=list)
    _held_bytes: int = 0

    def add(self, letters: list[DeadLetter]) -> None:
        self._held += letters
        self.count += len(letters)
        self._held_bytes += sum(letter.held_bytes for letter in letters)
        if self._held_bytes > _MAX_HELD_BYTES:
            self.store()

    def store(self) -> None:
        if not self._held:
            return
        self.dead_letter_store.put(self._each_under_the_claim())
        for letter in self._held:
            log.warning(
                "dead letter %s of %s: %s", letter.name, letter.position.blob, letter.reason
            )
        self._held, self._held_bytes = [], 0

    def _each_under_the_claim(self) -> Iterator[DeadLetter]:
        for letter in self._held:
            self.keep_claim()
            yield letter
