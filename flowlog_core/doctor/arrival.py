"""Whether events arrive, and what happened to those that failed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from azure.core.exceptions import ResourceNotFoundError

from flowlog_core.checkpoints.checkpoint import Checkpoint, checkpoint_key
from flowlog_core.checkpoints.cursors import SWEEP_PARTITION
from flowlog_core.config.checks import Finding
from flowlog_core.config.connections import Connection
from flowlog_core.config.settings import Settings
from flowlog_core.doctor.behind import WHERE_FLOW_LOGS_ARE, failed_and_next, not_flow_logs
from flowlog_core.doctor.endpoints import POISON_QUEUE
from flowlog_core.doctor.installation import Installation
from flowlog_core.errors import NotFound, StorageError
from flowlog_core.operate.passes import is_look
from flowlog_core.source.events import MAX_DELIVERIES, POISON_SUFFIX
from flowlog_core.source.listing import Listed, Others, flow_logs_since
from flowlog_core.storage.create_on_demand import is_missing
from flowlog_core.sweep.behind import is_behind

LATE = timedelta(minutes=10)
"""A change that has waited longer than this for its event will not get one."""
_HOURS_BACK = (
    2  # besides the open hour, in which each minute's append hides the age of the one before
)
_LOOKED_AT = 32  # if events do not arrive, the first few logs show it
_LISTING_S = 6.0
_SWEEPS_OVERDUE = timedelta(hours=1)


def events_arrive(at: Installation, source: Connection) -> list[Finding]:
    """Compare the changes of the last hours with the checkpoints."""
    account, now = at.service.accounts[source.name], at.now()
    since = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=_HOURS_BACK)
    checkpoints = at.service.pipeline.checkpoints
    try:
        listed, others = _changed_since(at, account, since)
        looked_at = [
            (one, checkpoints.get(checkpoint_key(one.blob)).checkpoint) for one in listed or ()
        ]
    except StorageError:  # another check explains it
        return [
            Finding(
                "unknown",
                f"Account {account}: cannot tell whether events arrive",
                "First correct the faults of this source and of the checkpoints",
            )
        ]
    if looked_at:
        return [*others, *_arrived(looked_at, account, now, at.settings)]
    if listed is None:  # the check of the containers says so
        return []
    return [
        *others,
        Finding(
            "warning",
            f"Account {account} has no flow log since {since:%H}:00 UTC",
            "If there was traffic since then, check in Network Watcher, Flow logs, that logging is "
            "on and writes to this account",
        ),
    ]


def _changed_since(
    at: Installation, account: str, since: datetime
) -> tuple[list[Listed] | None, list[Finding]]:
    """The flow logs of the hours from `since` on: those changed first, and those changed last.

    None if no container exists. Also a warning for each container with blobs that are not flow
    logs.
    """
    found: list[Listed] = []
    warnings = []
    absent = 0
    until_s = time.monotonic() + _LISTING_S
    for container in at.settings.containers:
        others = Others()
        try:
            for step in flow_logs_since(at.service.blobs, account, container, since):
                found += step.listed
                others = others.plus(step.others)
                if time.monotonic() > until_s:
                    break
        except NotFound:
            absent += 1
        if others.blobs:
            what = not_flow_logs(others.blobs, others.example)
            about = f"Container {container} of account {account}: {what}"
            warnings.append(Finding("warning", about, WHERE_FLOW_LOGS_ARE))
    if absent == len(at.settings.containers):
        return None, warnings
    found.sort(key=lambda one: one.last_modified)
    half = _LOOKED_AT // 2
    return (found if len(found) <= _LOOKED_AT else found[:half] + found[-half:]), warnings


def _arrived(
    looked_at: Sequence[tuple[Listed, Checkpoint | None]],
    account: str,
    now: datetime,
    settings: Settings,
) -> list[Finding]:
    findings = []
    waiting = [(one, stored) for one, stored in looked_at if is_behind(one, stored, now)]
    for one, stored in waiting:
        if stored is not None and (failure := stored.failure) is not None:
            findings.append(
                Finding(
                    "fault",
                    f"Forwarding {one.blob} {failed_and_next(failure)}",
                    "Correct what the error names. The sweep then forwards the blob by itself, and "
                    "`flowlog run --once` at once",
                )
            )
    unseen = [one for one, stored in waiting if stored is None or stored.failure is None]
    newest = max(one.last_modified for one, _ in looked_at)
    forwarded = [one.last_modified for one, stored in looked_at if (one, stored) not in waiting]
    last = (
        f"the newest forwarded change is {_age(now - max(forwarded))} old"
        if forwarded
        else "none has been forwarded"
    )
    oldest = min((one.last_modified for one in unseen), default=now)
    if now - oldest > LATE:
        findings.append(
            Finding(
                "fault",
                f"Account {account}: events do not arrive. {len(unseen)} of {len(looked_at)} flow "
                f"logs checked are behind, the oldest for {_age(now - oldest)}; {last}",
                _what_to_do(settings, account),
            )
        )
    elif unseen and (not forwarded or newest - max(forwarded) > LATE):
        findings.append(
            Finding(
                "warning",
                f"Account {account}: the newest change is {_age(now - newest)} old, and {last}",
                "Run this again in two minutes. If nothing is forwarded by then, events are lost",
            )
        )
    elif not findings:
        findings.append(
            Finding(
                "ok",
                f"Account {account}: {len(unseen)} of {len(looked_at)} flow logs checked have "
                f"changes on the way; {last}",
            )
        )
    return findings


def _what_to_do(settings: Settings, account: str) -> str:
    subscription = f"that storage account {account} has an event subscription for Blob Created with"
    triggers = {
        "EventGrid": f"{subscription} this app as its endpoint (`flowlog doctor --azure` checks "
        "that). See also the poison queue and the sweep below",
        "EventQueue": f"{subscription} the queue {settings.event_queue} as its endpoint (`flowlog "
        "doctor --azure` checks that). See also the event queue and the sweep below",
        "Timer": f"that its function `sweep` runs every {settings.sweep_minutes} min; see the "
        "sweep below",
        "LogsAndContainerScan": "that polling has had time to find the change (it may take "
        "minutes). See also the poison queue and the sweep below",
    }
    return (
        f"Check that the app runs, and {triggers[settings.trigger_source]}. `flowlog run --once` "
        "forwards what is behind"
    )


def _age(age: timedelta) -> str:
    minutes, seconds = divmod(max(0, round(age.total_seconds())), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min" if minutes else f"{seconds} s"


def poison_queue(at: Installation, source: Connection) -> list[Finding]:
    """Count the events that the host gave up on."""
    account = at.service.accounts[source.name]
    messages = _messages(at, source, POISON_QUEUE)
    if not messages:
        return [Finding("ok", f"Account {account}: the poison queue is empty")]
    return [
        Finding(
            "warning",
            f"Account {account}: {messages} events are in the queue {POISON_QUEUE}. The "
            "host gave up on each after five tries",
            "The sweep forwards their flow logs. Find the errors in the app's log, then clear the "
            "queue",
        )
    ]


def event_queue(at: Installation) -> list[Finding]:
    """The queue that Event Grid fills is there; count what waits and what the host gave up on."""
    state, name = at.settings.state, at.settings.event_queue
    waiting = _messages(at, state, name)
    if waiting is None:
        return [
            Finding(
                "fault",
                f"Queue {name} does not exist: Event Grid cannot deliver events, and only the "
                "sweep forwards flow logs",
                "Run `azd provision`, or create the queue, and an event subscription of each log "
                "account with this queue as its endpoint",
            )
        ]
    findings = [Finding("ok", f"Queue {name} exists; about {waiting} events are waiting")]
    poison = f"{name}{POISON_SUFFIX}"
    if messages := _messages(at, state, poison):
        findings.append(
            Finding(
                "warning",
                f"{messages} events are in the queue {poison}. The host gave up on each after "
                f"{MAX_DELIVERIES} tries",
                "The sweep forwards their flow logs. Find the errors in the app's log, then clear "
                "the queue",
            )
        )
    return findings


def _messages(at: Installation, connection: Connection, name: str) -> int | None:
    """About how many messages are in a queue; None if it does not exist."""
    queue = at.clients.queues(connection).get_queue_client(name)
    try:
        properties = queue.get_queue_properties(raw_response_hook=at.hear)
    except ResourceNotFoundError as error:
        if not is_missing(error):
            raise
        return None
    return properties.approximate_message_count or 0


def last_sweep(at: Installation) -> list[Finding]:
    """Report when a sweep last saved a cursor, or `flowlog run` last looked at everything."""
    settings = at.settings
    table = at.clients.tables(settings.state).get_table_client(settings.checkpoint_table)
    try:
        kept = list(
            table.query_entities(f"PartitionKey eq '{SWEEP_PARTITION}'", raw_response_hook=at.hear)
        )
    except ResourceNotFoundError:
        kept = []
    cursors = [one for one in kept if not is_look(one)]
    looks: list[datetime] = [one["looked_at"] for one in kept if is_look(one)]
    if looks and at.now() - max(looks) <= _SWEEPS_OVERDUE:
        return [
            Finding("ok", f"flowlog run looked at everything {_age(at.now() - max(looks))} ago")
        ]
    if not cursors:
        return [
            Finding(
                "ok",
                "No sweep has run yet",
                f"The app's function `sweep` runs every {settings.sweep_minutes} min "
                "(FLOWLOG_SWEEP_MINUTES)",
            )
        ]
    saved: list[Any] = [cursor.metadata["timestamp"] for cursor in cursors]  # never None, as typed
    age = at.now() - max(saved)
    if age > _SWEEPS_OVERDUE:
        return [
            Finding(
                "warning",
                f"The last sweep was {_age(age)} ago",
                "Check that the app runs and that its function `sweep` is enabled. It should "
                f"run every {settings.sweep_minutes} min (FLOWLOG_SWEEP_MINUTES)",
            )
        ]
    return [Finding("ok", f"The last sweep was {_age(age)} ago")]
