"""Removing checkpoints that nobody can need any more, once a day."""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import timedelta

from flowlog_core.appended import LogReader
from flowlog_core.blob import BlobRef, hour_key
from flowlog_core.checkpoint import CheckpointStore
from flowlog_core.clock import Clock
from flowlog_core.errors import (
    Archived,
    Conflict,
    FlowlogError,
    NotFound,
    OutOfRange,
    UnknownAccount,
)
from flowlog_core.sweep.sweep import SWEEP_KEY

log = logging.getLogger(__name__)


def tidy(
    checkpoints: CheckpointStore, reader: LogReader, clock: Clock, keep_days: int, most_s: float
) -> int:
    """Remove checkpoints of hours more than `keep_days` days ago; returns how many.

    Only if the blob itself is gone: while it is there, any event might have it read again from its
    beginning. Stops after `most_s` seconds; the next day goes on with what is left.
    Raises a `StorageError` if the table cannot be read.
    """
    started, removed, kept = clock.monotonic(), 0, 0
    oldest_kept = checkpoints.get(SWEEP_KEY).server_time - timedelta(days=keep_days)
    for key, answer in checkpoints.before(hour_key(oldest_kept)):
        if clock.monotonic() - started >= most_s:
            break
        blob = BlobRef.parse(answer.checkpoint.blob) if answer.checkpoint else None
        if blob is None or key == SWEEP_KEY:
            continue
        try:
            if _is_gone(reader, blob):
                with suppress(Conflict):  # it is in use after all
                    checkpoints.remove(key, answer.etag)
                    removed += 1
        except UnknownAccount:
            kept += 1  # who adds the account again does not want its logs again
        except FlowlogError as error:
            log.warning("cannot tell whether %s may be forgotten: %s", blob, error)
    log.info("removed %d checkpoints of deleted blobs", removed)
    if kept:
        log.info("kept %d old checkpoints of accounts that are no source any more", kept)
    return removed


def _is_gone(reader: LogReader, blob: BlobRef) -> bool:
    try:
        reader.read(blob, 0, 1, None)
    except NotFound:
        return True
    except (OutOfRange, Archived):
        return False
    return False
