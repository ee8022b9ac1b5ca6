"""Containers, queues and tables: what is there, what may be done with it, and no trace of it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from azurite_installation import ACCOUNT, AzuriteInstallation, found, ok

from flowlog_core.consume import Batch, decode
from flowlog_core.doctor import access
from flowlog_core.doctor.examine import Told, examine
from flowlog_core.doctor.facts import Finding


def test_before_the_first_log_nothing_is_a_fault_and_nothing_is_made(
    installation: AzuriteInstallation,
) -> None:
    later = "is not there yet: it is created when it is first needed"
    fix = "`flowlog doctor --fix` creates it now, and tries it"
    told = [one for one in examine(installation.open()) if one.about != "Settings"]
    kinds = (
        ("FLOWLOG_NSG_CONTAINER", installation.nsg),
        ("FLOWLOG_VNET_CONTAINER", installation.vnet),
    )
    assert told == [
        *(
            Told(
                "Source FlowLogs",
                Finding(
                    "warning",
                    f"there is no container {container} in account {ACCOUNT}",
                    "Network Watcher makes it with the first flow log of its kind. If there are "
                    "such logs, FlowLogs leads to another account than theirs, or "
                    f"{setting} names another container",
                ),
            )
            for setting, container in kinds
        ),
        Told("Source FlowLogs", ok(f"account {ACCOUNT}: the host gave up on no event")),
        Told("Checkpoints", ok(f"table {installation.checkpoints} {later}", fix)),
        Told(
            "Checkpoints",
            ok(
                "no sweep has run yet",
                "The function `sweep` of the app runs it every 5 minutes (FLOWLOG_SWEEP_MINUTES)",
            ),
        ),
        Told("Dead letters", ok(f"container {installation.dead} {later}", fix)),
        Told("Sink", ok(f"queue {installation.queue_name} {later}", fix)),
        Told("Clock", ok("this machine's clock agrees with the storage services'")),
    ]
    assert installation.names() == set()


@pytest.mark.parametrize(
    ("sink", "tried"),
    [
        ("queue", "queue {}: a hidden message was sent and taken back"),
        ("table", "table {} takes rows"),
    ],
)
def test_fix_makes_what_is_flowlogs_own_tries_it_and_leaves_nothing(
    installation: AzuriteInstallation, sink: str, tried: str
) -> None:
    name = installation.table_name if sink == "table" else installation.queue_name
    table, dead = installation.checkpoints, installation.dead
    examined = installation.open(may_create=True, FLOWLOG_SINK=sink)
    of_its_own = ("Checkpoints", "Dead letters", "Sink")
    made = [one.finding.what for one in examine(examined) if one.about in of_its_own]
    assert made == [
        f"table {table} was created",
        f"table {table}: an entity was written, read and removed",
        "no sweep has run yet",
        f"container {dead} was created",
        f"container {dead} can be written",
        f"{sink} {name} was created",
        tried.format(name),
    ]
    assert installation.names() == {table, dead, name}
    assert found("Sink", installation.open(FLOWLOG_SINK=sink)) == [ok(tried.format(name))]
    assert list(installation.tables.get_table_client(table).list_entities()) == []
    assert list(installation.blobs.get_container_client(dead).list_blobs()) == []
    if sink == "table":
        assert list(installation.tables.get_table_client(name).list_entities()) == []
    else:
        queue = installation.queues.get_queue_client(name)
        assert queue.get_queue_properties().approximate_message_count == 0


def test_each_shards_queue_is_tried_and_one_that_is_missing_is_named(
    installation: AzuriteInstallation,
) -> None:
    there = [f"{installation.queue_name}-{shard:02}" for shard in (0, 2)]
    for name in there:
        installation.queues.create_queue(name)
    missing = f"queue {installation.queue_name}-01"
    tried = [ok(f"queue {name}: a hidden message was sent and taken back") for name in there]
    assert found("Sink", installation.open(FLOWLOG_SHARDS="3")) == [
        tried[0],
        ok(
            f"{missing} is not there yet: it is created when it is first needed",
            "`flowlog doctor --fix` creates it now, and tries it",
        ),
        tried[1],
    ]
    assert found("Sink", installation.open(FLOWLOG_SHARDS="3", may_create=True)) == [
        tried[0],
        ok(f"{missing} was created"),
        ok(f"{missing}: a hidden message was sent and taken back"),
        tried[1],
    ]
    for queue in installation.queues.list_queues(name_starts_with=installation.queue_name):
        client = installation.queues.get_queue_client(queue)
        assert client.get_queue_properties().approximate_message_count == 0


def test_even_a_trial_message_left_behind_would_be_one_of_no_records() -> None:
    assert decode(access.trial_message()) == Batch("doctor", {}, [])


def test_containers_with_logs_are_listed_and_read(installation: AzuriteInstallation) -> None:
    installation.log()
    installation.blobs.create_container(installation.vnet)
    examined = installation.open()
    assert list(access.log_containers(examined, examined.settings.sources[0])) == [
        ok(f"container {installation.nsg} of account {ACCOUNT} can be listed and read"),
        ok(f"container {installation.vnet} of account {ACCOUNT} can be listed and read"),
    ]


def test_dead_letters_of_today_are_counted_and_named(installation: AzuriteInstallation) -> None:
    container = installation.blobs.create_container(installation.dead)
    names = [f"2026-01-01T{hour:02}Z/mac/digest.0.{hour}.json" for hour in range(4)]
    for name in (*names, "2025-12-31T23Z/mac/digest.0.9.json"):
        container.upload_blob(name, b"{}")
    at = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert list(access.dead_letter_container(installation.open(now=at))) == [
        ok(f"container {installation.dead} can be written"),
        Finding(
            "warning",
            f"4 dead letters of today's logs: {', '.join(names[:3])} and 1 more",
            f"Each blob in {installation.dead} says what could not be read, where it stood and "
            "why; the rest of its log was forwarded",
        ),
    ]
