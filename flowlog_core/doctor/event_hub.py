"""Whether the event hub takes events, if it is the sink. The check sends nothing."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from azure.core.utils import parse_connection_string

from flowlog_core.config.checks import Finding
from flowlog_core.config.connections import Connection
from flowlog_core.config.settings import Settings
from flowlog_core.doctor.endpoints import Endpoint, caller
from flowlog_core.doctor.installation import Installation
from flowlog_core.errors import NotAllowed, NotFound, StorageError

_LIMIT_S = 12.0
ROLE = "Azure Event Hubs Data Sender"
_ASSIGN = (
    f"Assign the role {ROLE} on the event hub to {{who}}. A new role takes effect after some "
    "minutes, at most half an hour. If it is assigned, check the firewall under Networking of the "
    "namespace"
)
_KEY = (
    "Copy a connection string whose policy has the claim Send into {name} again: this one has "
    "another claim, was rotated, or belongs to another namespace"
)
_CONNECT = (
    "Check the host name in {setting}, and that this network allows connections to port 5671 of "
    "the namespace: its firewall, and its private endpoint if it has one"
)


class HubEndpoint(Endpoint):
    """The event hub that receives records; `account` is the namespace's host name."""

    __slots__ = ()

    def __str__(self) -> str:
        return f"namespace {self.account} ({self.connection.name})"

    @property
    def setting(self) -> str:
        """The setting that holds its address."""
        if self.connection.connection_string is not None:
            return self.connection.name
        return f"{self.connection.name}__fullyQualifiedNamespace"


def hub_endpoint(settings: Settings) -> HubEndpoint:
    """Where this installation sends events."""
    connection = settings.sink_connection
    return HubEndpoint(connection, "queue", host_of(connection), ROLE)


def host_of(connection: Connection) -> str:
    """The host name of the namespace, with the port if the connection string has one."""
    if connection.connection_string is None:
        return connection.namespace
    parts = parse_connection_string(connection.connection_string)  # keys in lower case
    return urlsplit(parts.get("endpoint", "")).netloc


def accepts_events(at: Installation) -> Iterator[Finding]:
    """The namespace answers, the event hub exists, and this caller may send to it."""
    # Imported only where it is used, as the service does.
    from flowlog_core.doctor.hub_link import HubLink  # noqa: PLC0415

    settings, endpoint = at.settings, hub_endpoint(at.settings)
    about = f"Event hub {settings.event_hub} of {endpoint}"
    hub = HubLink(settings.sink_connection, settings.event_hub)
    try:
        max_bytes = hub.max_batch_bytes(_LIMIT_S)
    except StorageError as error:
        yield _explained(error, about, endpoint)
    else:
        yield Finding("ok", f"{about} can be sent to: at most {max_bytes:,} bytes at a time")
    finally:
        hub.close()


def _explained(error: StorageError, about: str, endpoint: HubEndpoint) -> Finding:
    text = str(error).partition(": ")[2]
    if isinstance(error, NotAllowed):
        is_identity = endpoint.connection.connection_string is None
        to_do = _ASSIGN if is_identity else _KEY
        to_do = to_do.format(who=caller(endpoint.connection), name=endpoint.connection.name)
        return Finding("fault", f"{about} refused the request: {text}", to_do)
    if isinstance(error, NotFound):
        to_do = "Create the event hub, or correct FLOWLOG_EVENT_HUB"
        return Finding("fault", f"{about} does not exist: {text}", to_do)
    if error.try_again:
        to_do = _CONNECT.format(setting=endpoint.setting)
        return Finding("fault", f"{about} cannot be reached: {text}", to_do)
    return Finding("fault", f"{about} cannot be sent to: {text}")
