"""Values that the schemas need and that are derived from a record's fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any

Record = Mapping[str, Any]

_MAX_LONG = 2**63 - 1
_MAC = re.compile(r"(?:[0-9a-f]{2}[:-]?){5}[0-9a-f]{2}", re.IGNORECASE | re.ASCII)
_SUBSCRIPTION = re.compile(r"/subscriptions/([^/]+)(?:/|\Z)", re.IGNORECASE)

_INSIDE = tuple(
    ip_network(network)
    for network in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),  # RFC 1918
        "100.64.0.0/10",  # RFC 6598, between a provider and its customers
        "fc00::/7",  # RFC 4193
        *("169.254.0.0/16", "fe80::/10"),  # RFC 3927 and 4291: one link
        *("127.0.0.0/8", "::1/128"),
    )
)


def macs_of_ends(record: Record, separator: str) -> tuple[str | None, str | None]:
    """The MAC address of the source and of the destination, as six upper-case octets.

    The interface is one of them. None for the other, and if the text is no MAC address.
    """
    text = record["mac"]
    if text is None or _MAC.fullmatch(text) is None:
        return None, None
    digits = text.replace(":", "").replace("-", "").upper()
    mac = separator.join(digits[at : at + 2] for at in range(0, 12, 2))
    return (None, mac) if record["direction"] == "inbound" else (mac, None)


def subscription(record: Record) -> str | None:
    """The Azure subscription of the target, or else of the logged resource."""
    for text in (record["target_resource_id"], record["resource_id"]):
        if text and (match := _SUBSCRIPTION.match(text)):
            return match[1]
    return None


def total(record: Record, counter: str) -> int | None:
    """`bytes` or `packets` of both directions; None if neither is known, or it exceeds 64 bits."""
    one, other = record[f"{counter}_src_to_dst"], record[f"{counter}_dst_to_src"]
    if one is None and other is None:
        return None
    together = (one or 0) + (other or 0)
    return together if together <= _MAX_LONG else None


def ip_version(text: str) -> int:
    """4 or 6."""
    return 6 if ":" in text else 4


@lru_cache(maxsize=16384)
def _is_inside(text: str) -> bool:
    address = ip_address(text)
    return any(address in network for network in _INSIDE)


def is_internal(record: Record) -> bool:
    """Whether both ends have private addresses, so that the flow crosses no boundary.

    The log's direction is that of the interface. ECS, OCSF and ASIM mean that of the network: a
    flow from one virtual machine to another leaves the one, and stays in the network. A network
    with public addresses of its own cannot be told from the internet.
    """
    return _is_inside(record["src_ip"]) and _is_inside(record["dst_ip"])


def without_nulls(members: Mapping[str, Any]) -> dict[str, Any]:
    """The members that are neither null nor left empty by leaving out theirs."""
    kept = (
        (name, without_nulls(member) if isinstance(member, dict) else member)
        for name, member in members.items()
    )
    return {name: member for name, member in kept if member is not None and member != {}}
