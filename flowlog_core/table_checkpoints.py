"""Checkpoints in an Azure Storage table: created, or replaced If-Match; nothing unconditional.

The entity's properties are listed in `_entity`; `format` is raised when their meaning changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.core.pipeline import PipelineResponse
from azure.data.tables import EdmType, EntityProperty, TableClient, UpdateMode

from flowlog_core.checkpoint import Answer, Checkpoint, CheckpointKey, Failure, Progress
from flowlog_core.errors import Refused, Unavailable, storage_errors
from flowlog_core.storage.create_on_demand import create_if_missing, is_missing
from flowlog_core.storage.responses import server_time

FORMAT = 1


class TableCheckpoints:
    """A `CheckpointStore` on one table, which is created when it is absent."""

    def __init__(self, table: TableClient) -> None:
        self._table = table

    def get(self, key: CheckpointKey) -> Answer:
        """See `CheckpointStore.get`."""
        date = _Date()
        with storage_errors(f"reading the checkpoint {key.partition} {key.row}"):
            try:
                entity = self._table.get_entity(*key, raw_response_hook=date)
            except ResourceNotFoundError:
                return Answer(None, "", date.read())
            except HttpResponseError as error:
                if not is_missing(error):
                    raise
                return Answer(None, "", date.read())
        return Answer(_checkpoint(entity), str(entity.metadata["etag"]), date.read())

    def create(self, key: CheckpointKey, checkpoint: Checkpoint) -> Answer:
        """See `CheckpointStore.create`."""
        date = _Date()
        entity = _entity(key, checkpoint)
        with storage_errors(f"creating the checkpoint {key.partition} {key.row}"):
            said = create_if_missing(
                lambda: self._table.create_entity(entity, raw_response_hook=date),
                self._table.create_table,
            )
        return Answer(checkpoint, _whole_etag(said), date.read())

    def replace(self, key: CheckpointKey, checkpoint: Checkpoint, etag: str) -> Answer:
        """See `CheckpointStore.replace`."""
        date = _Date()
        with storage_errors(f"updating the checkpoint {key.partition} {key.row}"):
            said = self._table.update_entity(
                _entity(key, checkpoint),
                mode=UpdateMode.REPLACE,
                etag=etag,
                match_condition=MatchConditions.IfNotModified,
                raw_response_hook=date,
            )
        return Answer(checkpoint, _whole_etag(said), date.read())

    def between(self, partition: str, first: str, last: str) -> dict[str, Checkpoint]:
        """See `CheckpointStore.between`."""
        parameters = {"partition": partition, "first": first, "last": last}
        query = "PartitionKey eq @partition and RowKey ge @first and RowKey le @last"
        with storage_errors(f"reading the checkpoints {partition} from {first} to {last}"):
            try:
                entities = list(self._table.query_entities(query, parameters=parameters))
            except HttpResponseError as error:
                if not is_missing(error):
                    raise
                return {}
        return {entity["RowKey"]: _checkpoint(entity) for entity in entities}

    def before(self, row: str) -> Iterator[tuple[CheckpointKey, Answer]]:
        """See `CheckpointStore.before`."""
        date = _Date()
        with storage_errors(f"reading the checkpoints before {row}"):
            try:
                for entity in self._table.query_entities(
                    "RowKey lt @row", parameters={"row": row}, raw_response_hook=date
                ):
                    key = CheckpointKey(entity["PartitionKey"], entity["RowKey"])
                    etag = str(entity.metadata["etag"])
                    yield key, Answer(_checkpoint(entity), etag, date.read())
            except HttpResponseError as error:
                if not is_missing(error):
                    raise

    def remove(self, key: CheckpointKey, etag: str) -> None:
        """See `CheckpointStore.remove`."""
        with storage_errors(f"removing the checkpoint {key.partition} {key.row}"):
            self._table.delete_entity(
                *key, etag=etag, match_condition=MatchConditions.IfNotModified
            )


class _Date:
    """Catches the `Date` of an answer, whether the call succeeds or not."""

    def __init__(self) -> None:
        self._date: datetime | None = None

    def __call__(self, response: PipelineResponse[Any, Any]) -> None:
        self._date = server_time(response)

    def read(self) -> datetime:
        """Raises `Unavailable` without one: the answer was cut off in its head."""
        if self._date is None:
            raise Unavailable("the table service answered without a Date: no claim can be timed")
        return self._date


def _whole_etag(said: Mapping[str, Any]) -> str:
    """The ETag of a write's answer. Raises `Unavailable` where the answer was cut off before it."""
    etag = str(said["etag"])
    if etag.count('"') != 2:
        raise Unavailable("the table service answered a write without an ETag")
    return etag


def _entity(key: CheckpointKey, checkpoint: Checkpoint) -> dict[str, Any]:
    progress = checkpoint.progress
    entity: dict[str, Any] = {
        "PartitionKey": key.partition,
        "RowKey": key.row,
        "format": FORMAT,
        "blob": checkpoint.blob,
        "offset": _int64(progress.offset),
        "seam": progress.seam,
        "generation": progress.generation,
        "blob_etag": progress.etag,
        "pending_bytes": _int64(progress.pending_bytes),
        "entries": _int64(progress.entries),
        "records": _int64(progress.records),
        "dead_letters": _int64(progress.dead_letters),
        "owner": checkpoint.owner,
        "rings": _int64(checkpoint.rings),
    }
    if progress.note:
        entity["note"] = progress.note
    if checkpoint.owned_until is not None:
        entity["owned_until"] = checkpoint.owned_until
    if checkpoint.failure is not None:
        entity["failed_attempts"] = checkpoint.failure.attempts
        entity["failed_at"] = checkpoint.failure.at
        entity["error"] = checkpoint.failure.error
    return entity


def _checkpoint(entity: Mapping[str, Any]) -> Checkpoint:
    if entity.get("format") != FORMAT:
        raise Refused(
            f"the checkpoint of {entity.get('blob')} has format {entity.get('format')}, this "
            f"version of Flowlog reads format {FORMAT}: was it written by a newer one?"
        )
    return Checkpoint(
        blob=entity["blob"],
        progress=Progress(
            offset=_plain(entity["offset"]),
            seam=entity["seam"],
            generation=_plain(entity["generation"]),
            etag=entity["blob_etag"],
            pending_bytes=_plain(entity["pending_bytes"]),
            entries=_plain(entity["entries"]),
            records=_plain(entity["records"]),
            dead_letters=_plain(entity["dead_letters"]),
            note=entity.get("note", ""),
        ),
        owner=entity["owner"],
        owned_until=entity.get("owned_until"),
        rings=_plain(entity["rings"]),
        failure=Failure(entity["failed_attempts"], entity["failed_at"], entity["error"])
        if "failed_at" in entity
        else None,
    )


def _int64(value: int) -> EntityProperty:
    return EntityProperty(value, EdmType.INT64)


def _plain(value: Any) -> int:
    return int(value.value) if isinstance(value, EntityProperty) else int(value)
