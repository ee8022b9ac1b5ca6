"""Which shard takes an interface's records: always the same one, whatever the hour.

A queue, or one partition of a table, takes only so much a second. `FLOWLOG_SHARDS` spreads the
interfaces over several. Whoever sends the same entry again, after a crash, finds the same shard,
as long as their number stays the same.
"""

from __future__ import annotations

import json

from flowlog_core.blob import BlobRef, digest

MAX_SHARDS = 32
"""A storage account takes as much as ten full queues or partitions, in some regions twenty;
the rest is room for shares that are not even."""


def shard_of(blob: BlobRef, shards: int) -> int:
    """The shard of the interface that logs to `blob`: from 0, below `shards`."""
    parts = blob.account, blob.container, blob.log.resource_id, blob.log.mac
    # Azure takes names that differ in letter case for the same, and writes them in either. A JSON
    # array keeps the four apart whatever characters they hold.
    text = json.dumps([part.lower() for part in parts])
    return int(digest(text, digest_bytes=8), 16) % shards


def suffixes(shards: int, mark: str) -> list[str]:
    """What each shard puts behind a name, `mark` first; nothing where there is but one."""
    return [f"{mark}{shard:02}" for shard in range(shards)] if shards > 1 else [""]
