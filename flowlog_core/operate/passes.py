"""When `flowlog run` and the sweep last looked at all of each container (decision 0028).

What `flowlog run` notes is kept in the table of the checkpoints, beside the sweep's cursors.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from azure.data.tables import TableClient

from flowlog_core.checkpoints.cursors import (
    CURSOR_FORMAT,
    SHARED,
    SWEEP_PARTITION,
    cursor_key,
    read_cursor,
)
from flowlog_core.checkpoints.entity import EntityTable
from flowlog_core.errors import Conflict
from flowlog_core.service import Service
from flowlog_core.sweep.cursor import Container, Cursor

_LOOK = "look"


class Passes(NamedTuple):
    """When all of each container was last looked at, and by whom."""

    cursors: dict[Container, Cursor]
    """Of the sweep."""
    looks: dict[Container, datetime]
    """When `flowlog run` last began a pass that could list everything."""
    server_time: datetime


class PassStore(Protocol):
    """Stores when `flowlog run` last looked. All methods raise a `StorageError`."""

    def note_look(self, container: Container, at: datetime) -> None:
        """Keep that `flowlog run` looked at all of a container: apart from the sweep's cursor."""
        ...

    def passes(self) -> Passes:
        """All that is kept, by few calls."""
        ...


class TablePasses:
    """A `PassStore` on the table of the checkpoints."""

    def __init__(self, table: TableClient) -> None:
        self._table = EntityTable(table)

    @classmethod
    def of(cls, service: Service) -> TablePasses:
        """Those of an installation."""
        settings = service.settings
        return cls(service.clients.table(settings.state, settings.checkpoint_table))

    def note_look(self, container: Container, at: datetime) -> None:
        """See `PassStore.note_look`."""
        key = cursor_key(container, _LOOK)
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
        """See `PassStore.passes`."""
        cursors: dict[Container, Cursor] = {}
        looks: dict[Container, datetime] = {}
        server_time = None
        for page in self._table.query(f"PartitionKey eq '{SWEEP_PARTITION}'"):
            server_time = page.server_time
            for entity in page.entities:
                container = Container(*entity.get("container", "").partition("/")[::2])
                if is_look(entity):
                    looks[container] = entity["looked_at"]
                elif entity["RowKey"] != SHARED.row:
                    cursors[container] = read_cursor(entity)
        if server_time is None:  # without the table
            server_time = self._table.get(SHARED).server_time
        return Passes(cursors, looks, server_time)


def is_look(entity: Mapping[str, Any]) -> bool:
    """Whether an entity of the cursors' partition says when `flowlog run` looked: no sweep did."""
    return str(entity["RowKey"]).startswith(f"{_LOOK}|")
