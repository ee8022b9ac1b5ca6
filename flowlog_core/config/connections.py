"""Connection names, as the Functions host defines them: `X` names one storage account.

Either the setting `X` is a connection string, or `X__blobServiceUri`, `X__queueServiceUri` and
`X__tableServiceUri` are the services' addresses, and an identity is used.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from azure.core.utils import parse_connection_string

from flowlog_core.config.addresses import AZURITE_PORTS, exchanged, unresolved, wrong_address

Service = Literal["blob", "queue", "table"]
_SERVICES = ("blob", "queue", "table")

_DEVELOPMENT = "UseDevelopmentStorage=true"  # in these letters: some clients know no others
_DEVELOPMENT_ACCOUNT = "devstoreaccount1"
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
    namespace: str = ""
    """Host name of an Event Hubs namespace, if an identity is used there."""

    @property
    def is_emulator(self) -> bool:
        """Whether the account is Azurite's, or an address of this machine."""
        return self.connection_string == _DEVELOPMENT or any(
            _host(address) in _LOOPBACK or "devstoreaccount" in address
            for address in self.addresses
        )

    @property
    def addresses(self) -> list[str]:
        """The addresses of services that the settings name, in lower case."""
        if self.connection_string is None:
            return [uri.lower() for uri in self.uris.values()]
        parts = parse_connection_string(self.connection_string)  # keys in lower case
        return [value.lower() for key, value in parts.items() if key.endswith("endpoint")]

    @property
    def account(self) -> str:
        """The account that holds the blobs, in lower case: its name, or its host if that has none.

        Empty if no address of its blob service is known.
        """
        if self.connection_string == _DEVELOPMENT:
            return _DEVELOPMENT_ACCOUNT
        if self.connection_string is None:
            address = self.uris.get("blob", "")
        else:
            parts = parse_connection_string(self.connection_string)  # keys in lower case
            if name := parts.get("accountname", ""):
                return name.lower()
            address = parts.get("blobendpoint", "")
        url = urlsplit(address.lower())
        host, path = url.hostname or "", url.path.strip("/")
        return host.partition(".")[0] if ".blob." in host else path or host


def _host(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:  # of a service that Flowlog does not use: only the others were checked
        return None


def parse_connection(
    name: str, environment: Mapping[str, str], needed: Mapping[Service, str], faults: list[str]
) -> Connection:
    """Read the connection `name`; whatever is wrong with it is added to `faults`.

    `needed` maps each service that the connection must reach to what it is needed for.
    """
    text = environment.get(name, "")
    if reference := unresolved(text):
        faults.append(f"{name}: {reference}")
        return Connection(name)
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
        if fault := _fault_of_uri(uri, name, service, purpose, environment):
            faults.append(f"{setting}: {fault}")
        else:
            uris[service] = uri
    given = {end: environment.get(f"{name}__{end}ServiceUri", "").strip() for end in _SERVICES}
    for end, there in exchanged(given).items():
        faults.append(
            f"{name}__{end}ServiceUri: '{given[end].partition('?')[0]}' is the port of Azurite's "
            f"{there} service. Write {_azurite(end, 'https')}"
        )
    client_id = parse_identity(name, environment, faults)
    return Connection(name, uris=uris, client_id=client_id)


def _fault_of_uri(
    uri: str, name: str, service: Service, purpose: str, environment: Mapping[str, str]
) -> str | None:
    """What is wrong with the address of a service, and what to write; None if nothing is."""
    write = f"Write {_example(service)}"
    if not uri and f"{name}__accountName" in environment:
        return (
            f"missing, needed for {purpose}. {name}__accountName alone is not enough: the Python "
            f"worker's blob binding cannot use it. {write}"
        )
    if not uri:
        return f"missing, needed for {purpose}. {write}"
    if reference := unresolved(uri):
        return reference
    if wrong := wrong_address(uri, service):
        # Without what follows a ?, which may be a signature.
        return f"'{uri.partition('?')[0]}' is {wrong}. {write}"
    if uri.lower().startswith("http://"):
        return f"'{uri}' uses http, over which the SDK sends no token of an identity. Write https"
    return None


def parse_identity(name: str, environment: Mapping[str, str], faults: list[str]) -> str | None:
    """Read the client id of a user-assigned identity; None for the app's own."""
    credential = environment.get(f"{name}__credential", "").strip()
    client_id = environment.get(f"{name}__clientId", "").strip() or None
    if credential and credential.lower() != "managedidentity":
        faults.append(f"{name}__credential: '{credential}' is unknown. Write managedidentity")
    if client_id and not credential:
        faults.append(
            f"{name}__credential: missing, although {name}__clientId is set. Write managedidentity"
        )
    return client_id


def _parse_string(
    name: str, text: str, needed: Mapping[Service, str], faults: list[str]
) -> Connection:
    try:
        parts = _parts(name, text)
    except ValueError as error:
        faults.append(f"{name}: {error}")
        return Connection(name)
    if parts.keys() == {"usedevelopmentstorage"}:
        if parts["usedevelopmentstorage"] != "true":
            faults.append(
                f"{name}: the blob binding and the host accept only the value 'true'. Write "
                f"{_DEVELOPMENT}"
            )
        return Connection(name, connection_string=_DEVELOPMENT)
    wrong = list(_wrong_parts(parts, needed))
    faults += (f"{name}: {fault}" for fault in (*_lacking(parts, needed), *wrong))
    # Without the text where a part is wrong: an address that is none cannot be taken apart.
    return Connection(name, connection_string=None if wrong else text.rstrip(";"))


def _parts(name: str, text: str) -> Mapping[str, str]:
    """The parts of a connection string, keys in lower case, divided as the SDK does.

    Raises ValueError if the host or the SDK cannot read it. The message never has its value.
    """
    write = (
        "Write 'DefaultEndpointsProtocol=https;AccountName=...;AccountKey=...;"
        "EndpointSuffix=core.windows.net', 'UseDevelopmentStorage=true' for Azurite, or "
        f"remove it and set {name}__blobServiceUri and so on to use an identity"
    )
    try:
        parts = parse_connection_string(text)
    except ValueError:
        raise ValueError(
            "not a connection string (its value is not shown here). Each part must be "
            f"Key=value, with a value, and each key may occur only once. {write}"
        ) from None
    if any(blank != blank.strip() for blank in (text, *parts, *parts.values())):
        raise ValueError(
            "the connection string has white space before or after it, or around a ';' or "
            "'=' (its value is not shown here). The Functions host cannot read that. Remove the "
            "white space"
        )
    if text[0] in "\"'":
        raise ValueError(
            "the connection string is in quotation marks (its value is not shown here). Remove them"
        )
    is_development = {k: v.lower() for k, v in parts.items()} == {"usedevelopmentstorage": "true"}
    if not is_development and not _STRING_KEYS & parts.keys():
        raise ValueError(f"not a storage connection string (its value is not shown here). {write}")
    return parts


def _wrong_parts(parts: Mapping[str, str], needed: Mapping[Service, str]) -> Iterator[str]:
    """What is wrong with values of a connection string; `parts` has its keys in lower case."""
    protocol = parts.get("defaultendpointsprotocol", "https")
    if protocol not in ("http", "https"):
        yield f"DefaultEndpointsProtocol is '{protocol}'. Write https"
    suffix = parts.get("endpointsuffix", "")
    if "/" in suffix or ":" in suffix:
        yield f"EndpointSuffix is '{suffix}'. Write it without https://, as core.windows.net"
    try:
        base64.b64decode(parts.get("accountkey", ""), validate=True)
    except (binascii.Error, ValueError):
        yield "AccountKey is not base64 (it is not shown here). Copy the whole key again"
    account = parts.get("accountname", "")
    for service in needed:
        address = parts.get(f"{service}endpoint", "")
        if address and (wrong := wrong_address(address, service, account, is_signed=True)):
            shown = address.partition("?")[0]
            key = f"{service.capitalize()}Endpoint"
            yield f"{key} is '{shown}', {wrong}. Write {_example(service)}"
    suffix = "endpoint"
    ends = {key.removesuffix(suffix): url for key, url in parts.items() if key.endswith(suffix)}
    for end, there in exchanged(ends).items():
        shown = ends[end].partition("?")[0]
        yield (
            f"{end.capitalize()}Endpoint is '{shown}', which is the port of Azurite's {there} "
            f"service. Write {_azurite(end)}"
        )


def _lacking(parts: Mapping[str, str], needed: Mapping[Service, str]) -> Iterator[str]:
    """What a connection string lacks; `parts` has its keys in lower case."""
    opens_all = "sharedaccesssignature" in parts or {"accountname", "accountkey"} <= parts.keys()
    # The clients of blobs and queues also accept a signature inside the address.
    signed = {
        service
        for service in ("blob", "queue")
        if "sig=" in parts.get(f"{service}endpoint", "").partition("?")[2]
    }
    if not opens_all and not signed.issuperset(needed):
        yield (
            "the connection string has no key. It must have AccountName and AccountKey, or "
            "SharedAccessSignature"
        )
    for service, purpose in needed.items():
        if not {"accountname", f"{service}endpoint"} & parts.keys():
            yield (
                f"the connection string has no address of the {service} service, needed for "
                f"{purpose}. Add AccountName, or {service.capitalize()}Endpoint"
            )


def _absent(name: str, needed: Mapping[Service, str]) -> str:
    addresses = " and ".join(
        f"{name}__{service}ServiceUri to {_example(service)}" for service in needed
    )
    return (
        f"{name}: there is no such connection, needed for {', '.join(needed.values())}. Set "
        f"{name} to a connection string, or, to use an identity, {addresses}"
    )


def _azurite(service: str, scheme: str = "http") -> str:
    return next(
        f"{scheme}://127.0.0.1:{port}/{_DEVELOPMENT_ACCOUNT}"
        for port, name in AZURITE_PORTS.items()
        if name == service
    )


def _example(service: Service) -> str:
    return f"https://ACCOUNT.{service}.core.windows.net"
