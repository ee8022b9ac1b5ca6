"""Connections to Event Hubs, as the Functions host's Event Hubs binding defines them.

Either the setting `X` is a connection string of a namespace or of one event hub, or
`X__fullyQualifiedNamespace` is the namespace's host name, and an identity is used. Source:
learn.microsoft.com, "Azure Event Hubs trigger and bindings for Azure Functions", Connections.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from azure.core.utils import parse_connection_string

from flowlog_core.config.addresses import unresolved
from flowlog_core.config.connections import Connection, parse_identity

_STRING = (
    "Endpoint=sb://NAMESPACE.servicebus.windows.net/;SharedAccessKeyName=...;SharedAccessKey=..."
)
_NAMESPACE = "NAMESPACE.servicebus.windows.net"


def parse_event_hubs(
    name: str, hub: str, environment: Mapping[str, str], faults: list[str]
) -> Connection:
    """Read the connection `name` to the namespace of `hub`; what is wrong is added to `faults`."""
    text = environment.get(name, "").strip()
    setting = f"{name}__fullyQualifiedNamespace"
    namespace = environment.get(setting, "").strip()
    if reference := unresolved(text or namespace):
        faults.append(f"{name if text else setting}: {reference}")
        return Connection(name)
    if text:
        faults += (f"{name}: {fault}" for fault in _faults_of(text, hub))
        return Connection(name, connection_string=text)
    if not namespace:
        faults.append(
            f"{name}: there is no such connection to Event Hubs, needed for sending records. "
            f"Set {name} to a connection string, or, to use an identity, {setting} to "
            f"{_NAMESPACE}"
        )
        return Connection(name)
    if not re.fullmatch(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", namespace):
        faults.append(f"{setting}: '{namespace}' is not a host name. Write {_NAMESPACE}")
    return Connection(
        name, namespace=namespace, client_id=parse_identity(name, environment, faults)
    )


def _is_namespace(endpoint: str) -> bool:
    try:
        parts = urlsplit(endpoint)
        return parts.scheme == "sb" and bool(parts.hostname) and parts.port != 0
    except ValueError:  # such as `sb://[`, or an invalid port
        return False


def _faults_of(text: str, hub: str) -> Iterator[str]:
    """What is wrong with a connection string. Never its value, which is secret."""
    try:
        parts = parse_connection_string(text)  # keys in lower case
    except ValueError:
        yield (
            "not a connection string (its value is not shown here). Each part must be Key=value, "
            f"and each key may occur only once. Write '{_STRING}'"
        )
        return
    if not _is_namespace(parts.get("endpoint", "")):
        yield (
            "not a connection string of Event Hubs (its value is not shown here). Write "
            f"'{_STRING}', or remove it and use an identity"
        )
    elif "sharedaccesssignature" not in parts and not (
        {"sharedaccesskeyname", "sharedaccesskey"} <= parts.keys()
    ):
        yield (
            "the connection string has no key. It must have SharedAccessKeyName and "
            "SharedAccessKey, or SharedAccessSignature"
        )
    entity = parts.get("entitypath", hub)
    if entity.lower() != hub.lower():
        yield (
            f"the connection string is for the event hub '{entity}', and FLOWLOG_EVENT_HUB is "
            f"'{hub}'. Make both the same, or remove EntityPath"
        )
    emulator = parts.get("usedevelopmentemulator", "true")
    if emulator != "true":
        yield (
            f"UseDevelopmentEmulator={emulator} has no effect: the SDK knows only 'true', in lower "
            "case"
        )
