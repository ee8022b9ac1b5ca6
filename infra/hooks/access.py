"""Waits until the app may read each log account.

The Functions host stops at the first event of a blob that it may not read, or if it may not create
its poison queue in the account. A role assignment can take ten minutes to take effect
(https://learn.microsoft.com/azure/role-based-access-control/troubleshooting).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from infra.hooks.accounts import LogAccount, Refused
from infra.hooks.hook import INFRA, Hook
from infra.hooks.subscriptions import App
from infra.hooks.topics import API as TOPICS_API

IN_FORCE_AFTER = timedelta(minutes=10)
LOOKS, BETWEEN_LOOKS_S = 12, 10.0
ROLES: dict[str, str] = json.loads((INFRA / "roles.json").read_text())
# Each line is one permission; any of its roles grants it.
_NEEDED = (
    ("Storage Blob Data Reader", "Storage Blob Data Contributor", "Storage Blob Data Owner"),
    ("Storage Queue Data Contributor",),
)
_SENDER = "Storage Queue Data Message Sender"


def wait_for_access(hook: Hook, accounts: Iterable[LogAccount], app: App) -> None:
    """Return once the app's identity has both roles on each account, for ten minutes at least.

    Raises `Refused` naming the role if it is not there after two minutes.
    """
    youngest: tuple[datetime, LogAccount] | None = None
    for account in accounts:
        since = _since(hook, account, app)
        if youngest is None or since > youngest[0]:
            youngest = since, account
    if youngest is None:
        return
    since, account = youngest
    left_s = (since + IN_FORCE_AFTER - hook.now()).total_seconds()
    if left_s > 0:
        hook.say(
            f"Waiting {math.ceil(left_s / 60)} min before events are sent: the app was given its "
            f"roles on {account.account} at {since:%H:%M} UTC, and Azure can take 10 minutes to "
            "apply them. Until then the first event would stop the Functions host."
        )
        hook.sleep(left_s)


def _since(hook: Hook, account: LogAccount, app: App) -> datetime:
    """When the last of the needed roles on `account` was assigned."""
    missing: tuple[str, ...] = ()
    for look in range(LOOKS):
        if look:
            hook.sleep(BETWEEN_LOOKS_S)
        found: list[datetime] = []
        for principal in app.principals:
            assignments = assignments_of(hook, account.id, principal)
            times = [_oldest(assignments, roles) for roles in _NEEDED]
            if all(times):
                found.append(max(filter(None, times)))
            else:
                missing = next(
                    roles for roles, time in zip(_NEEDED, times, strict=True) if time is None
                )
        if found:
            return min(found)
    if not app.principals:
        raise Refused(f"{app.name} has no identity. 'azd provision' gives it one.")
    raise Refused(
        f"the identity of {app.name} does not have the role '{missing[0]}' on {account.account}: "
        "the Functions host would stop at its first event. 'azd provision' assigns it; or:",
        f"  az role assignment create --assignee-object-id {app.principals[-1]} "
        f"--assignee-principal-type ServicePrincipal --role '{missing[0]}' --scope {account.id}",
    )


def senders_in_force_at(hook: Hook, accounts: Iterable[LogAccount], queue_id: str) -> datetime:
    """When the system topics' role on the event queue is surely in force; long ago without one."""
    assigned = [datetime.min.replace(tzinfo=UTC)]
    for account in accounts:
        topic = hook.az.find(account.topic_id, version=TOPICS_API) or {}
        principal = str((topic.get("identity") or {}).get("principalId") or "")
        if principal:
            since = _oldest(assignments_of(hook, queue_id, principal), (_SENDER,))
            assigned += [] if since is None else [since]
    return max(assigned) + IN_FORCE_AFTER


def assignments_of(hook: Hook, scope: str, principal: str) -> list[dict[str, Any]]:
    """The role assignments of `principal` that hold for `scope`, its own and inherited ones."""
    path = f"{scope}/providers/Microsoft.Authorization/roleAssignments"
    query = {"$filter": f"principalId eq '{principal}'"}
    assigned = hook.az.list(path, version="2022-04-01", **query)
    found = [one["properties"] | {"id": one["id"]} for one in assigned]
    # The filter also gives those below the scope, on one container of an account, say.
    below = f"{scope}/".casefold()
    return [one for one in found if not one["scope"].casefold().startswith(below)]


def _oldest(assignments: list[dict[str, Any]], roles: tuple[str, ...]) -> datetime | None:
    """When the first of `roles` was assigned; None if none is."""
    wanted = {ROLES[role].lower() for role in roles if role in ROLES}
    return min(
        (
            datetime.fromisoformat(properties["createdOn"])
            for properties in assignments
            if properties["roleDefinitionId"].rsplit("/", 1)[-1].lower() in wanted
        ),
        default=None,
    )
