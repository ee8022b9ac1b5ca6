"""Checkpoints and cursors in an Azure Storage table. Every write is conditional.

An entity's `format` says how its properties are to be read; it is raised when their meaning
changes, and every format that was ever written stays readable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import orjson
from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.core.pipeline import PipelineResponse
from azure.data.tables import EdmType, EntityProperty, TableClient, UpdateMode

from flowlog_core.checkpoints.checkpoint import (
    Answer,
    Checkpoint,
    CheckpointKey,
    Failure,
    Progress,
    table_key,
)
from flowlog_core.errors import Refused, Unavailable, storage_errors
from flowlog_core.storage.create_on_demand import create_if_missing, is_missing
from flowlog_core.storage.responses import server_time as server_time_of
from flowlog_core.storage.timeouts import time_limit
from flowlog_core.sweep.cursor import Container, Cursor, StoredCursor

CHECKPOINT_FORMAT = CURSOR_FORMAT = 1
SWEEP_PARTITION = "sweep"
"""Holds the cursors. Partitions of blobs have other names: they begin with an account and `|`."""
_SHARED = CheckpointKey(SWEEP_PARTITION, "cursor")

T = TypeVar("T")


class _Stored(NamedTuple):
    entity: Mapping[str, Any] | None
    etag: str
    server_time: datetime


class _Table:
    """One entity at a time, with the time and the ETag of each answer."""

    def __init__(self, client: TableClient) -> None:
        self.client = client

    def get(self, key: CheckpointKey) -> _Stored:
        date = _Date()
        with storage_errors(f"reading {_named(key)}"), time_limit():
            try:
                entity = self.client.get_entity(*key, raw_response_hook=date)
            except ResourceNotFoundError:
                return _Stored(None, "", date.read())
            except HttpResponseError as error:
                if not is_missing(error):
                    raise
                return _Stored(None, "", date.read())
        return _Stored(entity, str(entity.metadata["etag"]), date.read())

    def create(self, entity: Mapping[str, Any]) -> tuple[str, datetime]:
        date = _Date()
        with storage_errors(f"creating {_named(_key_of(entity))}"), time_limit():
            said = create_if_missing(
                lambda: self.client.create_entity(entity, raw_response_hook=date),
                self.client.create_table,
            )
        return _whole_etag(said), date.read()

    def replace(self, entity: Mapping[str, Any], etag: str) -> tuple[str, datetime]:
        date = _Date()
        with storage_errors(f"updating {_named(_key_of(entity))}"), time_limit():
            said = self.client.update_entity(
                entity,
                mode=UpdateMode.REPLACE,
                etag=etag,
                match_condition=MatchConditions.IfNotModified,
                raw_response_hook=date,
            )
        return _whole_etag(said), date.read()

    def remove(self, key: CheckpointKey, etag: str) -> None:
        with storage_errors(f"removing {_named(key)}"), time_limit():
            self.client.delete_entity(
                *key, etag=etag, match_condition=MatchConditions.IfNotModified
            )


class TableCheckpoints:
    """A `CheckpointStore` on one table, which is created on first use."""

    def __init__(self, table: TableClient) -> None:
        self._table = _Table(table)

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
        parameters = {"partition": partition, "first": first, "last": last}
        query = "PartitionKey eq @partition and RowKey ge @first and RowKey le @last"
        with storage_errors(f"reading the checkpoints {partition} from {first} to {last}"):
            try:
                entities = list(self._table.client.query_entities(query, parameters=parameters))
            except HttpResponseError as error:
                if not is_missing(error):
                    raise
                return {}
        return {entity["RowKey"]: read_checkpoint(entity) for entity in entities}

    def before(self, row: str) -> Iterator[tuple[CheckpointKey, Answer]]:
        """See `CheckpointStore.before`."""
        date = _Date()
        with storage_errors(f"reading the checkpoints before {row}"):
            try:
                for entity in self._table.client.query_entities(
                    "RowKey lt @row", parameters={"row": row}, raw_response_hook=date
                ):
                    key = CheckpointKey(entity["PartitionKey"], entity["RowKey"])
                    etag = str(entity.metadata["etag"])
                    yield key, Answer(read_checkpoint(entity), etag, date.read())
            except HttpResponseError as error:
                if not is_missing(error):
                    raise

    def remove(self, key: CheckpointKey, etag: str) -> None:
        """See `CheckpointStore.remove`."""
        self._table.remove(key, etag)


class TableCursors:
    """A `CursorStore` on the table of the checkpoints."""

    def __init__(self, table: TableClient) -> None:
        self._table = _Table(table)

    def get(self, container: Container) -> StoredCursor:
        """See `CursorStore.get`."""
        entity, etag, server_time = self._table.get(cursor_key(container))
        return StoredCursor(None if entity is None else read_cursor(entity), etag, server_time)

    def put(self, container: Container, cursor: Cursor, etag: str) -> StoredCursor:
        """See `CursorStore.put`."""
        entity = _cursor_entity(container, cursor)
        said = self._table.replace(entity, etag) if etag else self._table.create(entity)
        return StoredCursor(cursor, *said)

    def get_shared(self) -> StoredCursor:
        """See `CursorStore.get_shared`."""
        entity, etag, server_time = self._table.get(_SHARED)
        return StoredCursor(
            None if entity is None else read_shared_cursor(entity), etag, server_time
        )

    def remove_shared(self, etag: str) -> None:
        """See `CursorStore.remove_shared`."""
        self._table.remove(_SHARED, etag)


class _Date:
    """Catches the `Date` of an answer, whether the call succeeds or not."""

    def __init__(self) -> None:
        self._date: datetime | None = None

    def __call__(self, response: PipelineResponse[Any, Any]) -> None:
        self._date = server_time_of(response)

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


def _named(key: CheckpointKey) -> str:
    return f"the checkpoint {key.partition} {key.row}"


def _key_of(entity: Mapping[str, Any]) -> CheckpointKey:
    return CheckpointKey(entity["PartitionKey"], entity["RowKey"])


def cursor_key(container: Container) -> CheckpointKey:
    """Where the cursor of a container is stored."""
    return CheckpointKey(SWEEP_PARTITION, table_key(f"cursor|{container.account}|{container.name}"))


def _checkpoint_entity(key: CheckpointKey, checkpoint: Checkpoint) -> dict[str, Any]:
    progress = checkpoint.progress
    entity: dict[str, Any] = {
        "PartitionKey": key.partition,
        "RowKey": key.row,
        "format": CHECKPOINT_FORMAT,
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
    if checkpoint.owned_until is not None:
        entity["owned_until"] = checkpoint.owned_until
    if checkpoint.failure is not None:
        entity["failed_attempts"] = checkpoint.failure.attempts
        entity["failed_at"] = checkpoint.failure.at
        entity["error"] = checkpoint.failure.error
        if checkpoint.failure.is_refused:
            entity["is_refused"] = True
    return entity


def read_checkpoint(entity: Mapping[str, Any]) -> Checkpoint:
    """The checkpoint that an entity of any known format holds. Raises `Refused`."""
    return _read(entity, _CHECKPOINT_READERS, "the checkpoint of", entity.get("blob"))


def read_cursor(entity: Mapping[str, Any]) -> Cursor:
    """The cursor that an entity of any known format holds. Raises `Refused`."""
    return _read(entity, _CURSOR_READERS, "the cursor of", entity.get("container"))


def read_shared_cursor(entity: Mapping[str, Any]) -> Cursor | None:
    """The cursor of all containers, which Flowlog 0.1 kept as JSON in a checkpoint's `note`.

    Without `done`, since it moved through all containers and in the order that the service listed
    them in. None where no sweep had saved one yet.
    """
    if not entity.get("note"):
        return None
    note = orjson.loads(entity["note"])

    def moment(name: str) -> datetime | None:
        return datetime.fromisoformat(note[name]) if note[name] else None

    return Cursor(
        began=datetime.fromisoformat(note["began"]),
        since=datetime.fromisoformat(note["since"]),
        oldest_unfinished=moment("oldest_failed"),
        caught_up_since=moment("caught_up_since"),
        is_over=note["is_over"],
    )


def _read(
    entity: Mapping[str, Any],
    readers: Mapping[int, Callable[[Mapping[str, Any]], T]],
    kind: str,
    name: str | None,
) -> T:
    reader = readers.get(entity.get("format", 0))
    if reader is None:
        raise Refused(
            f"{kind} {name} has format {entity.get('format')}, and this version of Flowlog reads "
            f"{', '.join(map(str, readers))}: was it written by a newer one?"
        )
    return reader(entity)


def _checkpoint_of_format_1(entity: Mapping[str, Any]) -> Checkpoint:
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
        ),
        owner=entity["owner"],
        owned_until=entity.get("owned_until"),
        rings=_plain(entity["rings"]),
        failure=Failure(
            entity["failed_attempts"],
            entity["failed_at"],
            entity["error"],
            entity.get("is_refused", False),
        )
        if "failed_at" in entity
        else None,
    )


def _cursor_entity(container: Container, cursor: Cursor) -> dict[str, Any]:
    key = cursor_key(container)
    entity = {
        "PartitionKey": key.partition,
        "RowKey": key.row,
        "format": CURSOR_FORMAT,
        "container": "/".join(container),
        "began": cursor.began,
        "since": cursor.since,
        "done": cursor.done,
        "oldest_unfinished": cursor.oldest_unfinished,
        "caught_up_since": cursor.caught_up_since,
        "is_over": cursor.is_over,
        "saved": cursor.saved,
        "owner": cursor.owner,
        "owned_until": cursor.owned_until,
    }
    return {name: value for name, value in entity.items() if value is not None}


def _cursor_of_format_1(entity: Mapping[str, Any]) -> Cursor:
    return Cursor(
        began=entity["began"],
        since=entity["since"],
        done=entity["done"],
        oldest_unfinished=entity.get("oldest_unfinished"),
        caught_up_since=entity.get("caught_up_since"),
        is_over=entity["is_over"],
        saved=entity.get("saved"),
        owner=entity["owner"],
        owned_until=entity.get("owned_until"),
    )


_CHECKPOINT_READERS: dict[int, Callable[[Mapping[str, Any]], Checkpoint]] = {
    1: _checkpoint_of_format_1
}
_CURSOR_READERS: dict[int, Callable[[Mapping[str, Any]], Cursor]] = {1: _cursor_of_format_1}


def _int64(value: int) -> EntityProperty:
    return EntityProperty(value, EdmType.INT64)


def _plain(value: Any) -> int:
    return int(value.value) if isinstance(value, EntityProperty) else int(value)
