"""The list of all checks. They run at the same time, and none can delay the answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import NamedTuple

from azure.core.exceptions import AzureError

from flowlog_core.config.checks import Facts, Finding, cheap_findings
from flowlog_core.config.connections import Connection
from flowlog_core.doctor import access, arrival
from flowlog_core.doctor.endpoints import Endpoint, Endpoints, caller
from flowlog_core.doctor.event_hub import accepts_events, hub_endpoint
from flowlog_core.doctor.explain_error import explain_error
from flowlog_core.doctor.installation import Installation
from flowlog_core.doctor.report import Told
from flowlog_core.doctor.settings import route, versions
from flowlog_core.doctor.workspace import accepts_traffic, workspace
from flowlog_core.storage.clients import identity

IDENTITY_S, STORAGE_S = 8.0, 15.0
"""Time limits for all checks together: first of identities, then of storage services."""
_TOKEN_SCOPE = "https://storage.azure.com/.default"  # noqa: S105 - an address, not a secret
_SKEW_TO_TELL, _SKEW_REFUSED = timedelta(seconds=5), timedelta(minutes=15)


class Check(NamedTuple):
    """One check of an installation."""

    about: str
    """The heading of its findings."""
    endpoint: Endpoint
    """What it examines; an error is explained for this endpoint."""
    find: Callable[[], Iterable[Finding]]
    """May raise anything; `explain_error` says what it means."""
    is_vital: bool = True
    """Whether its faults stop logs from being forwarded; otherwise they become warnings."""


def storage_checks(at: Installation) -> list[Check]:
    """All checks of storage services, in the order in which their findings are printed."""
    endpoints = Endpoints.of(at.settings, at.clients)
    checks = []
    for source, opened in zip(at.settings.sources, endpoints.sources, strict=True):
        about = f"Source {source.name}"
        checks += [
            Check(about, opened.blobs, partial(access.log_containers, at, source)),
            Check(about, opened.blobs, partial(arrival.events_arrive, at, source)),
        ]
        if opened.queues is not None:
            checks.append(Check(about, opened.queues, partial(arrival.poison_queue, at, source)))
    if endpoints.events is not None:
        checks.append(Check("Events", endpoints.events, partial(arrival.event_queue, at)))
    return [
        *checks,
        Check("Checkpoints", endpoints.checkpoints, partial(access.checkpoint_table, at)),
        Check("Checkpoints", endpoints.checkpoints, partial(arrival.last_sweep, at)),
        Check("Dead letters", endpoints.dead_letters, partial(access.dead_letter_container, at)),
        *_sink_checks(at, endpoints.records),
    ]


def _sink_checks(at: Installation, records: Endpoint | None) -> list[Check]:
    if records is None:
        return [Check("Sink", hub_endpoint(at.settings), partial(accepts_events, at))]
    return [Check("Sink", records, find) for find in access.sink(at)]


def examine(at: Installation) -> list[Told]:
    """All findings, within the two time limits above, even if nothing answers."""
    cheap = cheap_findings(at.settings, at.environment)
    told = [Told("Settings", one) for one in (versions(), route(at.settings), *cheap)]
    checks = storage_checks(at)
    without_token: set[str] = set()
    asked = list(_identity_checks(Facts(at.settings, at.environment).connections))
    for check, findings in zip(asked, within(IDENTITY_S, asked), strict=True):
        told += [Told(check.about, finding) for finding in findings]
        if any(finding.level == "fault" for finding in findings):
            without_token.add(caller(check.endpoint.connection))
    able = [check for check in checks if caller(check.endpoint.connection) not in without_token]
    if at.settings.traffic_rule:
        able.append(Check("Traffic", workspace(at), partial(accepts_traffic, at), is_vital=False))
    for check, findings in zip(able, within(STORAGE_S, able), strict=True):
        for one in findings:
            level = "warning" if one.level == "fault" and not check.is_vital else one.level
            new = Told(check.about, replace(one, level=level))
            # Several checks of one endpoint may find the same fault: it is reported once.
            if new not in told:
                told.append(new)
    return told + [Told("Clock", finding) for finding in clock(at.ahead)]


def _identity_checks(connections: Sequence[Connection]) -> Iterator[Check]:
    """One check for each identity; it names the connections that use it."""
    by_caller: dict[str, list[Connection]] = {}
    for connection in connections:
        if connection.connection_string is None:
            by_caller.setdefault(caller(connection), []).append(connection)
    for name, opened in by_caller.items():
        used_by = ", ".join(connection.name for connection in opened)
        endpoint = Endpoint(opened[0], "blob", used_by, "")
        yield Check("Identity", endpoint, partial(_has_token, name, used_by, opened[0].client_id))


def _has_token(name: str, used_by: str, client_id: str | None) -> Iterator[Finding]:
    try:
        identity(client_id).get_token(_TOKEN_SCOPE)
    except (AzureError, ValueError) as error:
        assigned = (
            f"Assign the user-assigned identity of {used_by}__clientId to the app"
            if client_id
            else "Turn on the app's system-assigned identity, or name a user-assigned one in "
            f"{used_by}__clientId"
        )
        yield Finding(
            "fault",
            f"Cannot get a token for {name}, used by {used_by}. Its accounts were not checked: "
            f"{str(error).strip().partition(chr(10))[0]}",
            f"{assigned}. Managed identities exist only in Azure, where the app runs. On another "
            "machine, use a connection string, or `flowlog doctor --azure`",
        )
    else:
        yield Finding("ok", f"Got a token for {name}, used by {used_by}")


def clock(ahead: dict[str, timedelta]) -> list[Finding]:
    """How far this machine's clock differs from those of the services."""
    if not ahead:
        return []
    host, most = max(ahead.items(), key=lambda item: abs(item[1]))
    off_s = abs(most).total_seconds()
    if abs(most) <= _SKEW_TO_TELL:
        return [Finding("ok", "This machine's clock agrees with the storage services")]
    what = f"This machine's clock is {off_s:.0f} s {'ahead of' if most > timedelta() else 'behind'}"
    what += f" the clock of {host}"
    if abs(most) <= _SKEW_REFUSED:
        to_do = "Set the clock. Log lines carry wrong times until then; claims do not depend on it"
        return [Finding("warning", what, to_do)]
    to_do = "Set the clock: storage services refuse keys and SAS if it is wrong by 15 minutes"
    return [Finding("fault", what, to_do)]


def within(seconds: float, checks: Sequence[Check]) -> list[list[Finding]]:
    """What each check finds. A check that exceeds the time limit is reported and abandoned."""
    found: list[list[Finding]] = [[] for _ in checks]
    threads = [
        # Daemons, as a thread in the system's name resolution cannot be stopped.
        threading.Thread(target=_run, args=(check, findings), daemon=True)
        for check, findings in zip(checks, found, strict=True)
    ]
    for thread in threads:
        thread.start()
    until_s = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, until_s - time.monotonic()))
    return [
        # A copy: the thread may still add to the list.
        [*findings, _not_in_time(check, seconds)] if thread.is_alive() else findings
        for check, findings, thread in zip(checks, found, threads, strict=True)
    ]


def _not_in_time(check: Check, seconds: float) -> Finding:
    return Finding(
        "fault",
        f"The {check.endpoint} did not answer within {seconds:g} s",
        f"Check the address in {check.endpoint.setting}, and that this network allows connections "
        "to it",
    )


def _run(check: Check, findings: list[Finding]) -> None:
    try:
        findings.extend(check.find())
    except Exception as error:  # noqa: BLE001 - one check that fails must not end the others
        findings.append(explain_error(error, check.endpoint))
