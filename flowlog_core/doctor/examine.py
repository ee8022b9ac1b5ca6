"""The table of all checks. They run at the same time, and none can hold up the answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple

from azure.core.exceptions import AzureError

from flowlog_core.clients import identity
from flowlog_core.config.connections import Connection, Service
from flowlog_core.doctor import access, arrival
from flowlog_core.doctor.explain_error import End, caller, explain_error
from flowlog_core.doctor.facts import Facts, Finding, cheap_findings
from flowlog_core.doctor.installation import Installation
from flowlog_core.doctor.workspace import takes_traffic, workspace
from flowlog_core.errors import StorageError

IDENTITY_S, STORAGE_S = 8.0, 15.0
"""How long all checks together may take: of the identities, then of what they open."""
_TOKEN_SCOPE = "https://storage.azure.com/.default"  # noqa: S105 - an address, no secret
_BLOB_TRIGGER = (
    "Storage Blob Data Reader (Storage Blob Data Owner where the host polls instead of Event Grid)"
)
_SINK: dict[Service, str] = {
    "queue": "Storage Queue Data Message Sender (or Contributor, which may create the queue too)",
    "table": "Storage Table Data Contributor",
}
_SKEW_TO_TELL, _SKEW_REFUSED = timedelta(seconds=5), timedelta(minutes=15)


class Check(NamedTuple):
    """One check of an installation."""

    about: str
    """The heading its findings are told under."""
    end: End
    """What it works on; an error there is explained by it."""
    find: Callable[[], Iterable[Finding]]
    """May raise a `StorageError` or `AzureError`."""
    is_vital: bool = True
    """Whether logs are not forwarded where this fails; otherwise it is a warning at most."""


class Told(NamedTuple):
    """A finding under its heading."""

    about: str
    finding: Finding


def storage_checks(at: Installation) -> list[Check]:
    """All checks that ask storage services, in the order in which they are told.

    The roles are the least that do. That the blob trigger takes more than reading:
    learn.microsoft.com, "Azure Blob storage trigger for Azure Functions", Identity-based
    connections; what each role may do: "Azure built-in roles for Storage".
    """
    sink = at.settings.sink
    checks = []
    for source in at.settings.sources:
        about = f"Source {source.name}"
        blobs = _end(at, source, "blob", _BLOB_TRIGGER)
        queues = _end(at, source, "queue", "Storage Queue Data Contributor")
        checks += [
            Check(about, blobs, partial(access.log_containers, at, source)),
            Check(about, blobs, partial(arrival.events_arrive, at, source)),
            Check(about, queues, partial(arrival.poison_queue, at, source)),
        ]
    state = at.settings.state
    tables = _end(at, state, "table", "Storage Table Data Contributor")
    letters = _end(at, state, "blob", "Storage Blob Data Contributor")
    records = _end(at, at.settings.sink_connection, sink, _SINK[sink])
    return [
        *checks,
        Check("Checkpoints", tables, partial(access.checkpoint_table, at)),
        Check("Checkpoints", tables, partial(arrival.last_sweep, at)),
        Check("Dead letters", letters, partial(access.dead_letter_container, at)),
        *(Check("Sink", records, find) for find in access.sink(at)),
    ]


def examine(at: Installation) -> list[Told]:
    """All findings. Takes no longer than the two limits above, whatever does not answer."""
    told = [Told("Settings", one) for one in cheap_findings(at.settings, at.environment)]
    checks = storage_checks(at)
    without_token: set[str] = set()
    asked = list(_identity_checks(Facts(at.settings, at.environment).connections))
    for check, findings in zip(asked, within(IDENTITY_S, asked), strict=True):
        told += [Told(check.about, finding) for finding in findings]
        if any(finding.level == "fault" for finding in findings):
            without_token.add(caller(check.end.connection))
    able = [check for check in checks if caller(check.end.connection) not in without_token]
    if at.settings.traffic_rule:
        able.append(Check("Traffic", workspace(at), partial(takes_traffic, at), is_vital=False))
    for check, findings in zip(able, within(STORAGE_S, able), strict=True):
        for one in findings:
            level = "warning" if one.level == "fault" and not check.is_vital else one.level
            new = Told(check.about, replace(one, level=level))
            # Several checks of one end find the same thing wrong with it: that is told once.
            if new not in told:
                told.append(new)
    return told + [Told("Clock", finding) for finding in clock(at.ahead)]


def _end(at: Installation, connection: Connection, service: Service, role: str) -> End:
    open_service: dict[Service, Callable[[Connection], Any]] = {
        "blob": at.clients.blobs,
        "queue": at.clients.queues,
        "table": at.clients.tables,
    }
    client = open_service[service](connection)
    account = client.account_name or client.url.partition("://")[2].partition("/")[0]
    return End(connection, service, account, role)


def _identity_checks(connections: Sequence[Connection]) -> Iterator[Check]:
    """One for each identity; each says which connections it opens."""
    by_caller: dict[str, list[Connection]] = {}
    for connection in connections:
        if connection.connection_string is None:
            by_caller.setdefault(caller(connection), []).append(connection)
    for name, opened in by_caller.items():
        used_by = ", ".join(connection.name for connection in opened)
        end = End(opened[0], "blob", used_by, "")
        yield Check("Identity", end, partial(_has_token, name, used_by, opened[0].client_id))


def _has_token(name: str, used_by: str, client_id: str | None) -> Iterator[Finding]:
    try:
        identity(client_id).get_token(_TOKEN_SCOPE)
    except (AzureError, ValueError) as error:
        assigned = (
            f"Assign the user-assigned identity of {used_by}__clientId to the app"
            if client_id
            else "Switch on the app's system-assigned identity, or name a user-assigned one in "
            f"{used_by}__clientId"
        )
        yield Finding(
            "fault",
            f"{name}, for {used_by}, gets no token, so nothing was tried with it: "
            f"{str(error).strip().partition(chr(10))[0]}",
            f"{assigned}. Identities exist where the app runs, in Azure; to look from another "
            "machine, use a connection string",
        )
    else:
        yield Finding("ok", f"{name}, for {used_by}, gets tokens for storage")


def clock(ahead: dict[str, timedelta]) -> list[Finding]:
    """How far this machine's clock is off, by what the services answered."""
    if not ahead:
        return []
    host, most = max(ahead.items(), key=lambda item: abs(item[1]))
    off_s = abs(most).total_seconds()
    if abs(most) <= _SKEW_TO_TELL:
        return [Finding("ok", "this machine's clock agrees with the storage services'")]
    what = f"this machine's clock is {off_s:.0f} s {'ahead of' if most > timedelta() else 'behind'}"
    what += f" the clock of {host}"
    if abs(most) <= _SKEW_REFUSED:
        to_do = "Set the clock, or logs are misdated. Claims do not depend on it"
        return [Finding("warning", what, to_do)]
    to_do = "Set the clock: storage refuses what is signed with a key or SAS 15 minutes off"
    return [Finding("fault", what, to_do)]


def within(seconds: float, checks: Sequence[Check]) -> list[list[Finding]]:
    """What each check finds; one that is not done in time is told so, and left behind."""
    found: list[list[Finding]] = [[] for _ in checks]
    threads = [
        # A thread in the system's name resolution cannot be stopped; a daemon can be left.
        threading.Thread(target=_run, args=(check, findings), daemon=True)
        for check, findings in zip(checks, found, strict=True)
    ]
    for thread in threads:
        thread.start()
    until_s = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, until_s - time.monotonic()))
    return [
        # A copy, as the thread may find something yet.
        [*findings, _not_in_time(check, seconds)] if thread.is_alive() else findings
        for check, findings, thread in zip(checks, found, threads, strict=True)
    ]


def _not_in_time(check: Check, seconds: float) -> Finding:
    return Finding(
        "fault",
        f"{check.end} did not answer within {seconds:g} s",
        f"Look at the address in {check.end.setting}, and whether the network lets connections out",
    )


def _run(check: Check, findings: list[Finding]) -> None:
    try:
        findings.extend(check.find())
    except (AzureError, StorageError) as error:
        findings.append(explain_error(error, check.end))
    except Exception as error:  # noqa: BLE001 - a check that breaks must not end the others
        findings.append(
            Finding("fault", f"{check.end}: the check broke: {type(error).__name__}: {error}")
        )
