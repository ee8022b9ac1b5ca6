"""When everything was last looked at, in memory and on a real table of Azurite."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from azure.data.tables import TableServiceClient

from flowlog_core.checkpoints.cursors import TableCursors
from flowlog_core.operate.passes import PassStore, TablePasses
from flowlog_core.sweep.cursor import Container, Cursor, CursorStore
from flowlog_core.testing.memory import EPOCH, MemoryCursors

LOGS = Container("account", "insights-logs-example")
CURSOR = Cursor(EPOCH, EPOCH, done="a/b", owner="me", owned_until=EPOCH)
Stores = tuple[CursorStore, PassStore]


@pytest.fixture(params=["memory", "azurite"])
def stores(request: pytest.FixtureRequest, unique: Callable[[str], str]) -> Stores:
    if request.param == "memory":
        both = MemoryCursors()
        return both, both
    connection_string = request.getfixturevalue("connection_string")
    service = TableServiceClient.from_connection_string(connection_string)
    table = service.get_table_client(unique("checkpoints"))
    return TableCursors(table), TablePasses(table)


def test_looks_are_kept_apart_from_cursors_and_all_are_read_together(stores: Stores) -> None:
    cursors, kept = stores
    assert kept.passes()[:2] == ({}, {})
    at, more = datetime(2026, 1, 2, 3, tzinfo=UTC), Container(LOGS.account, "more")
    stored = cursors.put(LOGS, CURSOR, "")
    kept.note_look(LOGS, at)
    kept.note_look(more, at)
    kept.note_look(more, at + timedelta(hours=1))
    cursors_of, looks, server_time = kept.passes()
    assert cursors_of == {LOGS: CURSOR}
    assert looks == {LOGS: at, more: at + timedelta(hours=1)}
    assert server_time >= stored.server_time
    assert cursors.get(LOGS)[:2] == (CURSOR, stored.etag)
