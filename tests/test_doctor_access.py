"""Containers, queues and tables: existence and permissions, checked without leaving a trace."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from azurite_installation import ACCOUNT, AzuriteInstallation, found, ok

from flowlog_core.config.checks import Finding
from flowlog_core.consume import Batch, decode
from flowlog_core.doctor import access
from flowlog_core.doctor.examine import examine
from flowlog_core.doctor.report import Told


def test_before_the_first_log_nothing_is_a_fault_and_nothing_is_made(
    installation: AzuriteInstallation,
) -> None:
    later = "does not exist yet. Flowlog creates it on first use"
    fix = "`flowlog doctor --fix` creates it now"
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
                    f"Account {ACCOUNT} has no container {container}",
                    "Network Watcher creates it with the first flow log of its kind. If you have "
                    "such logs, they are in another account than FlowLogs, or in another "
                    f"container than {setting} says",
                ),
            )
            for setting, container in kinds
        ),
        Told("Source FlowLogs", ok(f"Account {ACCOUNT}: the poison queue is empty")),
        Told("Checkpoints", ok(f"Table {installation.checkpoints} {later}", fix)),
        Told(
            "Checkpoints",
            ok(
                "No sweep has run yet",
                "The app's function `sweep` runs every 5 min (FLOWLOG_SWEEP_MINUTES)",
            ),
        ),
        Told("Dead letters", ok(f"Container {installation.dead} {later}", fix)),
        Told("Sink", ok(f"Queue {installation.queue_name} {later}", fix)),
        Told("Clock", ok("This machine's clock agrees with the storage services")),
    ]
    assert installation.names() == set()


@pytest.mark.parametrize(
    ("sink", "tried"),
    [
        ("queue", "Queue {}: an invisible test message was sent and deleted"),
        ("table", "Table {} accepts rows"),
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
        f"Table {table} was created",
        f"Table {table}: a test entity was written, read and deleted",
        "No sweep has run yet",
        f"Container {dead} was created",
        f"Container {dead} can be written to",
        f"{sink.capitalize()} {name} was created",
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
    missing = f"Queue {installation.queue_name}-01"
    tried = [ok(f"Queue {name}: an invisible test message was sent and deleted") for name in there]
    assert found("Sink", installation.open(FLOWLOG_SHARDS="3")) == [
        tried[0],
        ok(
            f"{missing} does not exist yet. Flowlog creates it on first use",
            "`flowlog doctor --fix` creates it now",
        ),
        tried[1],
    ]
    assert found("Sink", installation.open(FLOWLOG_SHARDS="3", may_create=True)) == [
        tried[0],
        ok(f"{missing} was created"),
        ok(f"{missing}: an invisible test message was sent and deleted"),
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
        ok(f"Container {installation.nsg} of account {ACCOUNT} can be listed and read"),
        ok(f"Container {installation.vnet} of account {ACCOUNT} can be listed and read"),
    ]


def test_dead_letters_of_today_are_counted_and_named(installation: AzuriteInstallation) -> None:
    container = installation.blobs.create_container(installation.dead)
    names = [f"2026-01-01T{hour:02}Z/mac/digest.0.{hour}.json" for hour in range(4)]
    for name in (*names, "2025-12-31T23Z/mac/digest.0.9.json"):
        container.upload_blob(name, b"{}")
    at = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert list(access.dead_letter_container(installation.open(now=at))) == [
        ok(f"Container {installation.dead} can be written to"),
        Finding(
            "warning",
            f"4 dead letters of today's flow logs: {', '.join(names[:3])} and 1 more",
            f"Each blob in {installation.dead} contains what could not be read, its offset and "
            "the reason. The rest of the flow log was forwarded",
        ),
    ]
