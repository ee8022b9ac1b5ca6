"""Chooses the shard of an interface's records: always the same one, whatever the hour.

A queue or table partition accepts a limited number of writes a second. `FLOWLOG_SHARDS` spreads the
interfaces over several. A worker that sends an entry again after a crash chooses the same shard, as
long as the number of shards stays the same.
"""

from __future__ import annotations

import json

from flowlog_core.blob import BlobRef, digest

MAX_SHARDS = 32
"""A storage account accepts as much as ten full queues or partitions, in some regions twenty. The
rest allows for uneven shares."""


def interface_key(blob: BlobRef) -> str:
    """The digest of the interface that logs to `blob`: 16 hexadecimal digits."""
    parts = blob.account, blob.container, blob.log.resource_id, blob.log.mac
    # Azure treats names that differ only in letter case as equal, and writes them in either case. A
    # JSON array separates the four, whatever characters they contain.
    text = json.dumps([part.lower() for part in parts])
    return digest(text, digest_bytes=8)


def shard_of(blob: BlobRef, shards: int) -> int:
    """The shard of the interface that logs to `blob`: from 0, below `shards`."""
    return int(interface_key(blob), 16) % shards


def suffixes(shards: int, mark: str) -> list[str]:
    """The suffix of each shard's queue or partition, after `mark`; "" for a single shard."""
    return [f"{mark}{shard:02}" for shard in range(shards)] if shards > 1 else [""]
