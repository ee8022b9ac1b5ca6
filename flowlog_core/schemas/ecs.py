"""Elastic Common Schema: a flow record as an event of category `network`.

Fields, types and allowed values are those of Elastic's field list, version 9.4.0. The outcome of a
denied connection follows its page "Using the categorization fields". Fields without an ECS name
are under `flowlog`.
"""

from __future__ import annotations

from typing import Any

from flowlog_core.schemas.facts import (
    Record,
    ip_version,
    is_internal,
    macs_of_ends,
    subscription,
    total,
    without_nulls,
)
from flowlog_core.shape.times import milliseconds

ECS_VERSION = "9.4.0"

_TYPES = {"begin": ["start"], "end": ["end"]}
_OURS = (
    *("category", "version", "log_time", "resource_id", "target_resource_id"),
    *("mac", "direction", "state", "encryption", "tuples"),
)
"""Fields without an ECS name."""


def ecs(record: Record) -> dict[str, Any]:
    """The event of one record."""
    allowed = record["action"] == "allow"
    of_flow = _TYPES.get(record["state"], []) if allowed else []
    src_mac, dst_mac = macs_of_ends(record, "-")
    sums = "tuples" in record
    is_time = milliseconds(record["log_time"]) is not None
    return without_nulls(
        {
            "@timestamp": record["time"],
            "ecs": {"version": ECS_VERSION},
            "event": {
                "id": record["id"],
                "kind": "event",
                "category": ["network"],
                "type": ["connection", "allowed" if allowed else "denied", *of_flow],
                "action": record["action"],
                # The outcome of enforcing the rule: a connection that was blocked is a success.
                "outcome": "success",
                "module": "flowlog",
                "dataset": "flowlog.flow",
                "created": record["log_time"] if is_time else None,
                "start": record["time"] if sums else None,
                "end": record["last_time"] if sums else None,
            },
            "source": _end(record, "src", src_mac),
            "destination": _end(record, "dst", dst_mac),
            "network": {
                "type": f"ipv{ip_version(record['src_ip'])}",
                "transport": record["protocol"],
                "iana_number": str(record["protocol_number"]),
                "direction": "internal" if is_internal(record) else record["direction"],
                "bytes": total(record, "bytes"),
                "packets": total(record, "packets"),
            },
            "rule": {"name": record["rule"], "ruleset": record["acl_id"]},
            "cloud": {
                "provider": "azure",
                "service": {"name": "Network Watcher"},
                "account": {"id": subscription(record)},
            },
            "related": {"ip": list(dict.fromkeys((record["src_ip"], record["dst_ip"])))},
            "flowlog": {name: record.get(name) for name in _OURS},
        }
    )


def _end(record: Record, end: str, address: str | None) -> dict[str, Any]:
    """One end of the flow. Its counters are those of what it sent."""
    sent = "src_to_dst" if end == "src" else "dst_to_src"
    return {
        "address": record[f"{end}_ip"],
        "ip": record[f"{end}_ip"],
        "port": record[f"{end}_port"],
        "mac": address,
        "bytes": record[f"bytes_{sent}"],
        "packets": record[f"packets_{sent}"],
    }
