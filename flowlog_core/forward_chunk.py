"""One chunk of a blob: cut it into entries, normalize, shape, pack and send them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from flowlog_core.blob import BlobRef, Position
from flowlog_core.checkpoints.checkpoint import Progress, Refusal
from flowlog_core.checkpoints.failures import MAX_REFUSALS
from flowlog_core.clock import Stopwatch
from flowlog_core.dead_letters import DeadLetter, dead_letters_of
from flowlog_core.errors import ItemRefused
from flowlog_core.held_letters import HeldLetters
from flowlog_core.outcome import Outcome, Step
from flowlog_core.parallel import Ahead
from flowlog_core.parsing import Damaged, Framer, ParsedEntry, Row, read, time_of
from flowlog_core.parsing.packed_text import packed_like
from flowlog_core.pipeline import Pipeline
from flowlog_core.source.reading import Chunk

MAX_LETTERS = 500
"""Dead letters before a commit. Each is a storage call: without it, a chunk could need hours."""
MAX_PART_S = 15.0
"""Time before a commit, at the end of an entry."""


class Holder(Protocol):
    """What `forward_chunk` needs of a `Claim`. `operate` has one that claims nothing."""

    @property
    def progress(self) -> Progress:
        """What was forwarded before the next part."""
        ...

    @property
    def deaths(self) -> int:
        """See `Claim.deaths`."""
        ...

    @property
    def refusal(self) -> Refusal | None:
        """See `Claim.refusal`."""
        ...

    def gives_up(self, refused: ItemRefused) -> bool:
        """See `Claim.gives_up`."""
        ...

    def keep(self) -> None:
        """See `Claim.keep`."""
        ...

    def now(self) -> datetime:
        """See `Claim.now`."""
        ...


class Part(NamedTuple):
    """Some entries of a chunk, after everything in them was sent or stored."""

    progress: Progress
    """What may be committed now."""
    outcome: Outcome
    """What to add to the call's outcome once it is committed."""
    is_end: bool
    """Whether nothing of the blob, as committed when it was read, is left."""


def forward_chunk(
    blob: BlobRef,
    chunk: Chunk,
    framer: Framer,
    claim: Holder,
    pipeline: Pipeline,
    stopwatch: Stopwatch[Step],
    *,
    final: bool,
) -> Iterator[Part]:
    """Send every record of the chunk and store every dead letter, part by part.

    Commit each part before the next: a part ends after `MAX_PART_S`, so that slow storage does not
    undo what was done, and after `MAX_LETTERS` dead letters. It holds whole entries. Raises
    `ClaimLost`, or a `StorageError` if anything was not accepted; the part may not be committed
    then.

    Where a process has ended at this offset, each entry is committed before the next is parsed, so
    that the offset comes to be at the entry that ends processes, if one does. Likewise up to an
    entry that a service refused for what it is: its neighbours are forwarded, and after
    `MAX_REFUSALS` it becomes a dead letter.
    """
    start = Position(blob, claim.progress.generation)
    items = read(
        [chunk.data],
        lambda offset: start.at(offset).entry_id,
        framer,
        is_end=chunk.is_last,
        final=final,
        drops=pipeline.shaper.drops,
    )
    has_died = claim.deaths > 0

    def keep() -> None:
        with stopwatch.step("checkpoint"):
            claim.keep()

    is_last = False
    while not is_last:
        letters = HeldLetters(pipeline.dead_letters, keep)
        packing = _Packing(start, framer, pipeline, letters)
        max_items = 1 if has_died or claim.refusal else None
        messages = stopwatch.each("normalize", packing.messages(items, max_items))
        with stopwatch.step("send"):
            try:
                packing.outcome.messages = pipeline.sink.send(Ahead(messages, keep))
            except ItemRefused as refused:
                if packing.last is None or not claim.gives_up(refused):
                    raise
                packing.set_aside(packing.last, refused)
            letters.store()
        is_last, outcome = packing.is_last, packing.outcome
        outcome.dead_letters = letters.count
        outcome.new_bytes = len(chunk.data) if is_last else 0
        if packing.newest is not None:
            outcome.lag_s = (claim.now() - time_of(packing.newest)).total_seconds()
        is_end = is_last and chunk.is_last
        progress = _progress(blob, claim.progress, chunk, framer, outcome, is_end=is_end)
        yield Part(progress, outcome, is_end)


class _Packing:
    """Makes the messages of a part, and keeps what it takes to commit the part."""

    def __init__(
        self, start: Position, framer: Framer, pipeline: Pipeline, letters: HeldLetters
    ) -> None:
        self._start, self._framer, self._pipeline = start, framer, pipeline
        self._letters = letters
        self._ends_at = pipeline.clock.monotonic() + MAX_PART_S
        self.last: ParsedEntry | None = None
        self.outcome = Outcome(traffic=pipeline.new_traffic())
        self.newest: Row | None = None
        """Of the last record."""
        self.is_last = False

    def messages(
        self, items: Iterator[ParsedEntry | Damaged], max_items: int | None
    ) -> Iterator[Any]:
        """The messages of the next entries, until the part is large enough or nothing is left."""
        clock, letters = self._pipeline.clock, self._letters
        for count, item in enumerate(items, start=1):
            position = self._start.at(item.start)
            if isinstance(item, Damaged):
                letters.add_damaged(position, item, self._framer.skipped)
            else:
                self.last = item
                yield from self._packed(position, item)
            is_late = clock.monotonic() >= self._ends_at
            if count == max_items or letters.count >= MAX_LETTERS or is_late:
                return
        self.is_last = True

    def _packed(self, position: Position, entry: ParsedEntry) -> Iterable[Any]:
        shaped = self._pipeline.shaper(position, entry)
        packed = self._pipeline.sink.pack(shaped.sent)
        too_large = shaped.of_tuples(packed.too_large)
        lines, outcome = shaped.kept.lines, self.outcome
        if entry.bad or too_large:
            self._letters.add(dead_letters_of(shaped.kept, entry.raw, entry.bad, too_large))
        outcome.entries += 1
        outcome.records += len(shaped.sent.lines) - len(packed.too_large)
        outcome.dropped += len(entry.dropped)
        if outcome.traffic is not None:
            refused = {one.index for one in too_large}
            accepted = (line for index, line in enumerate(lines) if index not in refused)
            outcome.traffic.add(packed_like(lines, accepted) if refused else lines)
        self.newest = entry.last or self.newest
        return packed.messages

    def set_aside(self, entry: ParsedEntry, refused: ItemRefused) -> None:
        """Make a dead letter of the part's only entry, which is alone as it was refused before."""
        reason = (
            f"refused {MAX_REFUSALS} times, at least 10 minutes apart, for what it is; some of its "
            f"records may have been forwarded: {refused}"
        )
        position = self._start.at(entry.start)
        self._letters.keep_only(DeadLetter(position, reason, entry.raw))
        self.outcome, self.newest = Outcome(traffic=self._pipeline.new_traffic()), None


def _progress(
    blob: BlobRef,
    before: Progress,
    chunk: Chunk,
    framer: Framer,
    outcome: Outcome,
    *,
    is_end: bool,
) -> Progress:
    pending_bytes = framer.pending_bytes if is_end else 0
    # While the offset does not move, what is pending may be what was pending before.
    pending_since = before.pending_since if framer.offset == before.offset else None
    if pending_bytes and pending_since is None:
        pending_since = before.blob_last_modified or chunk.created or blob.log.hour
    elif is_end and not pending_bytes:
        pending_since = None
    return replace(
        before.moved_to(framer.offset, framer.before, chunk.created),
        etag=chunk.etag if is_end else "",
        blob_last_modified=chunk.last_modified if is_end else before.blob_last_modified,
        pending_bytes=pending_bytes,
        pending_since=pending_since,
        entries=before.entries + outcome.entries,
        records=before.records + outcome.records,
        dropped=before.dropped + outcome.dropped,
        dead_letters=before.dead_letters + outcome.dead_letters,
    )
