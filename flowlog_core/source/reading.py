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
)

CHUNK_BYTES = 4 * 1024 * 1024


class Slice(NamedTuple):
    """A part of one version of a blob."""

    data: bytes
    etag: str
    blob_bytes: int
    """The length of the whole blob in this version."""
    created: datetime | None = None
    """When the blob was created, aware UTC. Appending to it changes nothing about that; deleting
    it and making it anew does. None if the service did not say."""
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
    time, `BlobGrew` between chunks, and never before the first, when another version was
    committed, `BlobDeleted`.
    """
    # As many as the next commit's seam covers, even if this checkpoint's covers fewer.
    before_bytes = min(max(SEAM_BYTES, since.seam_bytes), since.offset)
    start = since.offset - before_bytes
    etag: str | None = None
    first = True
    while True:
        try:
            read = reader.read(blob, start, chunk_bytes, etag)
        except OutOfRange:
            if since.offset:
                raise BlobRewritten(f"{blob} is shorter than its offset {since.offset}") from None
            read = Slice(b"", "", 0)
        except Conflict as error:
            if etag is None:
                raise  # not a newer version, as none was named: whatever it is, it may stay so
            raise BlobGrew(f"{blob} was committed anew while it was read") from error
        except NotFound as error:
            raise BlobDeleted(f"{blob} is gone") from error
        data, etag = read.data, read.etag
        start += len(data)
        before = b""
        if first:
            before, data = data[:before_bytes], data[before_bytes:]
            if len(before) != before_bytes or seam_of(before, since.seam_bytes) != since.seam:
                raise BlobRewritten(f"{blob} holds other bytes before its offset {since.offset}")
            if since.offset and _differ(since.blob_created, read.created):
                raise BlobRewritten(
                    f"{blob} was created at {read.created}, and its offset {since.offset} is of a "
                    f"blob that was created at {since.blob_created}"
                )
        first = False
        left_bytes = max(0, read.blob_bytes - start)
        yield Chunk(data, before, etag, left_bytes, read.created, read.last_modified)
        if not left_bytes:
            return


def _differ(one: datetime | None, other: datetime | None) -> bool:
    return one is not None and other is not None and one != other
