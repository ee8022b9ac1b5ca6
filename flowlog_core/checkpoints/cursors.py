"""The sweep's cursors in the table of the checkpoints, and the form in which each is stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

import orjson
from azure.data.tables import TableClient

from flowlog_core.checkpoints.checkpoint import CheckpointKey, table_key
from flowlog_core.checkpoints.entity import EntityTable, read_entity
from flowlog_core.sweep.cursor import Container, Cursor, StoredCursor

CURSOR_FORMAT = 1
SWEEP_PARTITION = "sweep"
"""Partition of the cursors. Partitions of blobs begin with an account and `|`."""
SHARED = CheckpointKey(SWEEP_PARTITION, "cursor")
"""The cursor of all containers, which Flowlog 0.1 kept."""


class TableCursors:
    """A `CursorStore` on the table of the checkpoints."""

    def __init__(self, table: TableClient) -> None:
        self._table = EntityTable(table)

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
        entity, etag, server_time = self._table.get(SHARED)
        return StoredCursor(
            None if entity is None else read_shared_cursor(entity), etag, server_time
        )

    def remove_shared(self, etag: str) -> None:
        """See `CursorStore.remove_shared`."""
        self._table.remove(SHARED, etag)


def cursor_key(container: Container, kind: str = "cursor") -> CheckpointKey:
    """Where the cursor of a container is stored, or what of another `kind` is kept beside it."""
    return CheckpointKey(SWEEP_PARTITION, table_key(f"{kind}|{container.account}|{container.name}"))


def read_cursor(entity: Mapping[str, Any]) -> Cursor:
    """The cursor that an entity of any known format holds. Raises `Refused`."""
    return read_entity(entity, _CURSOR_READERS, "the cursor of", entity.get("container"))


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


def _cursor_entity(container: Container, cursor: Cursor) -> dict[str, Any]:
    """Its properties are named as `Cursor`'s fields are: to rename one takes a new format."""
    key = cursor_key(container)
    entity = {
        "PartitionKey": key.partition,
        "RowKey": key.row,
        "format": CURSOR_FORMAT,
        "container": "/".join(container),
        **{name: getattr(cursor, name) for name in _FIELDS},
        "leaves_out_closed": cursor.leaves_out_closed or None,
    }
    return {name: value for name, value in entity.items() if value is not None}


def _cursor_of_format_1(entity: Mapping[str, Any]) -> Cursor:
    return Cursor(**{name: entity[name] for name in _FIELDS if name in entity})


_FIELDS = tuple(field.name for field in fields(Cursor))
_CURSOR_READERS: dict[int, Callable[[Mapping[str, Any]], Cursor]] = {1: _cursor_of_format_1}
