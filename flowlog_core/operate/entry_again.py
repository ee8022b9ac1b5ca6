"""The entry of a tuple that became a dead letter, read again from its flow log."""

from __future__ import annotations

from typing import Any

import orjson

from flowlog_core.blob import BlobRef
from flowlog_core.checkpoints.checkpoint import checkpoint_key
from flowlog_core.dead_letters import DeadLetter
from flowlog_core.errors import (
    NotAllowed,
    NotFound,
    OutOfRange,
    StorageError,
    Unavailable,
    UnknownAccount,
)
from flowlog_core.parsing import BadTuple, Damaged, Framer, ParsedEntry, read
from flowlog_core.parsing.entry import UnreadableEntry, format_of, walk
from flowlog_core.parsing.tuples import BadField, raw_of
from flowlog_core.pipeline import Pipeline
from flowlog_core.source.reading import LogReader, Slice

_ENTRY_BYTES = 256 * 1024  # Azure writes entries of 32 KB
_MAX_ENTRY_BYTES = 8 * 1024 * 1024


class CannotRedrive(Exception):
    """The dead letter stays; the text says why, and the cause if the flow log cannot be read."""


class AsksOnce:
    """A `LogReader` that asks an account no more after it denied access or gave no answer.

    What that raised is raised again, so that many letters of one account do not wait one by one.
    """

    def __init__(self, reader: LogReader) -> None:
        self._reader = reader
        self._failed: dict[str, StorageError] = {}

    def read(self, blob: BlobRef, start: int, max_bytes: int, etag: str | None) -> Slice:
        """See `LogReader.read`."""
        if blob.account in self._failed:
            raise self._failed[blob.account]
        try:
            return self._reader.read(blob, start, max_bytes, etag)
        except (NotAllowed, Unavailable) as error:
            self._failed[blob.account] = error
            raise

    def blob_bytes(self, blob: BlobRef) -> int:
        """See `LogReader.blob_bytes`."""
        return self._reader.blob_bytes(blob)


def entry_again(letter: DeadLetter, pipeline: Pipeline) -> ParsedEntry:
    """The entry at the letter's position, parsed by the installed code.

    Raises `CannotRedrive` unless the blob can be read and still has the letter's tuple there, or a
    `StorageError` of the checkpoints.
    """
    position = letter.position
    checkpoint = pipeline.checkpoints.get(checkpoint_key(position.blob)).checkpoint
    if checkpoint is None or checkpoint.progress.generation != position.generation:
        raise CannotRedrive("its flow log was rewritten or deleted, and the tuple needs its entry")
    for max_bytes in (_ENTRY_BYTES, _MAX_ENTRY_BYTES):
        item = _first_item(letter, pipeline, max_bytes)
        if item is not None:
            break
    if not isinstance(item, ParsedEntry) or item.start != position.offset:
        raise CannotRedrive("its entry cannot be read at its place in the flow log")
    if tuple_of(item.raw, letter.tuple_index) != letter.raw.decode("utf-8", "surrogatepass"):
        raise CannotRedrive("its flow log holds something else at its place")
    return item


def _first_item(
    letter: DeadLetter, pipeline: Pipeline, max_bytes: int
) -> ParsedEntry | Damaged | None:
    position = letter.position
    try:
        part = pipeline.reader.read(position.blob, position.offset, max_bytes, None)
    except (NotFound, OutOfRange):
        raise CannotRedrive("its flow log is gone, and the tuple needs its entry") from None
    except (StorageError, UnknownAccount) as error:  # of one account: others may be readable
        raise CannotRedrive(f"the tuple needs its entry: {error}") from error
    items = read(
        [part.data],
        lambda offset: position.at(offset).entry_id,
        Framer(position.offset),
        is_end=False,
        final=False,
        drops=pipeline.shaper.drops,
    )
    return next(items, None)


def tuple_of(raw: bytes, index: int | None) -> str | None:
    """The text of one tuple of an entry; None if there is none of that index."""
    bad: list[BadTuple] = []
    entry: Any = orjson.loads(raw)
    try:
        for texts, first, *_ in walk(entry, format_of(entry), bad):
            if index is not None and first <= index < first + len(texts):
                text = texts[index - first]
                return text if isinstance(text, str) else raw_of(text)
    except (UnreadableEntry, BadField):
        return None
    return next((one.raw for one in bad if one.index == index), None)
