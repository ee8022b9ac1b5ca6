"""Checkpoints in an Azure Storage table, and the form in which each is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from azure.data.tables import EdmType, EntityProperty, TableClient

from flowlog_core.checkpoints.checkpoint import (
    Answer,
    Checkpoint,
    CheckpointKey,
    Failure,
    Progress,
    Refusal,
)
from flowlog_core.checkpoints.cursors import SWEEP_PARTITION
from flowlog_core.checkpoints.entity import (
    EntityTable,
    key_of,
    moment_in_filter,
    read_entity,
    text_in_filter,
)

CHECKPOINT_FORMAT = 2
"""1 was that of Flowlog 0.1."""


class TableCheckpoints:
    """A `CheckpointStore` on one table, which is created on first use."""

    def __init__(self, table: TableClient) -> None:
        self._table = EntityTable(table)

    def get(self, key: CheckpointKey) -> Answer:
        """See `CheckpointStore.get`."""
        entity, etag, server_time = self._table.get(key)
        return Answer(None if entity is None else read_checkpoint(entity), etag, server_time)

    def create(self, key: CheckpointKey, checkpoint: Checkpoint) -> Answer:
        """See `CheckpointStore.create`."""
        return Answer(checkpoint, *self._table.create(_checkpoint_entity(key, checkpoint)))

    def replace(self, key: CheckpointKey, checkpoint: Checkpoint, etag: str) -> Answer:
        """See `CheckpointStore.replace`."""
        return Answer(checkpoint, *self._table.replace(_checkpoint_entity(key, checkpoint), etag))

    def between(self, partition: str, first: str, last: str) -> dict[str, Checkpoint]:
        """See `CheckpointStore.between`."""
        return {
            entity["RowKey"]: read_checkpoint(entity)
            for page in self._table.query(_between(partition, first, last))
            for entity in page.entities
        }

    def forwarded(self, partition: str, first: str, last: str) -> dict[str, str]:
        """See `CheckpointStore.forwarded`."""
        wanted = ("RowKey", "format", "blob_etag", "pending_bytes")  # the same in all formats
        return {
            entity["RowKey"]: entity["blob_etag"]
            for page in self._table.query(_between(partition, first, last), select=wanted)
            for entity in page.entities
            if entity["format"] in _CHECKPOINT_READERS
            and entity["blob_etag"]
            and entity["pending_bytes"] == 0
        }

    def scan(
        self, since: str = "", before: str = "~"
    ) -> Iterator[tuple[CheckpointKey, Checkpoint, str]]:
        """See `CheckpointStore.scan`."""
        first, last = text_in_filter(since), text_in_filter(before)
        for page in self._table.query(f"{_OF_BLOBS} and RowKey ge {first} and RowKey lt {last}"):
            for entity in page.entities:
                yield key_of(entity), read_checkpoint(entity), entity["odata.etag"]

    def unsettled(
        self, now: datetime, after: str = ""
    ) -> Iterator[tuple[Sequence[Checkpoint], str]]:
        """See `CheckpointStore.unsettled`."""
        # The cursors of sweeps, in a partition of their own, have an `owned_until` too.
        ran_out = f"owned_until lt {moment_in_filter(now)}"
        where = f"{_OF_BLOBS} and ({ran_out} or failed_attempts ge 1)"
        for page in self._table.query(where, after=after):
            yield [read_checkpoint(entity) for entity in page.entities], page.after

    def remove(self, key: CheckpointKey, etag: str) -> None:
        """See `CheckpointStore.remove`."""
        self._table.remove(key, etag)


_OF_BLOBS = f"PartitionKey ne '{SWEEP_PARTITION}'"


def _between(partition: str, first: str, last: str) -> str:
    partition, first, last = map(text_in_filter, (partition, first, last))
    return f"PartitionKey eq {partition} and RowKey ge {first} and RowKey le {last}"


def _checkpoint_entity(key: CheckpointKey, checkpoint: Checkpoint) -> dict[str, Any]:
    progress = checkpoint.progress
    entity: dict[str, Any] = {
        "PartitionKey": key.partition,
        "RowKey": key.row,
        "format": CHECKPOINT_FORMAT,
        "blob": checkpoint.blob,
        "offset": _int64(progress.offset),
        "seam": progress.seam,
        "seam_bytes": progress.seam_bytes,
        "generation": progress.generation,
        "blob_etag": progress.etag,
        "pending_bytes": _int64(progress.pending_bytes),
        "entries": _int64(progress.entries),
        "records": _int64(progress.records),
        "dead_letters": _int64(progress.dead_letters),
        "owner": checkpoint.owner,
        "rings": _int64(checkpoint.rings),
    }
    if checkpoint.failure is not None:
        entity["failed_attempts"] = checkpoint.failure.attempts
        entity["failed_at"] = checkpoint.failure.at
        entity["error"] = checkpoint.failure.error
        if checkpoint.failure.is_refused:
            entity["is_refused"] = True
        if checkpoint.failure.refusal is not None:
            entity["refused_entry"] = checkpoint.failure.refusal.entry_id
            entity["refusals"] = checkpoint.failure.refusal.count
            entity["refused_at"] = checkpoint.failure.refusal.at
    if progress.dropped:
        entity["dropped"] = _int64(progress.dropped)
    if checkpoint.deaths:
        entity["deaths"] = checkpoint.deaths
    moments = {
        "owned_until": checkpoint.owned_until,
        "blob_created": progress.blob_created,
        "blob_last_modified": progress.blob_last_modified,
        "pending_since": progress.pending_since,
        "taken_over_at": checkpoint.taken_over_at,
    }
    entity |= {name: moment for name, moment in moments.items() if moment is not None}
    return entity


def read_checkpoint(entity: Mapping[str, Any]) -> Checkpoint:
    """The checkpoint that an entity of any known format holds. Raises `Refused`."""
    return read_entity(entity, _CHECKPOINT_READERS, "the checkpoint of", entity.get("blob"))


def _checkpoint_of_format_1(entity: Mapping[str, Any]) -> Checkpoint:
    """As 0.1 wrote it: without what format 2 may leave out, and its seam is of 64 bytes."""
    return _checkpoint_of_format_2({**entity, "seam_bytes": 64})


def _checkpoint_of_format_2(entity: Mapping[str, Any]) -> Checkpoint:
    return Checkpoint(
        blob=entity["blob"],
        progress=Progress(
            offset=entity["offset"],
            seam=entity["seam"],
            seam_bytes=entity["seam_bytes"],
            blob_created=entity.get("blob_created"),
            generation=entity["generation"],
            etag=entity["blob_etag"],
            blob_last_modified=entity.get("blob_last_modified"),
            pending_bytes=entity["pending_bytes"],
            pending_since=entity.get("pending_since"),
            entries=entity["entries"],
            records=entity["records"],
            dropped=entity.get("dropped", 0),
            dead_letters=entity["dead_letters"],
        ),
        owner=entity["owner"],
        owned_until=entity.get("owned_until"),
        rings=entity["rings"],
        failure=Failure(
            entity["failed_attempts"],
            entity["failed_at"],
            entity["error"],
            entity.get("is_refused", False),
            Refusal(entity["refused_entry"], entity["refusals"], entity["refused_at"])
            if "refused_at" in entity
            else None,
        )
        if "failed_at" in entity
        else None,
        deaths=entity.get("deaths", 0),
        taken_over_at=entity.get("taken_over_at"),
    )


_CHECKPOINT_READERS: dict[int, Callable[[Mapping[str, Any]], Checkpoint]] = {
    1: _checkpoint_of_format_1,
    2: _checkpoint_of_format_2,
}


def _int64(value: int) -> EntityProperty:
    return EntityProperty(value, EdmType.INT64)
