"""How far a blob has been forwarded, and who is forwarding it now.

One entity a blob. Every write is conditional: the entity is created if there is none, or replaced
If-Match. The rules for taking, ringing, committing and releasing it are in `claim`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple, Protocol

from flowlog_core.blob import BlobRef, digest, hour_key
from flowlog_core.parsing.pending import BEFORE_BYTES

SEAM_BYTES = BEFORE_BYTES
"""How many bytes before the offset are kept as a digest, to detect a rewritten blob."""

MAX_KEY_CHARACTERS = 512
"""Azure allows 1 KiB a key, in UTF-16 ("Understanding the Table service data model")."""
_KEY_CHARACTERS = 480  # the rest is for the digest


class CheckpointKey(NamedTuple):
    """The key of a blob's checkpoint. Both parts are legal, readable Azure Table keys."""

    partition: str
    row: str


def checkpoint_key(blob: BlobRef) -> CheckpointKey:
    """The key of a blob's checkpoint: `account|container|resource` and `hour|mac|digest`.

    Rows sort by hour. Two blobs never share a checkpoint: the digest of the whole name differs
    even if names differ in letter case only, or in a part that the key leaves out.
    """
    name_digest = digest(blob.name, digest_bytes=6)
    return CheckpointKey(
        _partition(blob.account, blob.container, blob.log.resource_id),
        table_key(f"{hour_key(blob.log.hour)}|{blob.log.mac}|{name_digest}"),
    )


@lru_cache(maxsize=1024)  # a sweep needs each for thousands of blobs, one after the other
def _partition(account: str, container: str, resource_id: str) -> str:
    return table_key(f"{account}|{container}|{resource_id.strip('/')}")


def table_key(text: str) -> str:
    """`text` as an Azure Table key: `/` becomes `|`, what a key may not hold becomes `!` and hex.

    A key that would be too long is cut, and ends in a digest of the whole text.
    """
    key = text.translate(_KEY_ESCAPES)
    if len(key) <= _KEY_CHARACTERS:
        return key
    return key[:_KEY_CHARACTERS] + digest(text, digest_bytes=12)


class _KeyEscapes(dict[int, str]):
    """What each character of a key becomes, by its code; the table of `str.translate`."""

    def __missing__(self, code: int) -> str:
        return f"!{code:x}!"


# Forbidden in keys: / \ # ? and control characters; % is kept out because URLs carry keys, and all
# beyond ASCII is escaped too.
_KEY_ESCAPES = _KeyEscapes(
    {code: chr(code) for code in range(0x20, 0x7F) if chr(code) not in "\\#?%!"} | {ord("/"): "|"}
)


def seam_of(before_offset: bytes, seam_bytes: int = SEAM_BYTES) -> str:
    """The digest of the last `seam_bytes` bytes before an offset; empty if there are none."""
    if not before_offset:
        return ""
    return digest(before_offset[-seam_bytes:], digest_bytes=12)


@dataclass(frozen=True, slots=True)
class Progress:
    """What has been forwarded of a blob: the part of a checkpoint that a commit changes."""

    offset: int = 0
    """The byte after the last entry that was sent or became a dead letter; 0 before the first."""
    seam: str = ""
    """`seam_of` the bytes before `offset`."""
    seam_bytes: int = SEAM_BYTES
    """How many bytes the seam covers, or all before the offset where there are fewer."""
    blob_created: datetime | None = None
    """The creation time of the blob that was read. None if nothing was, or if an earlier release
    wrote the checkpoint: then it is not compared."""
    generation: int = 0
    """How often the blob was found to be rewritten. Part of every id."""
    etag: str = ""
    """The version of the blob that was read to its end; empty while something is known to be new.
    If a listing shows another ETag, the blob is ahead of its checkpoint."""
    blob_last_modified: datetime | None = None
    """When the version that was last read to its end was committed. Kept when `etag` is cleared."""
    pending_bytes: int = 0
    """How many bytes at the end of that version are not a complete entry yet."""
    pending_since: datetime | None = None
    """When they were committed at the earliest: the last-modified time of the last version that was
    read to its end without them, or else the blob's creation. None without any."""
    entries: int = 0
    records: int = 0
    dropped: int = 0
    """Tuples that were not sent because of a rule."""
    dead_letters: int = 0

    def has_read(self, etag: str) -> bool:
        """Whether the version `etag`, quoted or not, was read to its end and committed.

        An empty ETag says nothing, neither here nor in an event. Sizes and sequence numbers are not
        compared: a rewritten blob may be shorter, and events arrive in any order.
        """
        return bool(self.etag) and self.etag.strip('"') == etag.strip('"')

    def moved_to(self, offset: int, before: bytes, blob_created: datetime | None) -> Progress:
        """The progress once `offset` is reached; `before` are the bytes before it.

        Nothing is known yet of what comes after it.
        """
        return replace(
            self,
            offset=offset,
            seam=seam_of(before),
            seam_bytes=SEAM_BYTES,
            blob_created=blob_created,
            etag="",
            pending_bytes=0,
            pending_since=None,
        )


@dataclass(frozen=True, slots=True)
class Refusal:
    """A service refused an entry, perhaps repeatedly, and blamed the entry itself."""

    entry_id: str
    count: int
    """How often; refusals that follow each other too soon count as one."""
    at: datetime
    """Time of the last one that was counted, by the storage service's clock."""

    def is_ahead_of(self, progress: Progress) -> bool:
        """Whether the entry is at or after the offset of `progress`, in its generation."""
        _, generation, offset = self.entry_id.split(".")
        return int(generation) == progress.generation and int(offset) >= progress.offset


@dataclass(frozen=True, slots=True)
class Failure:
    """Forwarding has failed, perhaps repeatedly, since it last succeeded."""

    attempts: int
    """In a row. The host repeats a failed call at once; tries within a minute count as one."""
    at: datetime
    """Time of the last failure, by the storage service's clock."""
    error: str
    """What the last one raised, in one line."""
    is_refused: bool = False
    """Whether the service refused the last request: a retry will hardly succeed soon."""
    refusal: Refusal | None = None
    """The refusal of an entry that is not passed yet."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The stored state of one blob. An empty `owner` means that no worker holds a claim."""

    blob: str
    progress: Progress = Progress()
    owner: str = ""
    owned_until: datetime | None = None
    """When the claim runs out, by the storage service's clock; None without an owner."""
    rings: int = 0
    """Counts the events that arrived while another worker held the claim."""
    failure: Failure | None = None
    """None after a success."""
    deaths: int = 0
    """How often a claim was taken over from a process that no longer exists, since the offset last
    moved."""
    taken_over_at: datetime | None = None
    """When a claim was last taken from an owner that had not released it, by the storage service's
    clock. None after a success."""

    def owned_by_another(self, me: str, now: datetime) -> bool:
        """Whether a claim other than `me`'s is alive at `now` (the storage service's time)."""
        return bool(
            self.owner
            and self.owner != me
            and self.owned_until is not None
            and now < self.owned_until
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """What the store answered: the checkpoint (None if there is none), its ETag, and the time.

    `server_time` is the `Date` of the service's answer. It has whole seconds, so it is up to one
    second in the past.
    """

    checkpoint: Checkpoint | None
    etag: str
    server_time: datetime
    asked: float = 0.0
    """When the call began, in seconds of the worker's `Clock`; set by `TimedStore`."""
    answered: float = 0.0
    """When it returned."""


class CheckpointStore(Protocol):
    """Where checkpoints are kept. Every write is conditional and every answer is timed.

    All methods raise a `StorageError`. A write that raised may still have happened (a timeout).
    """

    def get(self, key: CheckpointKey) -> Answer:
        """The checkpoint as it is now."""
        ...

    def create(self, key: CheckpointKey, checkpoint: Checkpoint) -> Answer:
        """Store the first version. Raises `Conflict` if one exists already."""
        ...

    def replace(self, key: CheckpointKey, checkpoint: Checkpoint, etag: str) -> Answer:
        """Store the next version. Raises `Conflict` unless the stored ETag is still `etag`."""
        ...

    def between(self, partition: str, first: str, last: str) -> dict[str, Checkpoint]:
        """The checkpoints of a partition by row, from row `first` to row `last` inclusive."""
        ...

    def forwarded(self, partition: str, first: str, last: str) -> dict[str, str]:
        """For each row of `between`, the ETag of the version that is forwarded whole.

        Without the rows of which none is: there is something new, or bytes that are no entry yet.
        """
        ...

    def scan(
        self, since: str = "", before: str = "~"
    ) -> Iterator[tuple[CheckpointKey, Checkpoint, str]]:
        """All checkpoints whose rows are `since` or later, and before `before`; and their ETags.

        Reads through the whole table. A row begins with a digit, so all are before `~`.
        """
        ...

    def unsettled(
        self, now: datetime, after: str = ""
    ) -> Iterator[tuple[Sequence[Checkpoint], str]]:
        """Those whose claim ran out before `now`, and those with a failure, of any age.

        In pages, which may be empty: the service reads through the whole table. With each comes
        the `after` with which a later call goes on behind it; it is empty with the last.
        """
        ...

    def remove(self, key: CheckpointKey, etag: str) -> None:
        """Remove a checkpoint. Raises `Conflict` unless its ETag is still `etag`."""
        ...
