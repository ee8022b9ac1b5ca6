"""What a message of the event queue says: which version of which blob was committed. Pure.

Event Grid puts one event into each message, as a JSON object in its own schema or in that of
CloudEvents 1.0. Sources: learn.microsoft.com, "Azure Blob Storage as an Event Grid source", "Azure
Queue storage as an event handler for Azure Event Grid events"; cloudevents.io, JSON format 1.0.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Literal, NamedTuple
from urllib.parse import unquote, urlsplit

import orjson

from flowlog_core.blob import BlobRef, LogBlob

MAX_DELIVERIES = 10
"""`extensions.queues.maxDequeueCount` of host.json: then the message goes to the poison queue."""
REDELIVERED_AFTER_S = 60
"""`extensions.queues.visibilityTimeout` of host.json: seconds between two deliveries."""
MAX_CLAIM_S = MAX_DELIVERIES * REDELIVERED_AFTER_S - 120
"""An event must come back often enough to outlive the claim of a dead worker. The two minutes are
for the calls before and after."""
POISON_SUFFIX = "-poison"
"""What the host appends to the queue's name for messages that failed too often."""

BLOB_CREATED = "Microsoft.Storage.BlobCreated"
_SUBJECT = re.compile(
    r"/blobServices/default/containers/(?P<container>[^/]+)/blobs/(?P<name>.+)", re.DOTALL
)
_MAX_SHOWN_CHARACTERS = 200

Reason = Literal[
    "not_an_event", "other_type", "unknown_account", "other_container", "not_a_flow_log"
]


class CommittedBlob(NamedTuple):
    """A flow log of which a version was committed."""

    blob: BlobRef
    etag: str
    """Of that version, as the event writes it: without quotes. Empty if it names none."""


class IgnoredEvent(NamedTuple):
    """An event that leads to no flow log of ours. Nothing is wrong with any other event."""

    reason: Reason
    what: str
    """Names what it was about: the account, the container, the type. At most 200 characters."""


class EventReader:
    """Reads the messages of the event queue.

    `accounts` maps the addresses of blob services, as `service_address` writes them, to account
    names; `containers` are the containers of flow logs.
    """

    def __init__(self, accounts: Mapping[str, str], containers: Collection[str]) -> None:
        self._accounts, self._containers = accounts, containers

    def read(self, message: bytes) -> CommittedBlob | IgnoredEvent:
        """Read one message. Never raises, whatever the message holds."""
        named = _named_blob(message)
        if isinstance(named, IgnoredEvent):
            return named
        account = self._accounts.get(named.address)
        if account is None:
            return _ignored("unknown_account", named.address)
        blob = self.flow_log(account, named.container, named.name)
        return blob if isinstance(blob, IgnoredEvent) else CommittedBlob(blob, named.etag)

    def flow_log(self, account: str, container: str, name: str) -> BlobRef | IgnoredEvent:
        """The flow log of that name, if its event came another way. Never raises."""
        if container not in self._containers:
            return _ignored("other_container", f"{account}/{container}")
        log = LogBlob.parse(name)
        if log is None:
            return _ignored("not_a_flow_log", f"{account}/{container}/{name}")
        return BlobRef(account, container, log)


def _ignored(reason: Reason, what: str) -> IgnoredEvent:
    """In one line, whatever was in the event."""
    shown = what.encode("unicode_escape").decode("ascii")
    return IgnoredEvent(reason, shown[:_MAX_SHOWN_CHARACTERS])


class _NamedBlob(NamedTuple):
    """Some blob that was committed, as an event names it."""

    address: str
    container: str
    name: str
    etag: str


def _named_blob(message: bytes) -> _NamedBlob | IgnoredEvent:
    try:
        event = orjson.loads(message)
    except orjson.JSONDecodeError as error:
        return _ignored("not_an_event", f"not JSON: {error}")
    if isinstance(event, list) and len(event) == 1:
        event = event[0]  # as a webhook would get it
    event = _object(event)
    kind = _text(event, "type" if "specversion" in event else "eventType")
    if not kind:
        return _ignored("not_an_event", "it is JSON without an event type")
    if kind != BLOB_CREATED:
        return _ignored("other_type", kind)
    subject = _SUBJECT.fullmatch(_text(event, "subject"))
    if subject is None:
        return _ignored("not_an_event", f"its subject is not a blob: {_text(event, 'subject')}")
    container, name = subject["container"], subject["name"]
    data = _object(event.get("data"))
    address = _address(_text(data, "url"), container, name)
    if address is None:
        return _ignored("not_an_event", "its data.url is not the address of its subject")
    return _NamedBlob(address, container, name, _text(data, "eTag").strip('"'))


def service_address(url: str) -> str:
    """Host, port and path of a blob service, in lower case, without `https://` and any query.

    An account with a hierarchical namespace has a second address, `NAME.dfs.…`, which some events
    carry; both are written as `NAME.blob.…`.
    """
    parts = urlsplit(url.lower())
    host = re.sub(r"^([^.]+)\.dfs\.", r"\1.blob.", parts.netloc)
    return host + parts.path.rstrip("/")


def _address(url: str, container: str, name: str) -> str | None:
    """The address of the service in which `url` is the blob `name`; None if it is another blob."""
    end = f"/{container}/{name}"
    for written in (url, unquote(url)):  # a name may stand there as it is, or escaped
        if written.endswith(end) and "://" in written:
            try:
                return service_address(written[: -len(end)])
            except ValueError:  # not an address, such as `https://[`
                return None
    return None


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Mapping[str, Any], name: str) -> str:
    found = value.get(name)
    return found if isinstance(found, str) else ""
