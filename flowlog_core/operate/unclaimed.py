"""Reads and packs a log as the service does, without a claim on it and without its checkpoint.

For what must not touch the live checkpoints: counting what would be sent, and sending again what
was. It is `forward_chunk`, so the records and messages are those that the service makes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from flowlog_core.blob import BlobRef
from flowlog_core.checkpoints.checkpoint import Progress, Refusal
from flowlog_core.clock import Stopwatch
from flowlog_core.dead_letters import DeadLetter
from flowlog_core.errors import ItemRefused
from flowlog_core.forward_chunk import Part, forward_chunk
from flowlog_core.outcome import Step
from flowlog_core.parsing import Framer
from flowlog_core.pipeline import Pipeline
from flowlog_core.sinks import EntryRecords, Packed, Sink
from flowlog_core.source.reading import LogReader, Slice, read_appended


class Unclaimed:
    """A `forward_chunk.Holder` that holds nothing."""

    deaths = 0

    def __init__(self, progress: Progress, refusal: Refusal | None = None) -> None:
        self.progress, self._refusal = progress, refusal

    @property
    def refusal(self) -> Refusal | None:
        """The entry that an earlier attempt met a refusal at, while it is ahead."""
        refusal = self._refusal
        return refusal if refusal is not None and refusal.is_ahead_of(self.progress) else None

    def gives_up(self, refused: ItemRefused) -> bool:
        """Whether that very entry is refused again: then it is passed over."""
        return self.refusal is not None and self.refusal.entry_id == refused.entry_id

    def keep(self) -> None:
        """There is nothing to renew."""

    def now(self) -> datetime:
        """For the lag alone, which nobody looks at here."""
        return datetime.now(UTC)


class NoDeadLetters:
    """A `DeadLetterStore` that stores nothing: the service made, or will make, dead letters."""

    def put(self, letters: Iterable[DeadLetter]) -> None:
        """See `DeadLetterStore.put`."""
        for _ in letters:
            pass


class CountingSink:
    """A `Sink` that packs as another does, and sends nothing."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def pack(self, entry: EntryRecords) -> Packed:
        """See `Sink.pack`."""
        return self._sink.pack(entry)

    def send(self, messages: Iterable[Any]) -> int:
        """Count them. See `Sink.send`."""
        return sum(1 for _ in messages)


class CountingReader:
    """A `LogReader` that counts the bytes that arrive."""

    def __init__(self, reader: LogReader, arrived: Callable[[int], None]) -> None:
        self._reader, self._arrived = reader, arrived

    def read(self, blob: BlobRef, start: int, max_bytes: int, etag: str | None) -> Slice:
        """See `LogReader.read`."""
        part = self._reader.read(blob, start, max_bytes, etag)
        self._arrived(len(part.data))
        return part

    def blob_bytes(self, blob: BlobRef) -> int:
        """See `LogReader.blob_bytes`."""
        return self._reader.blob_bytes(blob)


def forward_unclaimed(
    blob: BlobRef,
    since: Progress,
    reader: LogReader,
    pipeline: Pipeline,
    *,
    final: bool,
    refusal: Refusal | None = None,
) -> Iterator[Part]:
    """Forward the blob from `since` to its end, as `reader` has it.

    Yields each part once its messages were accepted by the pipeline's sink; its `progress` is what
    to go on from. Passes over the entry of `refusal` if it is refused again. Raises what
    `read_appended` and `forward_chunk` raise.
    """
    holder = Unclaimed(since, refusal)
    framer: Framer | None = None
    stopwatch: Stopwatch[Step] = Stopwatch(pipeline.clock, "read")
    for chunk in read_appended(reader, blob, since, pipeline.chunk_bytes):
        framer = framer or Framer(since.offset, chunk.before)
        for part in forward_chunk(blob, chunk, framer, holder, pipeline, stopwatch, final=final):
            holder.progress = part.progress
            yield part
