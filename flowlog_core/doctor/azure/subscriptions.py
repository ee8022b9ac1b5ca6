"""The event subscriptions of a log account against the functions of the app.

What a wrong one does, seen with Microsoft's blob extension (docs/host.md): a webhook address that
names a function that does not exist is answered 202, and the host drops the event with a line at
Debug level. An address without `functionName` stops the host, and again every ten minutes. The
extension does not compare an event with the path of the function, so a filter that is too wide
makes the app handle blobs of other containers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from flowlog_core.config.checks import Finding
from flowlog_core.doctor.azure.arm import Arm, Json, Missing, NotVisible
from flowlog_core.doctor.azure.roles import ON_DEAD_LETTERS, roles_are_assigned

EVENT_GRID = "2022-06-15"
_CREATED = "Microsoft.Storage.BlobCreated"
_WEBHOOK_PATH = "/runtime/webhooks/blobs"
_FUNCTION_PREFIX = "Host.Functions."
_FILE = "PT1H.json"
_REMAKE = "Run `azd hooks run postdeploy`, which creates the event subscriptions again"
_COMMITS = ("PutBlockList",)
"""The calls by which Network Watcher commits to a flow log."""


class Topic(NamedTuple):
    """The Event Grid system topic of a storage account."""

    id: str
    state: str
    principal_id: str
    """Of its system-assigned identity; empty if that is off."""


class Expected(NamedTuple):
    """What the app needs of an account: the events of one container for one function."""

    function: str
    container: str


@dataclass(frozen=True)
class _Found:
    """An event subscription that leads to the app."""

    id: str
    name: str
    state: str
    function: str | None
    """The function in its address; None: the address names none."""
    filter: Json
    expires: str
    dead_letters: str
    """Resource id of the container for events that cannot be delivered; empty if there is none."""


def topic_of(arm: Arm, account_id: str) -> Topic | None:
    """The system topic of an account: Azure allows one. Raises `NotVisible`."""
    subscription = "/".join(account_id.split("/")[:3])
    listed = f"{subscription}/providers/Microsoft.EventGrid/systemTopics"
    for one in arm.list(listed, EVENT_GRID):
        properties = one.get("properties", {})
        if str(properties.get("source", "")).lower() == account_id.lower():
            identity = one.get("identity") or {}
            return Topic(
                str(one["id"]),
                str(properties.get("provisioningState", "")),
                str(identity.get("principalId") or ""),
            )
    return None


def topic_is_ready(topic: Topic) -> Iterator[Finding]:
    """The topic was created completely."""
    if topic.state != "Succeeded":
        yield Finding(
            "fault",
            f"System topic {_last(topic.id)} is in state {topic.state}",
            "Wait if it is being created or updated. Otherwise run `azd provision`",
        )


def subscriptions_fit(
    arm: Arm,
    topic: Topic,
    host: str,
    expected: list[Expected],
    functions: Mapping[str, bool] | None,
) -> Iterator[Finding]:
    """Each container's events go to its function, and nowhere else in the app.

    `functions` are those that the app has, or None if the caller may not list them. The answer that
    holds the whole address also holds the key of the extension, which is never printed.
    """
    yield from topic_is_ready(topic)
    reached: set[str] = set()
    containers: set[str] = set()
    are_all_seen = True
    for one in arm.list(f"{topic.id}/eventSubscriptions", EVENT_GRID):
        if not leads_to_app(one, host):
            continue
        try:
            found = _with_address(arm, one)
        except (Missing, NotVisible) as why:
            are_all_seen = False
            yield Finding(
                "unknown",
                f"Event subscription {one.get('name')}: cannot see which function it names ({why})",
                "Ask for the role EventGrid EventSubscription Contributor on the system topic",
            )
            continue
        findings = list(_wrong_with(found, expected, functions))
        yield from findings
        if not findings:
            yield Finding("ok", f"Event subscription {found.name} delivers to {found.function}")
        if found.function is not None:
            reached.add(found.function)
        containers.add(found.dead_letters)
    for container in sorted(containers - {""}):
        yield from may_keep_undelivered(arm, topic, container)
    for need in expected:
        if need.function not in reached and are_all_seen:
            yield Finding(
                "fault",
                f"No event subscription delivers container {need.container} to function "
                f"{need.function}. Only the sweep forwards its flow logs",
                _REMAKE,
            )


def may_keep_undelivered(arm: Arm, topic: Topic, container_id: str) -> Iterator[Finding]:
    """The topic's identity may write the events that it cannot deliver."""
    if not topic.principal_id:
        yield Finding(
            "fault",
            f"System topic {_last(topic.id)} has no identity, so events that it cannot deliver "
            "are lost",
            f"az eventgrid system-topic update --resource-group {topic.id.split('/')[4]} --name "
            f"{_last(topic.id)} --identity systemassigned, then run `azd provision`",
        )
        return
    yield from roles_are_assigned(
        arm, topic.principal_id, container_id, ON_DEAD_LETTERS, "The system topic's identity"
    )


def dead_letters_of(properties: Json) -> str:
    """The id of the container for events that a subscription cannot deliver; empty: none."""
    by_identity = properties.get("deadLetterWithResourceIdentity") or {}
    destination = (
        by_identity.get("deadLetterDestination") or properties.get("deadLetterDestination") or {}
    )
    place = destination.get("properties") or {}
    if not place.get("resourceId"):
        return ""
    container = place.get("blobContainerName", "")
    return f"{place['resourceId']}/blobServices/default/containers/{container}"


def leads_to_app(subscription: Json, host: str) -> bool:
    """Whether an event subscription calls the webhook of the app at `host`."""
    destination = subscription.get("properties", {}).get("destination") or {}
    address = urlsplit(str((destination.get("properties") or {}).get("endpointBaseUrl") or ""))
    return (
        destination.get("endpointType") == "WebHook"
        and (address.hostname or "").lower() == host.lower()
        and address.path.rstrip("/") == _WEBHOOK_PATH
    )


def _with_address(arm: Arm, subscription: Json) -> _Found:
    """With the function of its address, which only `getFullUrl` returns."""
    properties = subscription.get("properties", {})
    address = str(arm.post(f"{subscription['id']}/getFullUrl", EVENT_GRID).get("endpointUrl", ""))
    names = parse_qs(urlsplit(address).query).get("functionName", [])
    return _Found(
        str(subscription["id"]),
        str(subscription.get("name", "")),
        str(properties.get("provisioningState", "")),
        names[0].removeprefix(_FUNCTION_PREFIX) if names else None,
        properties.get("filter") or {},
        str(properties.get("expirationTimeUtc") or ""),
        dead_letters_of(properties),
    )


def _wrong_with(
    found: _Found, expected: list[Expected], functions: Mapping[str, bool] | None
) -> Iterator[Finding]:
    about = f"Event subscription {found.name}"
    remove = f"az resource delete --ids {found.id}"
    if found.function is None:
        yield Finding(
            "fault",
            f"{about}: its address has no functionName. Each event then stops the Functions host, "
            "again every ten minutes",
            f"{remove}, then run `azd hooks run postdeploy`",
        )
        return
    if functions is not None and found.function not in functions:
        yield Finding(
            "fault",
            f"{about} delivers to function {found.function}, which the app does not have: the host "
            "accepts its events and drops them",
            f"If the log account was removed or renamed: {remove}. Otherwise run `azd deploy`",
        )
        return
    if found.state != "Succeeded":
        yield Finding("fault", f"{about} is in state {found.state}", _REMAKE)
    if found.expires:
        yield Finding("warning", f"{about} expires at {found.expires}", _REMAKE)
    need = next((one for one in expected if one.function == found.function), None)
    if need is None:
        yield Finding(
            "fault",
            f"{about} delivers events of this account to {found.function}, the function for "
            "another account",
            f"{remove}, then run `azd hooks run postdeploy`",
        )
        return
    yield from wrong_with_filter(about, found.filter, need.container)
    if not found.dead_letters:
        yield Finding(
            "warning",
            f"{about} has no dead-letter destination: events that Event Grid cannot deliver leave "
            "no trace",
            _REMAKE,
        )


def wrong_with_filter(about: str, chosen: Json, needed: str) -> Iterator[Finding]:
    """What keeps events of the container `needed` away, or lets others pass."""
    types = chosen.get("includedEventTypes")
    if types is not None and _CREATED not in types:
        yield Finding("fault", f"{about} does not include the event type {_CREATED}", _REMAKE)
    elif types is None or len(types) > 1:
        yield Finding(
            "warning",
            f"{about} includes more event types than {_CREATED}. Each such event costs a call",
            _REMAKE,
        )
    fold = str.lower if not chosen.get("isSubjectCaseSensitive") else str
    begin, end = chosen.get("subjectBeginsWith") or "", chosen.get("subjectEndsWith") or ""
    container = f"/blobServices/default/containers/{needed}/"
    if not fold(begin).startswith(fold(container)):
        is_wider = fold(container).startswith(fold(begin))
        yield Finding(
            "fault",
            f"{about}: its subject filter "
            + (
                f"does not limit events to container {needed}"
                if is_wider
                else f"names another container than {needed}"
            ),
            _REMAKE,
        )
    elif fold(begin).removeprefix(fold(container)).removeprefix("blobs/"):
        yield Finding(
            "warning",
            f"{about}: its subject filter excludes part of container {needed}. Only the "
            "sweep forwards the rest",
            _REMAKE,
        )
    if not fold(_FILE).endswith(fold(end)) and not fold(end).endswith(fold(f"/{_FILE}")):
        yield Finding(
            "fault", f"{about}: its subject filter excludes {_FILE}, the name of all flow logs",
            _REMAKE,
        )  # fmt: skip
    for one in chosen.get("advancedFilters") or ():
        if one.get("key") == "data.api" and one.get("operatorType") == "StringIn":
            lacks = [call for call in _COMMITS if call not in (one.get("values") or ())]
            if lacks:
                yield Finding(
                    "fault", f"{about}: its filter data.api excludes {', '.join(lacks)}", _REMAKE
                )


def _last(resource_id: str) -> str:
    return resource_id.rpartition("/")[2]
