"""Which blobs are behind their checkpoints, and when one that failed is tried again. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from flowlog_core.blob import BlobRef
from flowlog_core.checkpoints.checkpoint import (
    Checkpoint,
    CheckpointStore,
    Failure,
    checkpoint_key,
)
from flowlog_core.source.listing import Listed

T = TypeVar("T")

SETTLED_AFTER = timedelta(hours=3)
"""How long after its hour has begun nobody appends to a blob any more: one hour to write it, the
rest for a late Network Watcher. Bytes that make no entry by then never will."""
_FIRST_BACKOFF_S = 60
MAX_BACKOFF_S = 600
MAX_BACKOFF_OF_REFUSED_S = 6 * 3600


def behind_with_checkpoints(
    checkpoints: CheckpointStore, listed: Sequence[Listed], now: datetime
) -> Iterator[tuple[Listed, Checkpoint | None]]:
    """The blobs of a listing that are behind, with their checkpoints. Raises a `StorageError`.

    Nearly all are forwarded, and their checkpoints are not read for more than that.
    """
    forwarded = with_stored(checkpoints.forwarded, [one for one in listed if one.blob_bytes])
    others = [one for one, etag in forwarded if etag != one.etag]
    for one, checkpoint in with_stored(checkpoints.between, others):
        if is_behind(one, checkpoint, now):
            yield one, checkpoint


def with_stored(
    read: Callable[[str, str, str], Mapping[str, T]], listed: Sequence[Listed]
) -> Iterator[tuple[Listed, T | None]]:
    """Each blob with what is stored of it: `read` is a method of `CheckpointStore`.

    It is called once for each resource. Raises a `StorageError`.
    """
    rows: dict[str, list[str]] = defaultdict(list)
    keys = [checkpoint_key(one.blob) for one in listed]
    for key in keys:
        rows[key.partition].append(key.row)
    stored = {
        partition: read(partition, min(found), max(found)) for partition, found in rows.items()
    }
    for one, key in zip(listed, keys, strict=True):
        yield one, stored[key.partition].get(key.row)


def bytes_behind(one: Listed, checkpoint: Checkpoint | None) -> int:
    """How many bytes come after the checkpoint's offset; all of a blob that is shorter now."""
    offset = checkpoint.progress.offset if checkpoint else 0
    return one.blob_bytes - offset if one.blob_bytes >= offset else one.blob_bytes


def is_behind(one: Listed, checkpoint: Checkpoint | None, now: datetime) -> bool:
    """Whether a blob has something that its checkpoint does not know to be forwarded."""
    if one.blob_bytes == 0:
        return False
    if checkpoint is None or checkpoint.progress.etag != one.etag:
        return True
    return checkpoint.progress.pending_bytes > 0 and now - one.blob.log.hour >= SETTLED_AFTER


def has_run_out(checkpoint: Checkpoint, now: datetime) -> bool:
    """Whether its worker ended, or is suspended, without having released the claim."""
    return checkpoint.owned_until is not None and checkpoint.owned_until < now


def is_owed(checkpoint: Checkpoint, blob: BlobRef, since: datetime, now: datetime) -> bool:
    """Whether a sweep forwards the blob before its pass, which comes to blobs from `since` on."""
    if checkpoint.failure and now < try_again_at(checkpoint.failure):
        return False
    if checkpoint.owner:
        return has_run_out(checkpoint, now) and checkpoint.taken_over_at is None
    return blob.log.hour < since


def try_again_at(failure: Failure) -> datetime:
    """When the sweep tries a failing blob again: after a minute, doubled with each attempt.

    It waits at most 10 minutes, so that everything is forwarded soon after an outage ends, and an
    entry that the service refuses for what it is can soon be set aside. It waits 6 hours at most if
    the service refused the request and blamed no item. Events are tried at once.
    """
    is_for_hours = failure.is_refused and failure.refusal is None
    max_s = MAX_BACKOFF_OF_REFUSED_S if is_for_hours else MAX_BACKOFF_S
    wait_s = min(_FIRST_BACKOFF_S * 2 ** min(failure.attempts - 1, 20), max_s)
    return failure.at + timedelta(seconds=wait_s)
