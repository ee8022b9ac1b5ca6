"""Whether events arrive, and what became of those that failed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from azure.core.exceptions import ResourceNotFoundError

from flowlog_core.checkpoint import Checkpoint, checkpoint_key
from flowlog_core.config.connections import Connection
from flowlog_core.config.settings import Settings
from flowlog_core.creation import is_absent
from flowlog_core.doctor.facts import Finding
from flowlog_core.doctor.installation import Installation
from flowlog_core.errors import NotFound, StorageError
from flowlog_core.source.listing import Listed, flow_logs_since
from flowlog_core.sweep.sweep import SWEEP_KEY, is_behind

LATE = timedelta(minutes=10)
"""A change that waits longer than this for its event will not see it any more."""
POISON_QUEUE = "webjobs-blobtrigger-poison"
"""Where the host puts events that failed too often: in the source's account."""
_HOURS_BACK = 2  # beside the open hour: in that one, each minute's append hides the age of the last
_LOOKED_AT = 32  # if events do not arrive, the first few logs show it
_LISTING_S = 6.0
_SWEEPS_OVERDUE = timedelta(hours=1)


def events_arrive(at: Installation, source: Connection) -> list[Finding]:
    """The changes of the last hours against the checkpoints."""
    account, now = at.service.accounts[source.name], at.now()
    since = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=_HOURS_BACK)
    checkpoints = at.service.pipeline.checkpoints
    try:
        listed = _changed_since(at, account, since)
        looked_at = [
            (one, checkpoints.get(checkpoint_key(one.blob)).checkpoint) for one in listed or ()
        ]
    except StorageError:  # the check of the container or table says it better
        return [
            Finding(
                "warning",
                f"account {account}: whether events arrive could not be seen",
                "Correct the faults of this source and of the checkpoints first",
            )
        ]
    if looked_at:
        return _arrived(looked_at, account, now, at.settings)
    if listed is None:  # the check of the containers says so
        return []
    return [
        Finding(
            "warning",
            f"account {account}: no flow log of {since:%H}:00 UTC or later",
            "If there was traffic since, look in Network Watcher, Flow logs, whether logging is on "
            "and which account it writes to",
        )
    ]


def _changed_since(at: Installation, account: str, since: datetime) -> list[Listed] | None:
    """The logs that were changed first and last of those of the hours from `since` on.

    None: there is no container.
    """
    found: list[Listed] = []
    absent = 0
    until_s = time.monotonic() + _LISTING_S
    for container in at.settings.containers:
        try:
            for batch in flow_logs_since(at.service.blobs, account, container, since):
                found += batch
                if time.monotonic() > until_s:
                    break
        except NotFound:
            absent += 1
    if absent == len(at.settings.containers):
        return None
    found.sort(key=lambda one: one.last_modified)
    half = _LOOKED_AT // 2
    return found if len(found) <= _LOOKED_AT else found[:half] + found[-half:]


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
                    f"forwarding {one.blob} failed {failure.attempts} times, last at "
                    f"{failure.at:%Y-%m-%d %H:%M:%S} UTC: {failure.error}",
                    "See what the error names; the sweep tries again by itself",
                )
            )
    unseen = [one for one, stored in waiting if stored is None or stored.failure is None]
    newest = max(one.last_modified for one, _ in looked_at)
    forwarded = [one.last_modified for one, stored in looked_at if (one, stored) not in waiting]
    last = (
        f"the newest forwarded one is {_age(now - max(forwarded))} old"
        if forwarded
        else "none is forwarded"
    )
    oldest = min((one.last_modified for one in unseen), default=now)
    if now - oldest > LATE:
        findings.append(
            Finding(
                "fault",
                f"account {account}: events do not arrive: of {len(looked_at)} logs looked at, "
                f"{len(unseen)} have changes that wait, the longest since {_age(now - oldest)}; "
                f"{last}",
                _what_to_do(settings, account),
            )
        )
    elif unseen and (not forwarded or newest - max(forwarded) > LATE):
        findings.append(
            Finding(
                "warning",
                f"account {account}: the newest change is {_age(now - newest)} old, and {last}",
                "Look again in two minutes: if nothing is forwarded then, events do not arrive",
            )
        )
    elif not findings:
        findings.append(
            Finding(
                "ok",
                f"account {account}: of {len(looked_at)} logs looked at, {len(unseen)} have "
                f"changes on the way; {last}",
            )
        )
    return findings


def _what_to_do(settings: Settings, account: str) -> str:
    trigger = (
        f"whether storage account {account} has an event subscription for Blob Created that leads "
        "to this app (its metrics show deliveries that failed)"
        if settings.trigger_source == "EventGrid"
        else "whether polling has had its time (it may take minutes)"
    )
    return (
        f"Look whether the app runs, {trigger}, and at the poison queue and the sweep below. "
        "`flowlog run --once` forwards what waits"
    )


def _age(age: timedelta) -> str:
    minutes, seconds = divmod(max(0, round(age.total_seconds())), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min" if minutes else f"{seconds} s"


def poison_queue(at: Installation, source: Connection) -> list[Finding]:
    """Events that the host gave up on."""
    account = at.service.accounts[source.name]
    queue = at.clients.queues(source).get_queue_client(POISON_QUEUE)
    try:
        properties = queue.get_queue_properties(raw_response_hook=at.hear)
    except ResourceNotFoundError as error:
        if not is_absent(error):
            raise
        messages = 0
    else:
        messages = properties.approximate_message_count or 0
    if messages == 0:
        return [Finding("ok", f"account {account}: the host gave up on no event")]
    return [
        Finding(
            "warning",
            f"account {account}: {messages} events in the queue {POISON_QUEUE}, on which the host "
            "gave up after five tries",
            "The sweep forwards their logs all the same. Read the app's log for the errors, then "
            "clear the queue",
        )
    ]


def last_sweep(at: Installation) -> list[Finding]:
    """When a sweep last wrote its checkpoint, and how it ended."""
    settings = at.settings
    table = at.clients.tables(settings.state).get_table_client(settings.checkpoint_table)
    try:
        entity = table.get_entity(*SWEEP_KEY, raw_response_hook=at.hear)
    except ResourceNotFoundError:
        return [
            Finding(
                "ok",
                "no sweep has run yet",
                "The function `sweep` of the app runs it every "
                f"{settings.sweep_minutes} minutes (FLOWLOG_SWEEP_MINUTES)",
            )
        ]
    written: Any = entity.metadata["timestamp"]  # of a stored entity never None, as typed
    age = at.now() - written
    if age > _SWEEPS_OVERDUE:
        return [
            Finding(
                "warning",
                f"the last sweep was {_age(age)} ago",
                "Look whether the app runs and its function `sweep` is enabled. It should run "
                f"every {settings.sweep_minutes} minutes (FLOWLOG_SWEEP_MINUTES)",
            )
        ]
    return [Finding("ok", f"the last sweep was {_age(age)} ago")]
