"""The roles of an identity on a resource."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from flowlog_core.config.checks import Finding
from flowlog_core.doctor.azure.arm import Arm, Json

_AUTHORIZATION = "2022-04-01"
_TAKES_EFFECT = timedelta(minutes=10)
"""For so long after its assignment a role may not be in force."""

ROLE_IDS = {
    # Source: learn.microsoft.com, "Azure built-in roles". The same as in infra/roles.json.
    "Azure Event Hubs Data Sender": "2b629674-e913-4c01-ae53-ef4638d8f975",
    "Monitoring Metrics Publisher": "3913510d-42f4-4e42-8a64-420c390055eb",
    "Storage Blob Data Contributor": "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
    "Storage Blob Data Owner": "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
    "Storage Blob Data Reader": "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
    "Storage Queue Data Contributor": "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
    "Storage Queue Data Message Sender": "c6a89b2d-59bc-44d0-9896-0f6e12d7b80a",
    "Storage Table Data Contributor": "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
}


class Need(NamedTuple):
    """A role that is needed on a resource."""

    role: str
    purpose: str
    or_else: Sequence[str] = ()
    """Roles that include it."""


ON_LOG_ACCOUNT = (
    Need(
        "Storage Blob Data Reader",
        "to read flow logs",
        ("Storage Blob Data Contributor", "Storage Blob Data Owner"),
    ),
)
FOR_BLOB_TRIGGER = (Need("Storage Queue Data Contributor", "for the poison queue of the host"),)
"""On a log account too."""
TO_EVENT_QUEUE = (
    Need(
        "Storage Queue Data Message Sender",
        "to deliver events",
        ("Storage Queue Data Contributor",),
    ),
)
ON_DEAD_LETTERS = (
    Need(
        "Storage Blob Data Contributor",
        "to keep undelivered events",
        ("Storage Blob Data Owner",),
    ),
)
ON_STATE_ACCOUNT = (
    Need("Storage Blob Data Owner", "for the host and for dead letters"),
    Need("Storage Queue Data Contributor", "for the events of the host"),
    Need("Storage Table Data Contributor", "for checkpoints"),
)


def roles_are_assigned(
    arm: Arm, principal_id: str, scope: str, needs: Sequence[Need], who: str
) -> Iterator[Finding]:
    """Each needed role is assigned to a principal, on `scope` or above it.

    Roles that it has through a group are not seen. Raises `NotVisible` or `Missing`.
    """
    found = arm.list(
        f"{scope}/providers/Microsoft.Authorization/roleAssignments",
        _AUTHORIZATION,
        **{"$filter": f"principalId eq '{principal_id}'"},
    )
    assigned = {}
    for one in found:
        properties = one.get("properties", {})
        is_his = str(properties.get("principalId", "")).lower() == principal_id.lower()
        if is_his and _covers(str(properties.get("scope", "")), scope):
            assigned[str(properties.get("roleDefinitionId", "")).rpartition("/")[2].lower()] = one
    on = scope.rpartition("/")[2]
    for need in needs:
        held = [role for role in (need.role, *need.or_else) if ROLE_IDS[role] in assigned]
        if not held:
            yield Finding(
                "fault",
                f"{who} does not have the role {need.role} on {on}, needed {need.purpose}",
                "Run `azd provision`, or: az role assignment create --assignee-principal-type "
                f"ServicePrincipal --assignee-object-id {principal_id} --role '{need.role}' "
                f"--scope {scope}",
            )
            continue
        age = _age(arm, assigned[ROLE_IDS[held[0]]])
        if age is not None and age < _TAKES_EFFECT:
            yield Finding(
                "warning",
                f"{who} has the role {held[0]} on {on} since {age.total_seconds() / 60:.0f} min; "
                "it may not be in force yet",
                "Wait until it is 10 minutes old, then run this again",
            )
        else:
            yield Finding("ok", f"{who} has the role {held[0]} on {on}")


def _covers(assigned_at: str, scope: str) -> bool:
    at = assigned_at.rstrip("/").lower()
    return scope.lower() == at or scope.lower().startswith(f"{at}/")


def _age(arm: Arm, assignment: Json) -> timedelta | None:
    created = assignment.get("properties", {}).get("createdOn")
    try:
        return arm.now() - datetime.fromisoformat(str(created))
    except (TypeError, ValueError):
        return None
