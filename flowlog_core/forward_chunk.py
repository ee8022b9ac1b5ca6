"""One chunk of a blob: cut it into entries, normalize, shape, pack and send them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from flowlog_core.blob import BlobRef, Position
from flowlog_core.checkpoints.checkpoint import SEAM_BYTES, Progress, Refusal, seam_of
from flowlog_core.checkpoints.claim import Claim
from flowlog_core.checkpoints.failures import MAX_REFUSALS
from flowlog_core.clock import Stopwatch
from flowlog_core.dead_letters import DeadLetter, DeadLetterStore, dead_letters_of
from flowlog_core.errors import ItemRefused
from flowlog_core.observe.printable import printable
from flowlog_core.outcome import Outcome, Step
from flowlog_core.parsing import Damaged, Framer, ParsedEntry, read
from flowlog_core.parsing.unparsed import first_element
from flowlog_core.pipeline import Pipeline
from flowlog_core.shape.shaper import Shaped
from flowlog_core.sinks import Packed, TooLarge
from flowlog_core.source.reading import Chunk

log = logging.getLogger(__name__)

_MAX_HELD_BYTES = 8 * 1024 * 1024
"""Dead letters held in memory before they are stored: a whole chunk may be damaged."""
MAX_RUN_BYTES = 1024 * 1024
"""How much neighbours that cannot be read may come to, to share a dead letter."""
MAX_LETTERS = 500
"""Dead letters before a commit. Each is a storage call: without it, a chunk could need hours."""
MAX_PART_S = 15.0
"""Time before a commit, at the end of an entry."""


class Holder(Protocol):
    """What a chunk is forwarded under: a `Claim`, or in `operate` something that claims nothing."""

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
    is_last: bool
    """Whether nothing of the chunk is left."""


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
    is_last = False
    while not is_last:
        max_items = 1 if has_died or claim.refusal else None
        part = _forward_part(items, start, chunk, framer, claim, pipeline, stopwatch, max_items)
        yield part
        is_last = part.is_last


def _forward_part(
    items: Iterator[ParsedEntry | Damaged],
    start: Position,
    chunk: Chunk,
    framer: Framer,
    claim: Holder,
    pipeline: Pipeline,
    stopwatch: Stopwatch[Step],
    max_items: int | None,
) -> Part:
    outcome = Outcome(traffic=pipeline.new_traffic())
    newest: datetime | None = None
    last: ParsedEntry | None = None
    is_last = False
    ends_at = pipeline.clock.monotonic() + MAX_PART_S

    def keep_claim() -> None:
        with stopwatch.step("checkpoint"):
            claim.keep()

    letters = _DeadLetters(pipeline.dead_letters, keep_claim)

    def messages() -> Iterator[Any]:
        nonlocal newest, last, is_last
        for count, item in enumerate(items, start=1):
            position = start.at(item.start)
            if isinstance(item, Damaged):
                letters.add_damaged(position, item, framer.skipped)
            else:
                last = item
                shaped = pipeline.shaper(position, item)
                packed = pipeline.sink.pack(shaped.sent)
                too_large = shaped.of_tuples(packed.too_large)
                if item.bad or too_large:
                    letters.add(dead_letters_of(shaped.kept, item.raw, item.bad, too_large))
                _count(outcome, shaped, packed, too_large)
                newest = shaped.kept.lines.last_time or newest
                yield from packed.messages
            is_late = pipeline.clock.monotonic() >= ends_at
            if count == max_items or letters.count >= MAX_LETTERS or is_late:
                return
        is_last = True

    def claimed(drawn: Iterator[Any]) -> Iterator[Any]:
        for message in drawn:
            keep_claim()
            yield message

    with stopwatch.step("send"):
        try:
            sent = pipeline.sink.send(claimed(stopwatch.each("normalize", messages())))
        except ItemRefused as refused:
            if last is None or not claim.gives_up(refused):
                raise
            # It was refused before, so this part has no other entry.
            outcome, newest, sent = Outcome(traffic=pipeline.new_traffic()), None, 0
            letters.keep_only(_refused(start.at(last.start), last.raw, refused))
        letters.store()
    outcome.messages, outcome.dead_letters = sent, letters.count
    outcome.new_bytes = len(chunk.data) if is_last else 0
    if newest is not None:
        outcome.lag_s = (claim.now() - newest).total_seconds()
    is_end = is_last and chunk.is_last
    progress = _progress(start.blob, claim.progress, chunk, framer, outcome, is_end=is_end)
    return Part(progress, outcome, is_last)


def set_aside_unparsed(
    blob: BlobRef, chunk: Chunk, following: Iterator[Chunk], claim: Claim, pipeline: Pipeline
) -> Progress:
    """Make a dead letter of the entry at the offset without parsing it. Returns what to commit.

    `chunk` begins at the offset, and `following` yields the chunks after it.
    """
    start, passed = first_element(chunk.data, (more.data for more in following))
    before = claim.progress
    letter = DeadLetter(
        Position(blob, before.generation, before.offset + start),
        f"the worker process ended {claim.deaths} times while it forwarded this entry, which was "
        "therefore not parsed again",
        passed[start:],
    )
    claim.keep()
    pipeline.dead_letters.put([letter])
    log.error("dead letter %s of %s: %s", letter.name, blob, letter.reason)
    return replace(
        before,
        offset=before.offset + len(passed),
        seam=seam_of(chunk.before + passed),
        seam_bytes=SEAM_BYTES,
        blob_created=chunk.created,
        etag="",
        pending_bytes=0,
        pending_since=None,
        dead_letters=before.dead_letters + 1,
    )


def _refused(position: Position, raw: bytes, refused: ItemRefused) -> DeadLetter:
    reason = (
        f"refused {MAX_REFUSALS} times, at least 10 minutes apart, for what it is; some of its "
        f"records may have been forwarded: {refused}"
    )
    return DeadLetter(position, reason, raw)


def _count(outcome: Outcome, shaped: Shaped, packed: Packed, too_large: Sequence[TooLarge]) -> None:
    outcome.entries += 1
    outcome.records += len(shaped.sent.lines) - len(packed.too_large)
    outcome.dropped += shaped.dropped
    if outcome.traffic is not None:
        lines, refused = shaped.kept.lines, {one.index for one in too_large}
        accepted = (line for index, line in enumerate(lines) if index not in refused)
        outcome.traffic.add(lines.alike(accepted) if refused else lines)


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
        before,
        offset=framer.offset,
        seam=seam_of(framer.before),
        seam_bytes=SEAM_BYTES,
        blob_created=chunk.created,
        etag=chunk.etag if is_end else "",
        blob_last_modified=chunk.last_modified if is_end else before.blob_last_modified,
        pending_bytes=pending_bytes,
        pending_since=pending_since,
        entries=before.entries + outcome.entries,
        records=before.records + outcome.records,
        dropped=before.dropped + outcome.dropped,
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
    _run: Damaged | None = None
    """What could not be read, up to now: the first of neighbours, which become one dead letter."""
    _run_position: Position | None = None
    _run_count: int = 0
    _run_end: int = 0
    _run_more: bytearray = field(default_factory=bytearray)
    """The bytes that follow those of the first."""

    def add_damaged(self, position: Position, item: Damaged, skipped: bytes) -> None:
        """Add what cannot be read; `skipped` are the bytes between it and the item before it."""
        if self._run is not None and item.start - self._run_end == len(skipped):
            run_bytes = len(self._run.raw) + len(self._run_more)
            if run_bytes + len(item.raw) <= MAX_RUN_BYTES:
                self._run_count += 1
                self._run_end = item.end
                self._run_more += skipped + item.raw
                return
        self._end_run()
        self._run, self._run_position = item, position
        self._run_count, self._run_end = 1, item.end
        self.count += 1

    def _end_run(self) -> None:
        if self._run is None or self._run_position is None:
            return
        raw, reason = self._run.raw, self._run.reason
        if self._run_count > 1:
            reason = f"{self._run_count} neighbours could not be read; the first: {reason}"
            raw += self._run_more
        self._hold([DeadLetter(self._run_position, reason, raw)])
        self._run, self._run_more = None, bytearray()

    def add(self, letters: list[DeadLetter]) -> None:
        self.count += len(letters)
        self._end_run()
        self._hold(letters)

    def keep_only(self, letter: DeadLetter) -> None:
        """Hold the letter of a whole entry instead of all others, which are of its tuples.

        One of many bad tuples has the same name, and says that the other tuples were forwarded.
        """
        self.count, self._held, self._held_bytes = 1, [letter], letter.held_bytes

    def _hold(self, letters: list[DeadLetter]) -> None:
        self._held += letters
        self._held_bytes += sum(letter.held_bytes for letter in letters)
        if self._held_bytes > _MAX_HELD_BYTES:
            self._store_held()

    def store(self) -> None:
        self._end_run()
        self._store_held()

    def _store_held(self) -> None:
        if not self._held:
            return
        self.dead_letter_store.put(self._each_under_the_claim())
        for letter in self._held:
            log.warning(
                "dead letter %s of %s: %s",
                letter.name,
                letter.position.blob,
                printable(letter.reason),
            )
        self._held, self._held_bytes = [], 0

    def _each_under_the_claim(self) -> Iterator[DeadLetter]:
        for letter in self._held:
            self.keep_claim()
            yield letter
