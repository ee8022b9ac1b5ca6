"""Reading what was appended: every byte once, one version at a time, rewritings noticed."""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlog_core.blob import BlobRef
from flowlog_core.checkpoints.checkpoint import Progress, seam_of
from flowlog_core.errors import (
    BlobDeleted,
    BlobGrew,
    BlobRewritten,
    Conflict,
    NotAllowed,
    OutOfRange,
    StorageError,
    Unavailable,
)
from flowlog_core.source.reading import Chunk, LogReader, Slice, read_appended
from flowlog_core.testing.memory import ManualClock, MemoryBlobs, service_time, some_blob

BLOB = some_blob()
CREATED = service_time(ManualClock())


def since(content: bytes, offset: int) -> Progress:
    return Progress(offset=offset, seam=seam_of(content[:offset]), blob_created=CREATED)


def holding(content: bytes) -> MemoryBlobs:
    blobs = MemoryBlobs()
    blobs.put(BLOB, content)
    return blobs


@given(st.binary(min_size=1, max_size=900), st.data(), st.integers(256, 400))
def test_chunks_are_what_follows_the_offset(content: bytes, data: st.DataObject, size: int) -> None:
    offset = data.draw(st.integers(0, len(content)))
    blobs = holding(content)
    chunks = list(read_appended(blobs, BLOB, since(content, offset), size))
    assert b"".join(chunk.data for chunk in chunks) == content[offset:]
    assert [c.before for c in chunks] == [content[max(0, offset - 256) : offset]] + [b""] * (
        len(chunks) - 1
    )
    assert [c.is_last for c in chunks] == [False] * (len(chunks) - 1) + [True]
    assert {c.etag for c in chunks} == {"version-1"}
    assert blobs.read_bytes == len(content) - max(0, offset - 256)


def test_an_empty_blob_is_one_empty_chunk() -> None:
    assert list(read_appended(holding(b""), BLOB, Progress())) == [Chunk(b"", b"", "", 0)]


def test_a_blob_made_anew_is_noticed_by_its_creation_time() -> None:
    """Entries of denied probes can end in 256 bytes that hold no time."""
    clock = ManualClock()
    blobs = MemoryBlobs(clock)
    blobs.put(BLOB, b"x" * 300)
    read_to = since(b"x" * 300, 300)
    clock.sleep(60)
    blobs.put(BLOB, b"x" * 400)
    [chunk] = read_appended(blobs, BLOB, read_to)
    assert (chunk.created, chunk.last_modified) == (CREATED, service_time(clock))
    blobs.delete(BLOB)
    blobs.put(BLOB, b"x" * 400)
    with pytest.raises(BlobRewritten, match="created at 2026-01-01 00:17:40"):
        list(read_appended(blobs, BLOB, read_to))
    [chunk] = read_appended(blobs, BLOB, replace(read_to, blob_created=None))
    assert chunk.data == b"x" * 100


@given(st.binary(max_size=900), st.data())
def test_a_checkpoint_of_the_first_release_is_held_against_the_64_bytes_it_knows(
    content: bytes, data: st.DataObject
) -> None:
    offset = data.draw(st.integers(0, len(content)))
    kept = Progress(
        offset=offset,
        seam=blake2b(content[max(0, offset - 64) : offset], digest_size=12).hexdigest()
        if offset
        else "",
        seam_bytes=64,
    )
    blobs = holding(content)
    [chunk] = read_appended(blobs, BLOB, kept)
    assert chunk.data == content[offset:]
    assert chunk.before == content[max(0, offset - 256) : offset]
    if offset:
        blobs.put(BLOB, content[: offset - 1] + bytes([content[offset - 1] ^ 1]) + content[offset:])
        with pytest.raises(BlobRewritten):
            list(read_appended(blobs, BLOB, kept))


@pytest.mark.parametrize("now", [b"", b"x" * 50, b"x" * 99, b"y" * 200])
def test_other_bytes_before_the_offset_are_a_rewriting(now: bytes) -> None:
    before = b"x" * 99 + b"!"
    with pytest.raises(BlobRewritten):
        list(read_appended(holding(now), BLOB, since(before, 100)))


class Answering(MemoryBlobs):
    """Gives false answers first."""

    def __init__(self, *false_answers: bytes | type[StorageError]) -> None:
        super().__init__()
        self.false_answers = list(false_answers)

    def read(self, blob: BlobRef, start: int, max_bytes: int, etag: str | None) -> Slice:
        true = super().read(blob, start, max_bytes, etag)
        if not self.false_answers:
            return true
        false = self.false_answers.pop(0)
        if isinstance(false, bytes):
            return true._replace(data=false)
        raise false("false")


@pytest.mark.parametrize("answer", [b"", b"x" * 50, OutOfRange])
@pytest.mark.parametrize("offset", [0, 300])
def test_a_short_answer_and_a_false_416_are_no_rewriting_and_no_end(
    answer: bytes | type[StorageError], offset: int
) -> None:
    blobs = Answering(answer, answer)
    blobs.put(BLOB, b"x" * 500)
    reading = read_appended(blobs, BLOB, since(b"x" * 500, offset), 400)
    if offset == 0 and answer == b"x" * 50:  # that is a part of it, and the rest follows
        assert [chunk.data for chunk in reading] == [b"x" * 50, b"x" * 50, b"x" * 400]
        return
    with pytest.raises(Unavailable):
        list(reading)


def test_one_false_416_is_asked_about_again() -> None:
    blobs = Answering(OutOfRange)
    blobs.put(BLOB, b"x" * 500)
    [chunk] = read_appended(blobs, BLOB, since(b"x" * 500, 300))
    assert chunk.data == b"x" * 200


@pytest.mark.parametrize("answer", [b"", OutOfRange])
def test_a_false_end_between_chunks_is_none(answer: bytes | type[StorageError]) -> None:
    blobs = Answering()
    blobs.put(BLOB, b"x" * 500)
    reading = read_appended(blobs, BLOB, since(b"x" * 500, 0), 300)
    assert next(reading).left_bytes == 200
    blobs.false_answers = [answer]
    with pytest.raises(Unavailable):
        next(reading)


def test_a_blob_that_was_emptied_is_rewritten() -> None:
    with pytest.raises(BlobRewritten, match="0 bytes"):
        list(read_appended(holding(b""), BLOB, since(b"x" * 300, 300)))


def test_a_blob_that_is_committed_anew_between_chunks_is_begun_again() -> None:
    blobs = holding(b"x" * 200)
    chunks = read_appended(blobs, BLOB, Progress(), 100)
    first = next(chunks)
    blobs.put(BLOB, b"x" * 300)
    with pytest.raises(BlobGrew):
        next(chunks)
    assert first == Chunk(b"x" * 100, b"", "version-1", 100, CREATED, CREATED)


def test_a_deleted_blob_is_said_to_be_deleted() -> None:
    blobs = holding(b"x")
    blobs.delete(BLOB)
    with pytest.raises(BlobDeleted):
        list(read_appended(blobs, BLOB, Progress()))


@pytest.mark.parametrize("kind", [NotAllowed, Conflict])
def test_other_errors_pass_through(kind: type[StorageError]) -> None:
    """Among them a 409 to a read that names no version, of an archived blob say: it may stay so."""

    class Refusing(LogReader):
        def read(self, blob: BlobRef, start: int, max_bytes: int, etag: str | None) -> Slice:
            raise kind(f"{blob} {start} {max_bytes} {etag}")

        def blob_bytes(self, blob: BlobRef) -> int:
            raise NotImplementedError(str(blob))

    with pytest.raises(kind):
        list(read_appended(Refusing(), BLOB, Progress()))
