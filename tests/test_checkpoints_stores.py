"""One contract for every checkpoint store: in memory, and on a real table of Azurite."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from azure.data.tables import (
    EdmType,
    EntityProperty,
    TableClient,
    TableServiceClient,
    UpdateMode,
)
from simulation.fault_proxy import Fault, FaultProxy
from stand_in import serving

from flowlog_core.blob import hour_key
from flowlog_core.checkpoints.checkpoint import (
    Answer,
    Checkpoint,
    CheckpointKey,
    CheckpointStore,
    Failure,
    Progress,
    Refusal,
    checkpoint_key,
)
from flowlog_core.checkpoints.cursors import TableCursors
from flowlog_core.checkpoints.table import TableCheckpoints
from flowlog_core.demo.azurite import Azurite
from flowlog_core.errors import Conflict, NotFound, Refused, Unavailable
from flowlog_core.sweep.cursor import Container, Cursor, CursorStore
from flowlog_core.testing.memory import EPOCH, MemoryCheckpoints, MemoryCursors, some_blob

KEY = checkpoint_key(some_blob())
FULL = Checkpoint(
    blob="account/container/name",
    progress=Progress(
        offset=5_000_000_000,
        seam="ab12",
        seam_bytes=256,
        blob_created=datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC),
        generation=3,
        etag='"0x8D"',
        blob_last_modified=datetime(2026, 1, 1, 12, 29, tzinfo=UTC),
        pending_bytes=17,
        pending_since=datetime(2026, 1, 1, 12, 28, tzinfo=UTC),
        entries=6_000_000_000,
        records=7_000_000_000,
        dropped=9_000_000_000,
        dead_letters=8,
    ),
    owner="worker",
    owned_until=datetime(2026, 1, 1, 12, 30, 15, 123456, tzinfo=UTC),
    rings=9,
    failure=Failure(
        4,
        datetime(2026, 1, 1, 12, 31, tzinfo=UTC),
        "no answer",
        refusal=Refusal("0123.3.5000", 2, datetime(2026, 1, 1, 12, 11, tzinfo=UTC)),
    ),
    deaths=2,
    taken_over_at=datetime(2026, 1, 1, 12, 30, 1, 500000, tzinfo=UTC),
)
BARE = Checkpoint("account/container/name", Progress(offset=100, seam="ab12"))
"""Of a blob that nothing has happened to yet."""


@pytest.fixture(params=["memory", "azurite"])
def store(request: pytest.FixtureRequest, unique: Callable[[str], str]) -> CheckpointStore:
    if request.param == "memory":
        return MemoryCheckpoints()
    connection_string = request.getfixturevalue("connection_string")
    service = TableServiceClient.from_connection_string(connection_string)
    return TableCheckpoints(service.get_table_client(unique("checkpoints")))


def test_there_is_nothing_before_the_first_create(store: CheckpointStore) -> None:
    answer = store.get(KEY)
    assert (answer.checkpoint, answer.etag) == (None, "")


def test_what_is_created_comes_back_whole(store: CheckpointStore) -> None:
    created = store.create(KEY, FULL)
    found = store.get(KEY)
    assert found.checkpoint == created.checkpoint == FULL
    assert found.etag == created.etag


def test_a_replaced_checkpoint_loses_what_it_no_longer_has(store: CheckpointStore) -> None:
    etag = store.create(KEY, FULL).etag
    released = replace(FULL, owner="", owned_until=None, failure=None)
    replaced = store.replace(KEY, released, etag)
    found = store.get(KEY)
    assert (found.checkpoint, found.etag) == (released, replaced.etag)
    assert replaced.etag != etag


def test_a_second_create_is_a_conflict_and_changes_nothing(store: CheckpointStore) -> None:
    store.create(KEY, FULL)
    with pytest.raises(Conflict):
        store.create(KEY, Checkpoint("another"))
    assert store.get(KEY).checkpoint == FULL


def test_a_replacement_of_an_older_version_is_a_conflict(store: CheckpointStore) -> None:
    old = store.create(KEY, FULL).etag
    newer = replace(FULL, rings=10)
    store.replace(KEY, newer, old)
    with pytest.raises(Conflict):
        store.replace(KEY, FULL, old)
    assert store.get(KEY).checkpoint == newer


def test_what_does_not_exist_cannot_be_replaced(store: CheckpointStore) -> None:
    store.create(CheckpointKey("another", "key"), FULL)
    with pytest.raises(NotFound):
        store.replace(KEY, FULL, "W/\"datetime'2026-01-01T00%3A00%3A00.0000000Z'\"")


def test_keys_are_apart(store: CheckpointStore) -> None:
    other = checkpoint_key(some_blob(hour=1))
    store.create(KEY, FULL)
    store.create(other, Checkpoint("other"))
    assert store.get(KEY).checkpoint == FULL
    assert store.get(other).checkpoint == Checkpoint("other")


def test_the_checkpoints_of_some_hours_come_together(store: CheckpointStore) -> None:
    keys = [checkpoint_key(some_blob(hour=hour)) for hour in range(5)]
    assert store.between(keys[0].partition, keys[0].row, keys[4].row) == {}
    for number, key in enumerate(keys):
        store.create(key, replace(FULL, rings=number))
    store.create(CheckpointKey("another", keys[2].row), FULL)
    assert store.between(keys[0].partition, keys[1].row, keys[3].row) == {
        key.row: replace(FULL, rings=number) for number, key in enumerate(keys) if 1 <= number <= 3
    }


def test_versions_that_are_forwarded_whole_are_told_for_some_hours(store: CheckpointStore) -> None:
    keys = [checkpoint_key(some_blob(hour=hour)) for hour in range(6)]
    whole = replace(FULL, progress=replace(FULL.progress, etag='"0x1"', pending_bytes=0))
    of_hour = {
        0: whole,
        1: whole,
        2: replace(whole, progress=replace(whole.progress, etag="")),
        3: replace(whole, progress=replace(whole.progress, pending_bytes=1)),
        4: replace(whole, progress=replace(whole.progress, etag='"0x4"')),
        5: whole,
    }
    for hour, checkpoint in of_hour.items():
        store.create(keys[hour], checkpoint)
    store.create(CheckpointKey("another", keys[1].row), whole)
    assert store.forwarded(keys[0].partition, keys[1].row, keys[4].row) == {
        keys[1].row: '"0x1"',
        keys[4].row: '"0x4"',
    }


def test_old_checkpoints_are_found_over_all_partitions_and_removed_if_unchanged(
    store: CheckpointStore,
) -> None:
    assert list(store.scan()) == []
    keys = [checkpoint_key(some_blob(hour=hour)) for hour in (1, 2, 3)]
    keys.append(CheckpointKey("another", keys[0].row))
    for key in keys:
        store.create(key, FULL)
    found = list(store.scan(before=keys[2].row))
    assert {key: checkpoint for key, checkpoint, _ in found} == dict.fromkeys(
        [keys[0], keys[1], keys[3]], FULL
    )
    etags = {key: etag for key, _, etag in found}
    store.replace(keys[1], FULL, etags[keys[1]])
    with pytest.raises(Conflict):
        store.remove(keys[1], etags[keys[1]])
    store.remove(keys[3], etags[keys[3]])
    assert {key for key, _, _ in store.scan()} == {keys[0], keys[1], keys[2]}


def test_checkpoints_from_an_hour_on_are_found_over_all_partitions(store: CheckpointStore) -> None:
    keys = {
        (hour, mac): checkpoint_key(some_blob(hour, mac=mac, container=f"logs-{mac}"))
        for hour in (5, 6, 7)
        for mac in ("A", "B")
    }
    for key in keys.values():
        store.create(key, FULL)
    later = [key for (hour, _), key in keys.items() if hour >= 6]
    since = hour_key(EPOCH + timedelta(hours=6))
    assert sorted(key for key, checkpoint, _ in store.scan(since) if checkpoint == FULL) == sorted(
        later
    )


def test_every_answer_says_when(store: CheckpointStore) -> None:
    absent = store.get(KEY)
    created = store.create(KEY, FULL)
    replaced = store.replace(KEY, FULL, created.etag)
    moments = [one.server_time for one in (absent, created, replaced, store.get(KEY))]
    assert moments == sorted(moments)
    assert moments[-1] - moments[0] < timedelta(minutes=1)
    assert {moment.utcoffset() for moment in moments} == {timedelta(0)}


# What is stored, as it is read for ever. Each entity is written out here, by the plain SDK.


_NOTHING: dict[str, Any] = {
    **dict.fromkeys(("offset", "pending_bytes", "entries", "records", "dead_letters"), 0),
    **dict.fromkeys(("seam", "blob_etag", "owner"), ""),
    **dict.fromkeys(("generation", "rings"), 0),
    "blob": "account/container/name",
}
_OF_BOTH_FORMATS: dict[str, Any] = {
    "blob": "account/container/name",
    "offset": EntityProperty(5_000_000_000, EdmType.INT64),
    "seam": "ab12",
    "generation": 3,
    "blob_etag": '"0x8D"',
    "pending_bytes": EntityProperty(17, EdmType.INT64),
    "entries": EntityProperty(6_000_000_000, EdmType.INT64),
    "records": EntityProperty(7_000_000_000, EdmType.INT64),
    "dead_letters": EntityProperty(8, EdmType.INT64),
    "owner": "worker",
    "owned_until": datetime(2026, 1, 1, 12, 30, 15, 123456, tzinfo=UTC),
    "rings": EntityProperty(9, EdmType.INT64),
    "failed_attempts": 4,
    "failed_at": datetime(2026, 1, 1, 12, 31, tzinfo=UTC),
    "error": "no answer",
}
_AS_0_1_WROTE_IT = replace(
    FULL,
    progress=replace(
        FULL.progress,
        seam_bytes=64,
        blob_created=None,
        blob_last_modified=None,
        pending_since=None,
        dropped=0,
    ),
    failure=Failure(4, datetime(2026, 1, 1, 12, 31, tzinfo=UTC), "no answer"),
    deaths=0,
    taken_over_at=None,
)

GOLDEN_CHECKPOINTS: dict[str, tuple[dict[str, Any], Checkpoint]] = {
    "format 1, as 0.1 wrote it": ({**_OF_BOTH_FORMATS, "format": 1}, _AS_0_1_WROTE_IT),
    "format 1, of an item that was refused": (
        {
            **_NOTHING,
            "format": 1,
            "failed_attempts": 2,
            "failed_at": datetime(2026, 1, 1, 12, 31, tzinfo=UTC),
            "error": "413",
            "is_refused": True,
        },
        Checkpoint(
            "account/container/name",
            Progress(seam_bytes=64),
            failure=Failure(2, datetime(2026, 1, 1, 12, 31, tzinfo=UTC), "413", is_refused=True),
        ),
    ),
    "format 2, with all that it may hold": (
        {
            **_OF_BOTH_FORMATS,
            "format": 2,
            "seam_bytes": 256,
            "dropped": EntityProperty(9_000_000_000, EdmType.INT64),
            "blob_created": datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC),
            "blob_last_modified": datetime(2026, 1, 1, 12, 29, tzinfo=UTC),
            "pending_since": datetime(2026, 1, 1, 12, 28, tzinfo=UTC),
            "refused_entry": "0123.3.5000",
            "refusals": 2,
            "refused_at": datetime(2026, 1, 1, 12, 11, tzinfo=UTC),
            "deaths": 2,
            "taken_over_at": datetime(2026, 1, 1, 12, 30, 1, 500000, tzinfo=UTC),
        },
        FULL,
    ),
    "format 2, with the least": (
        {**_NOTHING, "format": 2, "offset": 100, "seam": "ab12", "seam_bytes": 256},
        BARE,
    ),
}


@pytest.mark.parametrize("name", GOLDEN_CHECKPOINTS)
def test_a_checkpoint_of_every_format_is_read_and_kept(
    connection_string: str, unique: Callable[[str], str], name: str
) -> None:
    """It is written in the newest format, and then says no more and no less."""
    entity, checkpoint = GOLDEN_CHECKPOINTS[name]
    table = new_table(connection_string, unique)
    keys = {"PartitionKey": KEY.partition, "RowKey": KEY.row}
    table.create_entity({**keys, **entity})
    store = TableCheckpoints(table)
    found = store.get(KEY)
    assert found.checkpoint == checkpoint
    assert store.between(KEY.partition, KEY.row, KEY.row) == {KEY.row: checkpoint}
    etag = "" if checkpoint.progress.pending_bytes else checkpoint.progress.etag
    forwarded = {KEY.row: etag} if etag else {}
    assert store.forwarded(KEY.partition, KEY.row, KEY.row) == forwarded
    store.replace(KEY, checkpoint, found.etag)
    in_format_2 = {"format": 2, "seam_bytes": 64} if entity["format"] == 1 else {}
    assert plain(table.get_entity(*KEY)) == plain({**keys, **entity, **in_format_2})
    assert store.get(KEY).checkpoint == checkpoint


def test_a_checkpoint_of_an_unknown_format_stops_the_work(
    connection_string: str, unique: Callable[[str], str]
) -> None:
    table = new_table(connection_string, unique)
    table.create_entity({"PartitionKey": KEY.partition, "RowKey": KEY.row, "format": 99})
    with pytest.raises(Refused, match=r"format 99, and this version of Flowlog reads 1, 2"):
        TableCheckpoints(table).get(KEY)


@contextmanager
def checkpoints_answered(
    answer: Callable[[str], tuple[int, list[tuple[str, str]], bytes]],
) -> Iterator[TableCheckpoints]:
    """A store whose service answers a path with a status, these headers alone, and a body."""

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = answer(self.path)
            self.send_response_only(status)
            for name, value in (*headers, ("Content-Length", str(len(body)))):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with serving(Answering) as address:
        text = f"AccountName=a;AccountKey=Zm9v;TableEndpoint={address}/a"
        with TableServiceClient.from_connection_string(text, retry_total=0) as tables:
            yield TableCheckpoints(tables.get_table_client("checkpoints"))


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"<html>not here</html>", "404"),
        (b'{"odata.error":{"code":"ResourceNotFound"}}', "without a Date"),
    ],
)
def test_no_checkpoint_is_taken_for_absent_unless_the_service_says_so(
    body: bytes, error: str
) -> None:
    """Else a gateway's page for an unknown address would start every blob from its beginning."""

    with (
        checkpoints_answered(lambda _: (404, [], body)) as store,
        pytest.raises(Unavailable, match=error),
    ):
        store.get(KEY)


# Cursors.

LOGS = Container("account", "insights-logs-example")
CURSOR = Cursor(
    began=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
    since=datetime(2026, 1, 1, 3, tzinfo=UTC),
    done="resourceId=/A/",
    oldest_unfinished=datetime(2025, 12, 31, 23, tzinfo=UTC),
    caught_up_since=datetime(2025, 12, 1, tzinfo=UTC),
    leaves_out_closed=True,
    closed_looked_at=datetime(2026, 1, 2, 2, 30, tzinfo=UTC),
    last_whole=datetime(2026, 1, 2, 3, tzinfo=UTC),
    saved=datetime(2026, 1, 2, 3, 5, tzinfo=UTC),
    owner="sweep",
    owned_until=datetime(2026, 1, 2, 3, 8, tzinfo=UTC),
    rings=2,
)


@pytest.fixture(params=["memory", "azurite"])
def cursors(request: pytest.FixtureRequest, unique: Callable[[str], str]) -> CursorStore:
    if request.param == "memory":
        return MemoryCursors()
    connection_string = request.getfixturevalue("connection_string")
    service = TableServiceClient.from_connection_string(connection_string)
    return TableCursors(service.get_table_client(unique("checkpoints")))


def test_cursors_of_containers_are_apart_and_every_write_is_conditional(
    cursors: CursorStore,
) -> None:
    assert cursors.get(LOGS)[:2] == (None, "")
    created = cursors.put(LOGS, CURSOR, "")
    assert cursors.get(LOGS)[:2] == (CURSOR, created.etag)
    others = [Container("account", "other"), Container("other", "insights-logs-example")]
    assert [cursors.get(other).cursor for other in others] == [None, None]
    released = replace(CURSOR, owner="", owned_until=None, oldest_unfinished=None, is_over=True)
    replaced = cursors.put(LOGS, released, created.etag)
    assert cursors.get(LOGS)[:2] == (released, replaced.etag)
    for etag in ("", created.etag):
        with pytest.raises(Conflict):
            cursors.put(LOGS, CURSOR, etag)
    assert cursors.get(LOGS).cursor == released
    assert cursors.get(LOGS).server_time >= created.server_time


def test_cursors_are_nothing_to_those_who_read_checkpoints(
    connection_string: str, unique: Callable[[str], str]
) -> None:
    table = new_table(connection_string, unique)
    TableCursors(table).put(Container("0account", "container"), CURSOR, "")
    assert list(TableCheckpoints(table).scan()) == []


def test_a_format_that_is_not_known_is_not_believed_to_be_forwarded(
    connection_string: str, unique: Callable[[str], str]
) -> None:
    table = new_table(connection_string, unique)
    store = TableCheckpoints(table)
    store.create(KEY, replace(FULL, progress=replace(FULL.progress, etag='"1"', pending_bytes=0)))
    assert store.forwarded(KEY.partition, KEY.row, KEY.row) == {KEY.row: '"1"'}
    table.update_entity({**table.get_entity(*KEY), "format": 99})
    assert store.forwarded(KEY.partition, KEY.row, KEY.row) == {}
    with pytest.raises(Refused, match="has format 99"):
        store.between(KEY.partition, KEY.row, KEY.row)


def test_a_query_goes_on_where_the_service_says_and_where_a_caller_stopped() -> None:
    """ "Query timeout and pagination": a page may be empty and the second mark may be missing."""
    pages: dict[tuple[str | None, str | None], tuple[list[str], tuple[str, ...]]] = {
        (None, None): (["a"], ("1!p=", "1!r&")),
        ("1!p=", "1!r&"): ([], ("1!q+",)),
        ("1!q+", None): (["b"], ()),
    }

    a_row = {"odata.etag": "1", "format": 2, "seam": "", "seam_bytes": 256, "blob_etag": ""}
    a_row |= {"owner": ""}
    numbers = ("offset", "generation", "pending_bytes", "entries", "records", "dead_letters")
    for name in (*numbers, "rings"):
        a_row |= {name: "0", f"{name}@odata.type": "Edm.Int64"}

    def paged(path: str) -> tuple[int, list[tuple[str, str]], bytes]:
        asked = parse_qs(urlsplit(path).query)
        marks = [asked.get(name, [None])[0] for name in ("NextPartitionKey", "NextRowKey")]
        rows, after = pages[marks[0], marks[1]]
        entities = [{**a_row, "PartitionKey": "p", "RowKey": row, "blob": row} for row in rows]
        names = ("x-ms-continuation-NextPartitionKey", "x-ms-continuation-NextRowKey")
        headers = [("Date", formatdate(usegmt=True)), *zip(names, after, strict=False)]
        return 200, headers, json.dumps({"value": entities}).encode()

    with checkpoints_answered(paged) as store:
        assert [one.blob for _, one, _ in store.scan()] == ["a", "b"]
        now = datetime(2026, 1, 1, tzinfo=UTC)
        found = [([one.blob for one in page], after) for page, after in store.unsettled(now)]
        assert [blobs for blobs, _ in found] == [["a"], [], ["b"]]
        assert found[2][1] == ""
        later = store.unsettled(now, after=found[1][1])
        assert [one.blob for page, _ in later for one in page] == ["b"]


def test_nothing_is_found_where_nothing_was_stored(store: CheckpointStore) -> None:
    assert list(store.scan()) == []


@pytest.mark.parametrize("leaves_out", [True, False])
def test_a_stored_cursor_reads_the_same_for_ever(
    connection_string: str, unique: Callable[[str], str], leaves_out: bool
) -> None:
    """Earlier releases left out no hour."""
    cursor, more = replace(CURSOR, leaves_out_closed=False, closed_looked_at=None), {}
    if leaves_out:
        cursor = CURSOR
        looked_at = datetime(2026, 1, 2, 2, 30, tzinfo=UTC)
        more = {"leaves_out_closed": True, "closed_looked_at": looked_at}
    entity = {
        **more,
        "PartitionKey": "sweep",
        "RowKey": "cursor|account|insights-logs-example",
        "format": 1,
        "container": "account/insights-logs-example",
        "began": datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        "since": datetime(2026, 1, 1, 3, tzinfo=UTC),
        "done": "resourceId=/A/",
        "oldest_unfinished": datetime(2025, 12, 31, 23, tzinfo=UTC),
        "caught_up_since": datetime(2025, 12, 1, tzinfo=UTC),
        "is_over": False,
        "last_whole": datetime(2026, 1, 2, 3, tzinfo=UTC),
        "saved": datetime(2026, 1, 2, 3, 5, tzinfo=UTC),
        "owner": "sweep",
        "owned_until": datetime(2026, 1, 2, 3, 8, tzinfo=UTC),
    }
    table = new_table(connection_string, unique)
    table.create_entity(entity)
    store = TableCursors(table)
    assert store.get(LOGS).cursor == replace(cursor, rings=0)  # before there was a second timer
    entity["rings"] = 2
    table.upsert_entity(entity, mode=UpdateMode.REPLACE)
    found = store.get(LOGS)
    assert found.cursor == cursor
    store.put(LOGS, cursor, found.etag)
    assert plain(table.get_entity("sweep", "cursor|account|insights-logs-example")) == entity


def test_a_cursor_of_an_unknown_format_stops_the_sweep(
    connection_string: str, unique: Callable[[str], str]
) -> None:
    table = new_table(connection_string, unique)
    key = {"PartitionKey": "sweep", "RowKey": "cursor|account|insights-logs-example"}
    table.create_entity({**key, "format": 2, "container": "account/insights-logs-example"})
    with pytest.raises(Refused, match="the cursor of account/insights-logs-example has format 2"):
        TableCursors(table).get(LOGS)


@pytest.mark.parametrize("is_over", [True, False])
def test_the_cursor_that_0_1_kept_for_all_containers_is_read_once(
    connection_string: str, unique: Callable[[str], str], is_over: bool
) -> None:
    """It was a checkpoint without a blob, with this JSON as its note."""
    table = new_table(connection_string, unique)
    note = (
        '{"began":"2026-01-02T03:04:05+00:00","since":"2026-01-01T03:00:00+00:00",'
        '"account":"account","container":"insights-logs-example","name":"resourceId=/B",'
        '"oldest_failed":"2025-12-31T23:00:00+00:00","caught_up_since":null,'
        f'"is_over":{"true" if is_over else "false"}}}'
    )
    store = TableCursors(table)
    assert store.get_shared()[:2] == (None, "")
    entity, _ = GOLDEN_CHECKPOINTS["format 1, of an item that was refused"]
    key = {"PartitionKey": "sweep", "RowKey": "cursor"}
    table.create_entity({**entity, **key, "blob": "the sweep", "note": note})
    found = store.get_shared()
    assert found.cursor == Cursor(
        began=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        since=datetime(2026, 1, 1, 3, tzinfo=UTC),
        oldest_unfinished=datetime(2025, 12, 31, 23, tzinfo=UTC),
        is_over=is_over,
    )
    with pytest.raises(Conflict):
        store.remove_shared("W/\"datetime'2026-01-01T00%3A00%3A00.0000000Z'\"")
    store.remove_shared(found.etag)
    assert store.get_shared()[:2] == (None, "")


def new_table(connection_string: str, unique: Callable[[str], str]) -> TableClient:
    service = TableServiceClient.from_connection_string(connection_string)
    return service.create_table(unique("checkpoints"))


def plain(entity: Mapping[str, Any]) -> dict[str, Any]:
    return {name: getattr(value, "value", value) for name, value in entity.items()}


def test_an_answer_cut_off_in_its_head_is_none(
    azurite: Azurite, unique: Callable[[str], str]
) -> None:
    """The time and the ETag stand there; half of one would be a claim without an end, or lost."""
    cut = {Fault.CUT_IN_HEAD: 1}
    with FaultProxy(azurite.table_url, 1, rate=1, faults=cut) as proxy:
        text = replace(azurite, table_url=proxy.url).connection_string
        with TableServiceClient.from_connection_string(text, retry_total=0) as tables:
            store = TableCheckpoints(tables.get_table_client(unique("checkpoints")))
            etag = store.create(KEY, FULL).etag
            whole = cut_off = 0
            for _ in range(60):
                proxy.arm()
                said: Answer | None = None
                try:
                    said = store.replace(KEY, FULL, etag)
                except Unavailable:
                    cut_off += 1
                proxy.disarm()
                etag = store.get(KEY).etag
                if said is not None:
                    assert said.etag == etag
                    whole += 1
            assert whole
            assert cut_off


def test_claims_that_ran_out_and_failures_are_found_in_the_whole_table(
    store: CheckpointStore,
) -> None:
    now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert [one for page, _ in store.unsettled(now) for one in page] == []
    released = replace(FULL, owner="", owned_until=None, failure=None)
    stored = {
        "released": released,
        "alive": replace(released, owner="w", owned_until=now + timedelta(seconds=1)),
        "ran out": replace(released, owner="w", owned_until=now - timedelta(seconds=1)),
        "failed": replace(FULL, owner="", owned_until=None),
    }
    for number, checkpoint in enumerate(stored.values()):
        store.create(CheckpointKey(f"a|b|{number}", f"row {number}"), checkpoint)
    if isinstance(store, TableCheckpoints):  # the cursor of a sweep has a lease, too
        cursors = TableCursors(store._table.client)
        cursors.put(Container("a", "b"), Cursor(now, now, owner="w", owned_until=now), "")
    found = [one for page, _ in store.unsettled(now) for one in page]
    assert len(found) == 2
    assert {"ran out", "failed"} == {name for name, one in stored.items() if one in found}
