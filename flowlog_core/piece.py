"""One chunk on its way: framed, normalized, packed and sent."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flowlog_core.appended import Chunk
from flowlog_core.checkpoint import BlobRef, Progress, seam_of
from flowlog_core.claim import Claim
from flowlog_core.dead_letter import DeadLetter, dead_letters_of
from flowlog_core.framing import Damaged, Entry, Framer
from flowlog_core.normalize import UnreadableEntry, normalize
from flowlog_core.pipeline import Outcome, Pipeline
from flowlog_core.records import Lines, Source, entry_id, time_of_line
from flowlog_core.sinks import EntryRecords

if TYPE_CHECKING:
    from flowlog_core.traffic import Traffic

log = logging.getLogger(__name__)

_MOST_LETTERS_BYTES = 8 * 1024 * 1024
"""How much of dead letters is held in memory: what is damaged may be all of a chunk."""


@dataclass(slots=True)
class Piece:
    """Forwards one chunk of a blob, and says how far that gets."""

    blob: BlobRef
    claim: Claim
    pipeline: Pipeline
    framer: Framer
    chunk: Chunk
    letters: list[DeadLetter] = field(default_factory=list)
    """Not put away yet."""
    letters_bytes: int = 0
    dead_letters: int = 0
    entries: int = 0
    records: int = 0
    parcels: int = 0
    lag_s: float | None = None
    newest: Lines | None = None
    """The records of the last entry that had some."""
    normalize_s: float = 0
    traffic: Traffic | None = None

    def forward(self, outcome: Outcome, *, final: bool) -> Progress:
        """Send every record, keep every dead letter, then return what may be committed.

        Adds only its time to `outcome`: the rest is `count_in`'s, once that is committed. Raises
        `ClaimLost`, or a `StorageError` if anything was not accepted.
        """
        before, clock = self.claim.progress, self.pipeline.clock
        source = Source(self.blob.account, self.blob.container, self.blob.name, before.generation)
        started = clock.monotonic()
        self.parcels = self.pipeline.sink.send(self._parcels(source, final=final))
        self._put_letters()
        outcome.seconds["normalize"] += self.normalize_s
        outcome.seconds["send"] += clock.monotonic() - started - self.normalize_s
        if self.newest is not None:
            sent_until = time_of_line(self.newest[-1])
            self.lag_s = (self.claim.now() - sent_until).total_seconds()
        return Progress(
            offset=self.framer.offset,
            seam=seam_of(self.framer.before),
            generation=before.generation,
            etag=self.chunk.etag if self.chunk.is_last else "",
            pending_bytes=self.framer.pending_bytes if self.chunk.is_last else 0,
            entries=before.entries + self.entries,
            records=before.records + self.records,
            dead_letters=before.dead_letters + self.dead_letters,
        )

    def count_in(self, outcome: Outcome) -> None:
        """Add to `outcome` what was forwarded. To be called when it is committed, and only then."""
        outcome.entries += self.entries
        outcome.records += self.records
        outcome.parcels += self.parcels
        outcome.dead_letters += self.dead_letters
        outcome.new_bytes += len(self.chunk.data)
        outcome.take_traffic(self.traffic)
        if self.lag_s is not None:
            outcome.lag_s = self.lag_s

    def _parcels(self, source: Source, *, final: bool) -> Iterator[Any]:
        clock = self.pipeline.clock
        resumed = clock.monotonic()
        for item in self._items(final=final):
            for parcel in self._packed(source, item):
                self.normalize_s += clock.monotonic() - resumed
                self.claim.keep()
                yield parcel
                resumed = clock.monotonic()
        self.normalize_s += clock.monotonic() - resumed

    def _items(self, *, final: bool) -> Iterator[Entry | Damaged]:
        yield from self.framer.feed(self.chunk.data)
        if self.chunk.is_last:
            yield from self.framer.end(final=final)

    def _packed(self, source: Source, item: Entry | Damaged) -> Iterable[Any]:
        """An item's parcels; what is in none of them becomes a dead letter."""
        if isinstance(item, Damaged):
            return self._set_aside_whole(source, item, item.reason)
        try:
            normalized = normalize(item.parsed, f"{entry_id(source, item.start)}.")
        except UnreadableEntry as error:
            return self._set_aside_whole(source, item, error.reason)
        lines = normalized.lines
        packed = self.pipeline.sink.pack(EntryRecords(self.blob, source, item.start, lines))
        too_large = packed.too_large
        if normalized.bad or too_large:
            self._set_aside(
                dead_letters_of(self.blob, source, item.start, item.raw, normalized, too_large)
            )
        self.entries += 1
        self.records += len(lines) - len(too_large)
        if self.traffic is not None:
            refused = {one.place for one in too_large}
            sent = (line for place, line in enumerate(lines) if place not in refused)
            self.traffic.add(Lines.of(sent) if refused else lines)
        if lines:
            self.newest = lines
        return packed.parcels

    def _set_aside_whole(self, source: Source, item: Entry | Damaged, reason: str) -> Iterable[Any]:
        self._set_aside([DeadLetter(self.blob, source, item.start, reason, item.raw)])
        return ()

    def _set_aside(self, letters: list[DeadLetter]) -> None:
        self.letters += letters
        self.dead_letters += len(letters)
        self.letters_bytes += sum(letter.held_bytes for letter in letters)
        if self.letters_bytes > _MOST_LETTERS_BYTES:
            self._put_letters()

    def _put_letters(self) -> None:
        if not self.letters:
            return
        self.claim.keep()
        self.pipeline.dead_letters.put(self.letters)
        for letter in self.letters:
            log.warning("dead letter %s of %s: %s", letter.name, self.blob, letter.reason)
        self.letters, self.letters_bytes = [], 0
