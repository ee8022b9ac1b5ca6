"""Removing checkpoints that nobody can need any more, once a day."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from datetime import timedelta

from flowlog_core.blob import BlobRef, hour_key
from flowlog_core.checkpoints.checkpoint import CheckpointKey, CheckpointStore
from flowlog_core.clock import Clock
from flowlog_core.errors import (
    Archived,
    Conflict,
    FlowlogError,
    NotFound,
    OutOfRange,
    UnknownAccount,
)
from flowlog_core.source.reading import LogReader

log = logging.getLogger(__name__)

_NO_BLOB = CheckpointKey("no", "blob")
"""Read for the service's time alone, which every answer tells."""


def remove_stale_checkpoints(
    checkpoints: CheckpointStore,
    reader: LogReader,
    clock: Clock,
    keep_days: int,
    max_s: float,
    stop: threading.Event | None = None,
) -> int:
    """Remove checkpoints of deleted blobs whose hour is more than `keep_days` days ago.

    Returns how many. A blob that still exists keeps its checkpoint, since an event of it would
    have it forwarded again from its beginning. Stops after `max_s` seconds, or at `stop`; what is
    left is removed the next day. Raises a `StorageError` if the table cannot be read.
    """
    started, removed, kept = clock.monotonic(), 0, 0
    oldest_kept = checkpoints.get(_NO_BLOB).server_time - timedelta(days=keep_days)
    for key, checkpoint, etag in checkpoints.scan(before=hour_key(oldest_kept)):
        if clock.monotonic() - started >= max_s or (stop and stop.is_set()):
            break
        blob = BlobRef.parse(checkpoint.blob)
        if blob is None:
            continue
        try:
            if _is_gone(reader, blob):
                with suppress(Conflict):  # it is in use after all
                    checkpoints.remove(key, etag)
                    removed += 1
        except UnknownAccount:
            kept += 1  # once it is a source again, its logs must not come again
        except FlowlogError as error:
            log.warning("keeping the checkpoint of %s, which may still exist: %s", blob, error)
    log.info("removed %d checkpoints of deleted blobs", removed)
    if kept:
        log.info("kept %d old checkpoints of accounts that are no longer in FLOWLOG_SOURCES", kept)
    return removed


def _is_gone(reader: LogReader, blob: BlobRef) -> bool:
    try:
        reader.read(blob, 0, 1, None)
    except NotFound:
        return True
    except (OutOfRange, Archived):
        return False
    return False
