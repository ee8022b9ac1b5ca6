"""Event subscriptions that send the events of a log account to the app."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from infra.hooks.accounts import LogAccount
from infra.hooks.hook import NAMES, Hook
from infra.hooks.topics import API
from infra.hooks.trigger import BLOB_TRIGGER, EVENT_QUEUE, SETTING

WEBHOOK_PATH = "/runtime/webhooks/blobs"
WATCHED: tuple[str, ...] = tuple(one["function"] for one in NAMES["watched"])
"""First part of the names of the functions; the connection's name follows."""


@dataclass(frozen=True, slots=True)
class App:
    """The function app as Azure Resource Manager returns it."""

    name: str
    host: str
    principals: tuple[str, ...]
    """Object ids of its identities."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """An event subscription to the event queue."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Webhook(Subscription):
    """An event subscription whose address is the app's blob trigger. `repr` shows no key."""

    function: str
    """As the address names it; empty if it names none, or Azure returns no full address."""


def find_app(hook: Hook) -> App | None:
    """The app of this azd environment; None if it does not exist (yet, or any more)."""
    names = ("AZURE_SUBSCRIPTION_ID", "AZURE_RESOURCE_GROUP", "FLOWLOG_FUNCTION_APP")
    subscription, group, name = map(hook.value, names)
    if not (subscription and group and name):
        return None
    path = (
        f"/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Web/sites/{name}"
    )
    site = hook.az.find(path, version="2023-12-01")
    if site is None:
        return None
    identity: dict[str, Any] = site.get("identity") or {}
    principals = [str(identity.get("principalId") or "")]
    principals += [
        str(one.get("principalId") or "")
        for one in (identity.get("userAssignedIdentities") or {}).values()
    ]
    host = str(site["properties"]["defaultHostName"]).lower()
    return App(name, host, tuple(filter(None, principals)))


def _of_topic(hook: Hook, account: LogAccount) -> list[dict[str, Any]]:
    """All event subscriptions of the account's topic; none if it does not exist."""
    if hook.az.find(account.topic_id, version=API) is None:
        return []
    return hook.az.list(f"{account.topic_id}/eventSubscriptions", version=API)


def webhooks(hook: Hook, account: LogAccount, app: App) -> list[Webhook]:
    """The subscriptions of the account's topic that send events to the app's blob triggers."""
    found = []
    for one in _of_topic(hook, account):
        destination = one["properties"].get("destination") or {}
        base = urlsplit((destination.get("properties") or {}).get("endpointBaseUrl") or "")
        if (base.hostname or "").lower() == app.host and base.path.rstrip("/") == WEBHOOK_PATH:
            # The address holds the app's key: what is not the function's name is left behind here.
            full = hook.az.rest("post", f"{one['id']}/getFullUrl", version=API)
            query = parse_qs(urlsplit(full.get("endpointUrl") or "").query)
            found.append(Webhook(one["id"], one["name"], query.get("functionName", [""])[0]))
    return found


def to_event_queue(hook: Hook, account: LogAccount) -> list[Subscription]:
    """The subscriptions of the account's topic that send events to the app's event queue."""
    found = []
    for one in _of_topic(hook, account):
        delivery = one["properties"].get("deliveryWithResourceIdentity") or {}
        queue = (delivery.get("destination") or {}).get("properties") or {}
        is_here = str(queue.get("resourceId") or "").casefold() == hook.state_id.casefold()
        if is_here and queue.get("queueName") == NAMES["eventQueue"]:
            found.append(Subscription(one["id"], one["name"]))
    return found


def functions_of(account: LogAccount) -> set[str]:
    """The functions of the app that read `account`, in lower case, as an address names them."""
    return {f"host.functions.{kind}_{account.name}".lower() for kind in WATCHED}


def remove_stale(hook: Hook, account: LogAccount, app: App, trigger: str) -> None:
    """Remove the account's subscriptions that no function of the app answers.

    Those of another trigger than `trigger`: their events would be queued, and billed, for nobody.
    The app answers Event Grid's handshake and 202 to events of a function that does not exist, and
    drops them; an address without a function stops the host every ten minutes.
    """
    for webhook in webhooks(hook, account, app):
        if trigger != BLOB_TRIGGER:
            remove(hook, webhook, f"{SETTING} is {trigger}")
        elif not webhook.function:
            remove(hook, webhook, "its address names no function, which stops the Functions host")
        elif webhook.function.lower() not in functions_of(account):
            remove(hook, webhook, f"no function {webhook.function} reads {account.account}")
    if trigger != EVENT_QUEUE:
        for subscription in to_event_queue(hook, account):
            remove(hook, subscription, f"{SETTING} is {trigger}")


def remove(hook: Hook, subscription: Subscription, reason: str) -> None:
    """Delete an event subscription, and say so."""
    hook.az.rest("delete", subscription.id, version=API)
    hook.say(f"Removed the event subscription {subscription.name}: {reason}")
