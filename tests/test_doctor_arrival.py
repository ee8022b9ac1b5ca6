"""Whether events arrive, with real logs and checkpoints and a controlled clock."""

from __future__ import annotations

import re
import threading
from datetime import UTC, datetime, timedelta

import pytest
from azurite_installation import ACCOUNT, AzuriteInstallation, ok

from flowlog_core.config.checks import Finding
from flowlog_core.doctor import arrival
from flowlog_core.doctor.endpoints import POISON_QUEUE
from flowlog_core.doctor.examine import examine
from flowlog_core.doctor.installation import Installation
from flowlog_core.errors import Unavailable
from flowlog_core.operate.catch_up import catch_up
from flowlog_core.operate.passes import TablePasses


def arrived(examined: Installation) -> list[Finding]:
    return arrival.events_arrive(examined, examined.settings.sources[0])


def test_a_change_that_waits_too_long_is_a_fault(installation: AzuriteInstallation) -> None:
    installation.log()
    examined = installation.open(now=installation.modified() + timedelta(minutes=12))
    assert arrived(examined) == [
        Finding(
            "fault",
            f"Account {ACCOUNT}: events do not arrive. 1 of 1 flow logs checked are behind, the "
            "oldest for 12 min; none has been forwarded",
            "Check that the app runs, and that polling has had time to find the change (it may "
            "take minutes). See also the poison queue and the sweep below. `flowlog run --once` "
            "forwards what is behind",
        )
    ]

    def to_do(trigger: str) -> str:
        changed = installation.open(now=examined.now(), FLOWLOG_TRIGGER_SOURCE=trigger)
        (finding,) = arrived(changed)
        return finding.to_do

    assert "an event subscription for Blob Created with this app as" in to_do("EventGrid")
    assert "for Blob Created with the queue flowlog-events as" in to_do("EventQueue")
    assert to_do("Timer") == (
        "Check that the app runs, and that its function `sweep` runs every 1 min; see the sweep "
        "below. `flowlog run --once` forwards what is behind"
    )


def test_a_young_change_is_on_its_way(installation: AzuriteInstallation) -> None:
    installation.log()
    examined = installation.open(now=installation.modified() + timedelta(seconds=40))
    assert arrived(examined) == [
        Finding(
            "warning",
            f"Account {ACCOUNT}: the newest change is 40 s old, and none has been forwarded",
            "Run this again in two minutes. If nothing is forwarded by then, events are lost",
        )
    ]


def test_what_is_forwarded_waits_for_nothing(installation: AzuriteInstallation) -> None:
    name = installation.log().blob.blob_name
    examined = installation.open(now=installation.modified() + timedelta(hours=1))
    examined.service.ingest_named("FlowLogs", installation.nsg, name)
    assert arrived(examined) == [
        ok(
            f"Account {ACCOUNT}: 0 of 1 flow logs checked have changes on the way; the newest "
            "forwarded change is 1 h 0 min old"
        )
    ]


def test_a_log_that_fails_is_named_with_its_error(installation: AzuriteInstallation) -> None:
    name = installation.log().blob.blob_name
    nowhere = "AccountName=x;AccountKey=eA==;QueueEndpoint=http://127.0.0.1:9/x"
    examined = installation.open(FLOWLOG_SINK_CONNECTION="Sink", Sink=nowhere)
    with pytest.raises(Unavailable):
        examined.service.ingest_named("FlowLogs", installation.nsg, name)
    (finding,) = arrived(examined)
    assert finding.level == "fault"
    assert re.fullmatch(
        rf"Forwarding {ACCOUNT}/{installation.nsg}/{name} failed once, last at .* UTC: sending "
        r".* refused \(libcurl error 7\)\W*\. Next try of the sweep: 20\S+ \S+ UTC",
        finding.what,
    )
    assert finding.to_do == (
        "Correct what the error names. The sweep then forwards the blob by itself, and `flowlog "
        "run --once` at once"
    )


def test_blobs_that_are_no_flow_logs_are_counted_and_named(
    installation: AzuriteInstallation,
) -> None:
    name = installation.log().blob.blob_name
    container = installation.blobs.get_container_client(installation.nsg)
    container.upload_blob(f"copies/{name}", b"{}")
    assert arrived(installation.open())[0] == Finding(
        "warning",
        f"Container {installation.nsg} of account {ACCOUNT}: 1 blob is not named like a flow log "
        f"and not forwarded, for example copies/{name}",
        "Azure writes NSG flow logs to the container insights-logs-networksecuritygroupflowevent "
        "and VNet flow logs to insights-logs-flowlogflowevent, none of them into a folder of "
        "another: check FLOWLOG_NSG_CONTAINER and FLOWLOG_VNET_CONTAINER",
    )


def test_no_log_for_hours_is_told(installation: AzuriteInstallation) -> None:
    installation.log(hours_ago=4)
    at = datetime.now(UTC)
    since = at - timedelta(hours=2)
    assert arrived(installation.open(now=at)) == [
        Finding(
            "warning",
            f"Account {ACCOUNT} has no flow log since {since:%H}:00 UTC",
            "If there was traffic since then, check in Network Watcher, Flow logs, that logging is "
            "on and writes to this account",
        )
    ]


def test_events_that_the_host_gave_up_are_counted(installation: AzuriteInstallation) -> None:
    queue = installation.queues.create_queue(POISON_QUEUE)
    try:
        queue.send_message("one")
        queue.send_message("two")
        examined = installation.open()
        findings = arrival.poison_queue(examined, examined.settings.sources[0])
    finally:
        queue.delete_queue()
    assert findings == [
        Finding(
            "warning",
            f"Account {ACCOUNT}: 2 events are in the queue webjobs-blobtrigger-poison. The host "
            "gave up on each after five tries",
            "The sweep forwards their flow logs. Find the errors in the app's log, then clear the "
            "queue",
        )
    ]


def test_the_event_queue_is_looked_for_and_its_poison_counted(
    installation: AzuriteInstallation,
) -> None:
    name = f"{installation.queue_name}-events"
    examined = installation.open(FLOWLOG_TRIGGER_SOURCE="EventQueue", FLOWLOG_EVENT_QUEUE=name)
    assert [(one.level, one.what) for one in arrival.event_queue(examined)] == [
        (
            "fault",
            f"Queue {name} does not exist: Event Grid cannot deliver events, and only the sweep "
            "forwards flow logs",
        )
    ]
    installation.queues.create_queue(name)
    installation.queues.create_queue(f"{name}-poison").send_message("one")
    assert [(one.level, one.what) for one in arrival.event_queue(examined)] == [
        ("ok", f"Queue {name} exists; about 0 events are waiting"),
        (
            "warning",
            f"1 events are in the queue {name}-poison. The host gave up on each after 10 tries",
        ),
    ]


@pytest.mark.parametrize("trigger", ["EventQueue", "Timer"])
def test_without_a_blob_trigger_no_queue_of_a_log_account_is_asked(
    installation: AzuriteInstallation, trigger: str
) -> None:
    """The app has no right to them, and nothing is there."""
    name = f"{installation.queue_name}-events"
    installation.queues.create_queue(name)
    told = examine(installation.open(FLOWLOG_TRIGGER_SOURCE=trigger, FLOWLOG_EVENT_QUEUE=name))
    events = [one.finding.what for one in told if one.about == "Events"]
    has_queue = [f"Queue {name} exists; about 0 events are waiting"]
    assert events == (has_queue if trigger == "EventQueue" else [])
    assert [one for one in told if "poison" in one.finding.what] == []


def test_where_only_flowlog_run_works_no_sweep_is_missed(installation: AzuriteInstallation) -> None:
    """Then the app's timer does not run, and need not."""
    service = installation.open().service
    catch_up(service, threading.Event(), is_noted=True)
    at = TablePasses.of(service).passes().server_time
    (finding,) = arrival.last_sweep(installation.open(now=at + timedelta(minutes=2)))
    assert (finding.level, finding.what) == ("ok", "flowlog run looked at everything 2 min ago")
    service.sweep()
    (finding,) = arrival.last_sweep(installation.open(now=at + timedelta(hours=3.1)))
    assert (finding.level, finding.what[:21]) == ("warning", "The last sweep was 3 ")


def test_a_sweep_is_known_by_its_checkpoint(installation: AzuriteInstallation) -> None:
    installation.open().service.sweep()
    at = datetime.now(UTC)
    (finding,) = arrival.last_sweep(installation.open(now=at))
    assert finding.level == "ok"
    assert arrival.last_sweep(installation.open(now=at + timedelta(hours=2, seconds=30))) == [
        Finding(
            "warning",
            "The last sweep was 2 h 0 min ago",
            "Check that the app runs and that its function `sweep` is enabled. It should run "
            "every 5 min (FLOWLOG_SWEEP_MINUTES)",
        )
    ]
