"""Whether an address of a storage service is one that the host, the binding and the SDK accept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

_SERVICES = frozenset({"blob", "queue", "table", "file", "dfs", "web"})
_REFERENCE = re.compile(r"\s*@Microsoft\.(KeyVault|AppConfiguration)\(", re.IGNORECASE)
AZURITE_PORTS = {10000: "blob", 10001: "queue", 10002: "table"}
"""Source: learn.microsoft.com/azure/storage/common/storage-use-azurite."""


def unresolved(text: str) -> str | None:
    """What is wrong with a value that is still a reference, which App Service could not resolve.

    Source: learn.microsoft.com/azure/app-service/app-service-key-vault-references.
    """
    if not _REFERENCE.match(text):
        return None
    return (
        "still a reference, which App Service could not resolve. Look at the setting in the "
        "portal for the reason: the secret is missing, or the app's identity may not read it"
    )


def wrong_address(text: str, service: str, account: str = "", *, is_signed: bool = False) -> str:
    """What is wrong with the address of `service`, in words; empty if nothing is.

    A path is a container's, unless it can be an account's: that of `account`, or where the host
    has a port or no dot, as Azurite's has. A signature may follow if `is_signed`.
    """
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    if not host or parts.scheme not in ("http", "https"):
        return "not an address"
    others = [label for label in host.split(".")[1:] if label in _SERVICES]
    if others and service not in others:
        return f"the address of the {others[0]} service, not of the {service} service"
    segments = [segment for segment in parts.path.split("/") if segment]
    may_be_account = not others and (port is not None or "." not in host or segments == [account])
    if len(segments) > (1 if may_be_account else 0):
        return "an address with a container or path behind it"
    if parts.fragment or (parts.query and not (is_signed and "sig=" in parts.query)):
        return "an address with a query or fragment (? or #)"
    return "an address with a user name or password in it" if "@" in parts.netloc else ""


def exchanged(addresses: Mapping[str, str]) -> dict[str, str]:
    """Of one connection's addresses by service, those with another service's port of Azurite.

    Returns each such service, and the service of that port. Azurite may run at other ports: if that
    other service has an address at a port that is none of Azurite's, nothing is wrong.
    """
    ports = {service: _azurite_port(address) for service, address in addresses.items()}
    found = {}
    for service, port in ports.items():
        there = AZURITE_PORTS.get(port or 0, service)
        has_chosen_ports = ports.get(there) and ports[there] not in AZURITE_PORTS
        if there != service and not has_chosen_ports:
            found[service] = there
    return found


def _azurite_port(address: str) -> int | None:
    try:
        parts = urlsplit(address)
        return parts.port if "devstoreaccount" in parts.path else None
    except ValueError:  # `wrong_address` says so
        return None
