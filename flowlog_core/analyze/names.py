"""Names for people: what a port, an address or a network is called. Nothing here uses a network.

Fields that a record does not have, made from those that it has: see `NAMED_FIELDS`. Names of
addresses come from two files of the user's: Microsoft's download "Azure IP Ranges and Service
Tags", and a CSV of addresses or networks and names.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Literal

from flowlog_core.analyze.services import service_name

NAMED_FIELDS: Mapping[str, tuple[str, ...]] = {
    "service": ("protocol", "dst_port"),
    **{f"{side}_scope": (f"{side}_ip",) for side in ("src", "dst")},
    **{f"{side}_tag": (f"{side}_ip",) for side in ("src", "dst")},
    **{f"{side}_name": (f"{side}_ip",) for side in ("src", "dst")},
}
"""What can be asked for beside the fields of a record, and the fields that each is made of."""


class BadNames(ValueError):
    """A file of names is not what it should be; the message says which file, and what is wrong."""


Scope = Literal["private", "public", "multicast", "reserved"]


def scope_of(address: str) -> Scope:
    """Whether an address can be on the internet.

    Private are those of RFC 1918 and its like, among them what is shared (RFC 6598), link-local
    and unique local addresses.
    """
    ip = ip_address(address)
    if ip.version == 6 and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if ip.is_multicast:
        return "multicast"
    if ip.is_global:
        return "public"
    if ip.is_unspecified or ip.is_reserved or ip.is_loopback:
        return "reserved"
    return "private"


class Networks:
    """Names of networks. An address has the name of the smallest network that it is in."""

    def __init__(self, named: Iterable[tuple[str, str]] = ()) -> None:
        """From networks, or addresses, and their names; of equal networks the first counts.

        Raises ValueError for what is no network.
        """
        self._by_length: dict[tuple[int, int], dict[int, str]] = {}
        for network, name in named:
            net = ip_network(network.strip(), strict=False)
            names = self._by_length.setdefault((net.version, net.prefixlen), {})
            names.setdefault(int(net.network_address), name)
        self._lengths = {
            version: sorted((n for v, n in self._by_length if v == version), reverse=True)
            for version in (4, 6)
        }

    def __bool__(self) -> bool:
        return bool(self._by_length)

    def name_of(self, address: str) -> str | None:
        """The name of an address; None where it has none."""
        ip = ip_address(address)
        number, bits = int(ip), ip.max_prefixlen
        for length in self._lengths[ip.version]:
            network = number >> (bits - length) << (bits - length)
            if name := self._by_length[ip.version, length].get(network):
                return name
        return None


def read_service_tags(path: str) -> Networks:
    """From Microsoft's `ServiceTags_Public_….json`.

    Several tags name one network (Storage, Storage.WestEurope, AzureCloud): the tag of the fewest
    networks is the one that says most. Raises `BadNames`.
    """
    try:
        values = json.loads(Path(path).read_text("utf-8-sig"))["values"]
        tags = [(each["name"], each["properties"]["addressPrefixes"]) for each in values]
        tags.sort(key=lambda tag: (len(tag[1]), tag[0]))
        return Networks((network, name) for name, networks in tags for network in networks)
    except OSError as error:
        raise BadNames(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BadNames(
            f"{path} is not Microsoft's list of service tags (ServiceTags_Public_….json): {error!r}"
        ) from error


def read_names(path: str) -> Networks:
    """From a CSV whose first two columns are an address or a network, and its name.

    A first line without an address is taken for a heading. Raises `BadNames`.
    """
    named: list[tuple[str, str]] = []
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            for number, row in enumerate(csv.reader(file), 1):
                if not row or row[0].startswith("#"):
                    continue
                try:
                    ip_network(row[0].strip(), strict=False)
                    named.append((row[0], row[1].strip()))
                except (ValueError, IndexError):
                    if number > 1:
                        fault = f"line {number} is not an address or a network, a comma and a name"
                        raise BadNames(f"{path}: {fault}: {','.join(row)[:80]}") from None
    except OSError as error:
        raise BadNames(f"{path} cannot be read: {error.strerror or error}") from error
    except (UnicodeError, csv.Error) as error:
        raise BadNames(f"{path} is not a CSV in UTF-8: {error}") from error
    return Networks(named)


@dataclass(frozen=True)
class Names:
    """All known names. Answers are cached, because addresses repeat."""

    tags: Networks = field(default_factory=Networks)
    names: Networks = field(default_factory=Networks)

    @classmethod
    def read(cls, service_tags: str | None, names: str | None) -> Names:
        """From the files that are given. Raises `BadNames`."""
        return cls(
            read_service_tags(service_tags) if service_tags else Networks(),
            read_names(names) if names else Networks(),
        )

    def of(self, name: str) -> Callable[..., str | None]:
        """What makes a named field from the values of the fields that it is made of."""
        if name == "service":
            return service_name
        return {"scope": scope_of, "tag": self.tags.name_of, "name": self.names.name_of}[
            name.rpartition("_")[2]
        ]

    def added(self, record: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
        """A record with named fields behind its own."""
        made = {
            name: self.of(name)(*(record[read] for read in NAMED_FIELDS[name])) for name in names
        }
        return record | made
