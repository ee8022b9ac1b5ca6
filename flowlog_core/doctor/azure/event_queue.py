"""The event queue, the event subscriptions that fill it, and what another trigger left behind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flowlog_core.config.checks import Finding
from flowlog_core.config.settings import Settings
from flowlog_core.doctor.azure.arm import Arm, Json, Missing
from flowlog_core.doctor.azure.roles import TO_EVENT_QUEUE, roles_are_assigned
from flowlog_core.doctor.azure.subscriptions import (
    EVENT_GRID,
    Topic,
    dead_letters_of,
    leads_to_app,
    may_keep_undelivered,
    topic_is_ready,
    wrong_with_filter,
)
from flowlog_core.source.events import POISON_SUFFIX

_STORAGE = "2023-05-01"
_REMAKE = "Run `azd hooks run postprovision`, which creates the event subscriptions again"


def queue_is_there(arm: Arm, state_id: str, settings: Settings) -> Iterator[Finding]:
    """The event queue exists, and no events failed too often. Raises `NotVisible`."""
    name = settings.event_queue
    try:
        arm.get(_queue_id(state_id, name), _STORAGE)
    except Missing:
        yield Finding(
            "fault",
            f"Queue {name} does not exist, so Event Grid cannot deliver. Only the sweep forwards "
            "flow logs",
            "Run `azd provision`",
        )
    else:
        yield Finding("ok", f"Queue {name} exists")
    poison = f"{name}{POISON_SUFFIX}"
    try:
        queue = arm.get(_queue_id(state_id, poison), _STORAGE)
    except Missing:  # the host creates it for the first event that fails
        return
    messages = (queue.get("properties") or {}).get("approximateMessageCount") or 0
    if messages:
        yield Finding(
            "warning",
            f"{messages} events are in the queue {poison}. The host gave up on each after ten "
            "tries",
            "The sweep forwards their flow logs. Find the errors in the app's log, then clear the "
            "queue",
        )


def queue_subscriptions_fit(
    arm: Arm, topic: Topic, state_id: str, settings: Settings
) -> Iterator[Finding]:
    """Each container's events go to the event queue, which the topic's identity may fill."""
    yield from topic_is_ready(topic)
    missing = [*settings.containers]
    keeping: set[str] = set()
    for one in arm.list(f"{topic.id}/eventSubscriptions", EVENT_GRID):
        if not _fills_queue(one, state_id, settings.event_queue):
            continue
        findings = list(_wrong_with(one, settings.containers))
        yield from findings
        name = one.get("name")
        if not findings:
            yield Finding(
                "ok", f"Event subscription {name} delivers to queue {settings.event_queue}"
            )
        missing = [container for container in missing if not _is_about(one, container)]
        keeping.add(dead_letters_of(one.get("properties", {})))
    for container in missing:
        yield Finding(
            "fault",
            f"No event subscription delivers container {container} to queue "
            f"{settings.event_queue}. Only the sweep forwards its flow logs",
            _REMAKE,
        )
    for container in sorted(keeping - {""}):
        yield from may_keep_undelivered(arm, topic, container)
    if topic.principal_id:
        queue_id = _queue_id(state_id, settings.event_queue)
        yield from roles_are_assigned(
            arm, topic.principal_id, queue_id, TO_EVENT_QUEUE, "The system topic's identity"
        )


def of_other_triggers(
    arm: Arm, topic: Topic, host: str, state_id: str, settings: Settings
) -> Iterator[Finding]:
    """Event subscriptions that no function reads any more, but that are still billed."""
    trigger = settings.trigger_source
    for one in arm.list(f"{topic.id}/eventSubscriptions", EVENT_GRID):
        to_app = leads_to_app(one, host) and not settings.has_blob_triggers
        to_queue = trigger != "EventQueue" and _fills_queue(one, state_id, settings.event_queue)
        if to_app or to_queue:
            to = "the app's webhook" if to_app else f"queue {settings.event_queue}"
            yield Finding(
                "warning",
                f"Event subscription {one.get('name')} still delivers to {to}, where nothing takes "
                f"its events: FLOWLOG_TRIGGER_SOURCE is {trigger}. Each event is billed",
                "Run `azd hooks run postprovision`, which removes it",
            )


def _queue_id(account_id: str, name: str) -> str:
    return f"{account_id}/queueServices/default/queues/{name}"


def _fills_queue(subscription: Json, state_id: str, queue: str) -> bool:
    properties = subscription.get("properties", {})
    by_identity = properties.get("deliveryWithResourceIdentity") or {}
    destination = by_identity.get("destination") or properties.get("destination") or {}
    place = destination.get("properties") or {}
    return (
        destination.get("endpointType") == "StorageQueue"
        and str(place.get("resourceId", "")).lower() == state_id.lower()
        and place.get("queueName") == queue
    )


def _is_about(subscription: Json, container: str) -> bool:
    begin = (subscription["properties"].get("filter") or {}).get("subjectBeginsWith") or ""
    folder = f"/blobServices/default/containers/{container}/".lower()
    return str(begin).lower().startswith(folder) or folder.startswith(str(begin).lower())


def _wrong_with(subscription: Json, containers: Sequence[str]) -> Iterator[Finding]:
    properties = subscription.get("properties", {})
    about = f"Event subscription {subscription.get('name')}"
    if properties.get("provisioningState") != "Succeeded":
        yield Finding("fault", f"{about} is in state {properties['provisioningState']}", _REMAKE)
    if properties.get("expirationTimeUtc"):
        yield Finding("warning", f"{about} expires at {properties['expirationTimeUtc']}", _REMAKE)
    container = next((one for one in containers if _is_about(subscription, one)), None)
    if container is None:
        yield Finding(
            "warning",
            f"{about}: its subject filter names no container of flow logs. Its events are ignored",
            _REMAKE,
        )
        return
    yield from wrong_with_filter(about, properties.get("filter") or {}, container)
    if not dead_letters_of(properties):
        yield Finding(
            "warning",
            f"{about} has no dead-letter destination: events that Event Grid cannot deliver leave "
            "no trace",
            _REMAKE,
        )
