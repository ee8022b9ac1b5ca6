"""Values that the schemas need and that are derived from a record's fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any

Record = Mapping[str, Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_LONG = 2**63 - 1
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})"
)
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


def milliseconds(text: str | None) -> int | None:
    """Milliseconds since 1970 of an RFC 3339 time; None for any other text.

    `log_time` is copied from the entry, so it may be any text.
    """
    if text is None or _TIME.fullmatch(text) is None:
        return None
    try:
        return (datetime.fromisoformat(text) - _EPOCH) // timedelta(milliseconds=1)
    except (ValueError, OverflowError):  # a date or an offset that does not exist
        return None


def is_time(text: str | None) -> bool:
    """Whether it is an RFC 3339 time."""
    return milliseconds(text) is not None


def mac(text: str | None, separator: str) -> str | None:
    """A MAC address as six upper-case octets; None if the text is no MAC address."""
    if text is None or _MAC.fullmatch(text) is None:
        return None
    digits = text.replace(":", "").replace("-", "").upper()
    return separator.join(digits[at : at + 2] for at in range(0, 12, 2))


def subscription(record: Record) -> str | None:
    """The Azure subscription of the target, or else of the logged resource."""
    for text in (record["target_resource_id"], record["resource_id"]):
        if text and (match := _SUBSCRIPTION.match(text)):
            return match[1]
    return None


def total(one: int | None, other: int | None) -> int | None:
    """The sum of both directions; None if neither is known, or if the sum exceeds 64 bits."""
    if one is None and other is None:
        return None
    together = (one or 0) + (other or 0)
    return together if together <= _MAX_LONG else None


@lru_cache(maxsize=16384)
def ip_version(text: str) -> int:
    """4 or 6."""
    return ip_address(text).version


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


def without_nulls(value: Any) -> Any:
    """Objects without members that are null, or left empty by that."""
    if not isinstance(value, dict):
        return value
    kept = {name: without_nulls(member) for name, member in value.items()}
    return {name: member for name, member in kept.items() if member is not None and member != {}}
