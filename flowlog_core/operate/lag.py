"""How far the forwarding of one blob is behind: an upper bound, from its listing and checkpoint.

    commits      v1 ........ v2 ........ v3          now
    last read    v1 (to its end)
    lag          |<-------------------------------->|   now less the last-modified of v1

The oldest byte that is not forwarded came with v2, so the lag is too long by less than the time
between two commits, and never too short.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from flowlog_core.checkpoints.checkpoint import Checkpoint
from flowlog_core.source.listing import Listed

_CLOCK_RESOLUTION_S = 1
"""A service's `Date` and last-modified have whole seconds."""

_CLOSING_BYTES = 2
"""The brackets that end a blob; no entry is so short."""


class Behind(NamedTuple):
    """Bytes of a blob that are committed and not forwarded."""

    bytes: int
    """At most; the brackets that end a blob are among them."""
    since: datetime
    """They were committed after this moment."""

    def lag_s(self, now: datetime) -> float:
        """The age in seconds of the oldest of them, at most."""
        return max(0.0, (now - self.since).total_seconds() + _CLOCK_RESOLUTION_S)


def behind(one: Listed, checkpoint: Checkpoint | None) -> Behind | None:
    """What of a blob is not forwarded; None if all of it is.

    The checkpoint must have been read after the listing: a version that it knows and the listing
    does not is a newer one then.
    """
    if one.blob_bytes == 0:
        return None
    if checkpoint is None:
        return Behind(one.blob_bytes, one.blob.log.hour)
    progress = checkpoint.progress
    last_read = progress.blob_last_modified
    # Without a version that was read to its end, nothing is older than the blob, or its hour.
    since = progress.pending_since or last_read or progress.blob_created or one.blob.log.hour
    rest_bytes = one.blob_bytes - progress.offset
    # A checkpoint names no version while its worker looks at the blob again after a ring.
    is_known = last_read is not None and (
        last_read > one.last_modified
        or (last_read == one.last_modified and 0 <= rest_bytes <= _CLOSING_BYTES)
    )
    if is_known or progress.has_read(one.etag):
        return Behind(progress.pending_bytes, since) if progress.pending_bytes else None
    # A blob that is shorter than what was read of it was rewritten: all of it is new.
    return Behind(rest_bytes if rest_bytes > 0 else one.blob_bytes, since)
