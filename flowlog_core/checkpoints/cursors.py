"""The sweep's cursors in the table of the checkpoints, and the form in which each is stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

import orjson
from azure.data.tables import TableClient

from flowlog_core.checkpoints.checkpoint import CheckpointKey, table_key
from flowlog_core.checkpoints.entity import EntityTable, read_entity
from flowlog_core.errors import Conflict
from flowlog_core.sweep.cursor import Container, Cursor, Passes, StoredCursor

CURSOR_FORMAT = 1
SWEEP_PARTITION = "sweep"
"""Holds the cursors. Partitions of blobs have other names: they begin with an account and `|`."""
_SHARED = CheckpointKey(SWEEP_PARTITION, "cursor")
_LOOK = "look"


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

    def note_look(self, container: Container, at: datetime) -> None:
        """See `CursorStore.note_look`."""
        key = _key(_LOOK, container)
        entity = {
            "PartitionKey": key.partition,
            "RowKey": key.row,
            "format": CURSOR_FORMAT,
            "container": "/".join(container),
            "looked_at": at,
        }
        etag = self._table.get(key).etag
        with suppress(Conflict):  # another `flowlog run` looked at the same time
            if etag:
                self._table.replace(entity, etag)
            else:
                self._table.create(entity)

    def passes(self) -> Passes:
        """See `CursorStore.passes`."""
        cursors: dict[Container, Cursor] = {}
        looks: dict[Container, datetime] = {}
        server_time = None
        for page in self._table.query(f"PartitionKey eq '{SWEEP_PARTITION}'"):
            server_time = page.server_time
            for entity in page.entities:
                container = Container(*entity.get("container", "").partition("/")[::2])
                if is_look(entity):
                    looks[container] = entity["looked_at"]
                elif entity["RowKey"] != _SHARED.row:
                    cursors[container] = read_cursor(entity)
        if server_time is None:  # without the table
            server_time = self._table.get(_SHARED).server_time
        return Passes(cursors, looks, server_time)

    def get_shared(self) -> StoredCursor:
        """See `CursorStore.get_shared`."""
        entity, etag, server_time = self._table.get(_SHARED)
        return StoredCursor(
            None if entity is None else read_shared_cursor(entity), etag, server_time
        )

    def remove_shared(self, etag: str) -> None:
        """See `CursorStore.remove_shared`."""
        self._table.remove(_SHARED, etag)


def cursor_key(container: Container) -> CheckpointKey:
    """Where the cursor of a container is stored."""
    return _key("cursor", container)


def is_look(entity: Mapping[str, Any]) -> bool:
    """Whether an entity of the cursors' partition says when `flowlog run` looked: no sweep did."""
    return str(entity["RowKey"]).startswith(f"{_LOOK}|")


def _key(what: str, container: Container) -> CheckpointKey:
    return CheckpointKey(SWEEP_PARTITION, table_key(f"{what}|{container.account}|{container.name}"))


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
        "leaves_out_closed": cursor.leaves_out_closed or None,
        "closed_looked_at": cursor.closed_looked_at,
        "last_whole": cursor.last_whole,
        "saved": cursor.saved,
        "owner": cursor.owner,
        "owned_until": cursor.owned_until,
        "rings": cursor.rings,
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
        leaves_out_closed=entity.get("leaves_out_closed", False),
        closed_looked_at=entity.get("closed_looked_at"),
        last_whole=entity.get("last_whole"),
        saved=entity.get("saved"),
        owner=entity["owner"],
        owned_until=entity.get("owned_until"),
        rings=entity.get("rings", 0),  # which 0.1 did not write
    )


_CURSOR_READERS: dict[int, Callable[[Mapping[str, Any]], Cursor]] = {1: _cursor_of_format_1}
