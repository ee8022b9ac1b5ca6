"""Connection names, as the Functions host defines them: `X` stands for one storage account.

Either the setting `X` is a connection string, or `X__blobServiceUri`, `X__queueServiceUri` and
`X__tableServiceUri` are the services' addresses, and an identity is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from azure.core.utils import parse_connection_string

Service = Literal["blob", "queue", "table"]

_DEVELOPMENT = "UseDevelopmentStorage=true"  # in these letters: some clients know no others
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_STRING_KEYS = {"accountname", "blobendpoint", "queueendpoint", "tableendpoint"}


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach one storage account. `repr` shows no secret."""

    name: str
    connection_string: str | None = field(default=None, repr=False)
    uris: Mapping[Service, str] = field(default_factory=dict)
    """Addresses of the services, if an identity is used."""
    client_id: str | None = None
    """Of a user-assigned identity; None for the app's system-assigned one."""

    @property
    def is_emulator(self) -> bool:
        """Whether the account is Azurite's, or an address of this machine."""
        text = (self.connection_string or "").lower()
        if "usedevelopmentstorage=true" in text:
            return True
        return any(
            urlsplit(address).hostname in _LOOPBACK or "devstoreaccount" in address
            for address in self.addresses
        )

    @property
    def addresses(self) -> list[str]:
        """The addresses of services that the settings name, in lower case."""
        if self.connection_string is None:
            return [uri.lower() for uri in self.uris.values()]
        parts = parse_connection_string(self.connection_string)  # keys in lower case
        return [value.lower() for key, value in parts.items() if key.endswith("endpoint")]


def parse_connection(
    name: str, environment: Mapping[str, str], needed: Mapping[Service, str], faults: list[str]
) -> Connection:
    """Read the connection `name`; whatever is wrong with it is added to `faults`.

    `needed` maps each service that the connection must reach to what it is needed for.
    """
    text = environment.get(name, "")
    if text.strip():
        return _parse_string(name, text, needed, faults)
    if not any(key.startswith(f"{name}__") for key in environment):
        faults.append(_absent(name, needed))
        return Connection(name)
    if name in environment:
        faults.append(
            f"{name}: empty, beside {name}__… for an identity. The Functions host reads the empty "
            "text as a connection string and does not start the functions. Remove the setting"
        )
    uris: dict[Service, str] = {}
    for service, purpose in needed.items():
        setting = f"{name}__{service}ServiceUri"
        uri = environment.get(setting, "").strip().rstrip("/")
        if uri and urlsplit(uri).scheme in ("http", "https") and urlsplit(uri).netloc:
            uris[service] = uri
        elif uri:
            faults.append(f"{setting}: '{uri}' is not an address. Write {_example(service)}")
        else:
            faults.append(_missing(name, setting, service, purpose, environment))
    credential = environment.get(f"{name}__credential", "").strip()
    client_id = environment.get(f"{name}__clientId", "").strip() or None
    if credential and credential.lower() != "managedidentity":
        faults.append(f"{name}__credential: '{credential}' is unknown. Write managedidentity")
    if client_id and not credential:
        faults.append(
            f"{name}__credential: missing, although {name}__clientId is set. Write managedidentity"
        )
    return Connection(name, uris=uris, client_id=client_id)


def _parse_string(
    name: str, text: str, needed: Mapping[Service, str], faults: list[str]
) -> Connection:
    """Read a connection string, cut up as the SDK does it."""
    write = (
        "Write 'DefaultEndpointsProtocol=https;AccountName=...;AccountKey=...;"
        "EndpointSuffix=core.windows.net', 'UseDevelopmentStorage=true' for Azurite, or "
        f"remove it and set {name}__blobServiceUri and so on to use an identity"
    )
    try:
        parts = parse_connection_string(text)  # keys in lower case
    except ValueError:
        faults.append(
            f"{name}: not a connection string (its value is not shown here). Each part must be "
            f"Key=value, with a value, and each key may occur only once. {write}"
        )
        return Connection(name)
    if any(blank != blank.strip() for blank in (text, *parts, *parts.values())):
        faults.append(
            f"{name}: the connection string has white space before or after it, or around a ';' or "
            "'=' (its value is not shown here). The Functions host cannot read that. Remove the "
            "white space"
        )
        return Connection(name)
    if {key: value.lower() for key, value in parts.items()} == {"usedevelopmentstorage": "true"}:
        return Connection(name, connection_string=_DEVELOPMENT)
    if not _STRING_KEYS & parts.keys():
        faults.append(
            f"{name}: not a storage connection string (its value is not shown here). {write}"
        )
        return Connection(name)
    faults += _lacking(name, parts, needed)
    return Connection(name, connection_string=text.rstrip(";"))


def _lacking(name: str, parts: Mapping[str, str], needed: Mapping[Service, str]) -> list[str]:
    """What a connection string lacks; `parts` has its keys in lower case."""
    faults = []
    opens_all = "sharedaccesssignature" in parts or {"accountname", "accountkey"} <= parts.keys()
    # The clients of blobs and queues also accept a signature inside the address.
    signed = {
        service
        for service in ("blob", "queue")
        if "sig=" in urlsplit(parts.get(f"{service}endpoint", "")).query
    }
    if not opens_all and not signed.issuperset(needed):
        faults.append(
            f"{name}: the connection string has no key. It must have AccountName and AccountKey, "
            "or SharedAccessSignature"
        )
    if "accountname" not in parts:
        faults += [
            f"{name}: the connection string has no address of the {service} service, needed for "
            f"{purpose}. Add AccountName, or {service.capitalize()}Endpoint"
            for service, purpose in needed.items()
            if f"{service}endpoint" not in parts
        ]
    return faults


def _absent(name: str, needed: Mapping[Service, str]) -> str:
    addresses = " and ".join(
        f"{name}__{service}ServiceUri to {_example(service)}" for service in needed
    )
    return (
        f"{name}: there is no such connection, needed for {', '.join(needed.values())}. Set "
        f"{name} to a connection string, or, to use an identity, {addresses}"
    )


def _missing(
    name: str, setting: str, service: Service, purpose: str, environment: Mapping[str, str]
) -> str:
    if f"{name}__accountName" in environment:
        return (
            f"{setting}: missing, needed for {purpose}. {name}__accountName alone is not enough: "
            f"the Python worker's blob binding cannot use it. Write {_example(service)}"
        )
    return f"{setting}: missing, needed for {purpose}. Write {_example(service)}"


def _example(service: Service) -> str:
    return f"https://ACCOUNT.{service}.core.windows.net"
