"""One contract for every checkpoint store: in memory, and on a real table of Azurite."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from azure.data.tables import TableServiceClient

from flowlog_core.checkpoint import (
    Answer,
    Checkpoint,
    CheckpointKey,
    CheckpointStore,
    Failure,
    Progress,
    checkpoint_key,
)
from flowlog_core.demo.azurite import Azurite
from flowlog_core.errors import Conflict, NotFound, Refused, Unavailable
from flowlog_core.table_checkpoints import TableCheckpoints
from flowlog_core.testing.fault_proxy import Fault, FaultProxy
from flowlog_core.testing.memory import MemoryCheckpoints, some_blob

KEY = checkpoint_key(some_blob())
FULL = Checkpoint(
    blob="account/container/name",
    progress=Progress(
        offset=5_000_000_000,
        seam="ab12",
        generation=3,
        etag='"0x8D"',
        pending_bytes=17,
        entries=6_000_000_000,
        records=7_000_000_000,
        dead_letters=8,
        note="of a sweep",
    ),
    owner="worker",
    owned_until=datetime(2026, 1, 1, 12, 30, 15, 123456, tzinfo=UTC),
    rings=9,
    failure=Failure(4, datetime(2026, 1, 1, 12, 31, tzinfo=UTC), "no answer"),
)


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


def test_old_checkpoints_are_found_over_all_partitions_and_removed_if_unchanged(
    store: CheckpointStore,
) -> None:
    assert list(store.before("9")) == []
    keys = [checkpoint_key(some_blob(hour=hour)) for hour in (1, 2, 3)]
    keys.append(CheckpointKey("another", keys[0].row))
    for key in keys:
        store.create(key, FULL)
    found = dict(store.before(keys[2].row))
    assert {key: answer.checkpoint for key, answer in found.items()} == dict.fromkeys(
        [keys[0], keys[1], keys[3]], FULL
    )
    store.replace(keys[1], FULL, found[keys[1]].etag)
    with pytest.raises(Conflict):
        store.remove(keys[1], found[keys[1]].etag)
    store.remove(keys[3], found[keys[3]].etag)
    assert set(dict(store.before("9"))) == {keys[0], keys[1], keys[2]}


def test_every_answer_says_when(store: CheckpointStore) -> None:
    absent = store.get(KEY)
    created = store.create(KEY, FULL)
    replaced = store.replace(KEY, FULL, created.etag)
    moments = [one.server_time for one in (absent, created, replaced, store.get(KEY))]
    assert moments == sorted(moments)
    assert moments[-1] - moments[0] < timedelta(minutes=1)
    assert {moment.utcoffset() for moment in moments} == {timedelta(0)}


def test_a_checkpoint_of_an_unknown_format_stops_the_work(
    connection_string: str, unique: Callable[[str], str]
) -> None:
    service = TableServiceClient.from_connection_string(connection_string)
    table = service.create_table(unique("checkpoints"))
    table.create_entity({"PartitionKey": KEY.partition, "RowKey": KEY.row, "format": 2})
    with pytest.raises(Refused, match=r"format 2.*reads format 1"):
        TableCheckpoints(table).get(KEY)


def test_a_stored_checkpoint_reads_the_same_for_ever(
    connection_string: str, unique: Callable[[str], str]
) -> None:
    """The golden form: what is stored today must be understood by every later version."""
    service = TableServiceClient.from_connection_string(connection_string)
    table = service.create_table(unique("checkpoints"))
    TableCheckpoints(table).create(KEY, FULL)
    entity = table.get_entity(*KEY)
    assert {name: getattr(value, "value", value) for name, value in entity.items()} == {
        "PartitionKey": KEY.partition,
        "RowKey": KEY.row,
        "format": 1,
        "blob": "account/container/name",
        "offset": 5_000_000_000,
        "seam": "ab12",
        "generation": 3,
        "blob_etag": '"0x8D"',
        "pending_bytes": 17,
        "entries": 6_000_000_000,
        "records": 7_000_000_000,
        "dead_letters": 8,
        "owner": "worker",
        "owned_until": FULL.owned_until,
        "rings": 9,
        "note": "of a sweep",
        "failed_attempts": 4,
        "failed_at": datetime(2026, 1, 1, 12, 31, tzinfo=UTC),
        "error": "no answer",
    }


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
