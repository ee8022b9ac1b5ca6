"""The bytes that were appended to a blob since its checkpoint, in bounded chunks.

The first read takes the blob as it is now. Every further read asks for the same ETag, so all chunks
come from one version of the blob.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple, Protocol

from flowlog_core.blob import BlobRef
from flowlog_core.checkpoints.checkpoint import SEAM_BYTES, Progress, seam_of
from flowlog_core.errors import (
    BlobDeleted,
    BlobGrew,
    BlobRewritten,
    Conflict,
    NotFound,
    OutOfRange,
    Unavailable,
)

CHUNK_BYTES = 4 * 1024 * 1024
_MAX_DENIALS = 2
"""How often the service may answer 416 for bytes that the blob's length includes."""


class Slice(NamedTuple):
    """A part of one version of a blob."""

    data: bytes
    etag: str
    blob_bytes: int
    """The length of the whole blob in this version."""
    created: datetime | None = None
    """When the blob was created, aware UTC. An append keeps it; a blob that
    is deleted and created again has another. None if the service did not say."""
    last_modified: datetime | None = None
    """When this version was committed, aware UTC."""


class LogReader(Protocol):
    """Reads parts of blobs."""

    def read(self, blob: BlobRef, start: int, max_bytes: int, etag: str | None) -> Slice:
        """Read up to `max_bytes` from `start`, of the version `etag` (None: the present one).

        Raises `OutOfRange` if the blob has no byte at `start`, `Conflict` if its ETag is no longer
        `etag`, `NotFound` if the blob does not exist, `UnknownAccount` if its account is not one of
        the sources, or another `StorageError`.
        """
        ...

    def blob_bytes(self, blob: BlobRef) -> int:
        """The length of the blob as it is now. Raises like `read`, but never `OutOfRange`."""
        ...


class Chunk(NamedTuple):
    """Some of the appended bytes."""

    data: bytes
    before: bytes
    """In the first chunk, the up to `SEAM_BYTES` bytes before the checkpoint's offset."""
    etag: str
    """The version that is read; empty for an empty blob."""
    left_bytes: int
    """How many bytes of that version come after this chunk."""
    created: datetime | None = None
    """See `Slice.created`."""
    last_modified: datetime | None = None
    """See `Slice.last_modified`."""

    @property
    def is_last(self) -> bool:
        """Whether that version ends here."""
        return self.left_bytes == 0


def read_appended(
    reader: LogReader, blob: BlobRef, since: Progress, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[Chunk]:
    """Yield the bytes from `since.offset` on: at least one chunk, empty if nothing is new.

    Raises, besides what the reader raises: `BlobRewritten` before the first chunk when the bytes
    before the offset are not those of the checkpoint's seam, or the blob was created at another
    time; `BlobGrew` between chunks, never before the first, when another version was committed;
    `BlobDeleted`. An answer that is shorter than it must be, or that denies bytes that
    the blob has, raises `Unavailable`: it is neither a rewritten blob nor the end of one.
    """
    # As many as the next commit's seam covers, even if this checkpoint's covers fewer.
    before_bytes = min(max(SEAM_BYTES, since.seam_bytes), since.offset)
    start = since.offset - before_bytes
    part = _first_part(reader, blob, since, start, before_bytes, chunk_bytes)
    before, data = part.data[:before_bytes], part.data[before_bytes:]
    while True:
        start += len(before) + len(data)
        left_bytes = max(0, part.blob_bytes - start)
        yield Chunk(data, before, part.etag, left_bytes, part.created, part.last_modified)
        if not left_bytes:
            return
        try:
            part = reader.read(blob, start, chunk_bytes, part.etag)
        except Conflict as error:
            raise BlobGrew(f"{blob} was committed again while it was read") from error
        except NotFound as error:
            raise BlobDeleted(f"{blob} is gone") from error
        except OutOfRange as error:
            raise Unavailable(
                f"{blob}: {left_bytes} bytes from {start} on were answered with 416"
            ) from error
        before, data = b"", part.data
        if not data:
            raise Unavailable(f"{blob}: the answer to reading from byte {start} was empty")


def _first_part(
    reader: LogReader,
    blob: BlobRef,
    since: Progress,
    start: int,
    before_bytes: int,
    chunk_bytes: int,
) -> Slice:
    """The blob as it is now, from `start` on, if it is the blob of the checkpoint."""
    try:
        part = _present_part(reader, blob, start, chunk_bytes)
    except NotFound as error:
        raise BlobDeleted(f"{blob} is gone") from error
    before = part.data[:before_bytes]
    if part.blob_bytes < since.offset:
        raise BlobRewritten(
            f"{blob} has {part.blob_bytes} bytes, fewer than its offset {since.offset}"
        )
    if len(part.data) < min(before_bytes + 1, part.blob_bytes - start):
        raise Unavailable(f"{blob}: only {len(part.data)} bytes came from byte {start} on")
    if seam_of(before, since.seam_bytes) != since.seam:
        raise BlobRewritten(f"{blob} holds other bytes before its offset {since.offset}")
    if since.offset and _differ(since.blob_created, part.created):
        raise BlobRewritten(
            f"{blob} was created at {part.created}, and its offset {since.offset} is of a blob "
            f"that was created at {since.blob_created}"
        )
    return part


def _present_part(reader: LogReader, blob: BlobRef, start: int, chunk_bytes: int) -> Slice:
    """What is there from `start` on. Nothing, if the blob's length confirms it."""
    for _ in range(_MAX_DENIALS):
        try:
            return reader.read(blob, start, chunk_bytes, None)
        except OutOfRange:
            blob_bytes = reader.blob_bytes(blob)
            if blob_bytes <= start:
                return Slice(b"", "", blob_bytes)
        # It grew between the two calls, or the answer was wrong.
    raise Unavailable(
        f"{blob} has {blob_bytes} bytes, but reading from {start} on was answered with 416"
    )


def _differ(one: datetime | None, other: datetime | None) -> bool:
    return one is not None and other is not None and one != other
