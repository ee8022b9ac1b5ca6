"""Open Cybersecurity Schema Framework: a flow record as Network Activity, class 4001.

Attributes, types and values as in the schema of version 1.8.0, with the profiles `cloud` and
`security_control`. What the class has no attribute for is under `unmapped`.
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

OCSF_VERSION = "1.8.0"
CATEGORY_UID = 4
CLASS_UID = 4001

_ACTIVITIES = {"begin": (1, "Open"), "end": (2, "Close")}
_TRAFFIC, _REFUSE = (6, "Traffic"), (5, "Refuse")
_DIRECTIONS = {"inbound": (1, "Inbound"), "outbound": (2, "Outbound")}
_LATERAL = (3, "Lateral")
_AZURE_SUBSCRIPTION = (13, "Azure Subscription")
_UNMAPPED = (
    *("direction", "encryption", "log_time", "mac", "resource_id"),
    *("state", "target_resource_id"),
)
"""Fields that the class has no attribute for."""


def ocsf(record: Record) -> dict[str, Any]:
    """The event of one record."""
    allowed = record["action"] == "allow"
    # A flow that goes on, that has no state (NSG version 1), or a sum over several states.
    activity, name = _ACTIVITIES.get(record["state"], _TRAFFIC) if allowed else _REFUSE
    direction, direction_name = (
        _LATERAL if is_internal(record) else _DIRECTIONS[record["direction"]]
    )
    account, account_type = subscription(record), _AZURE_SUBSCRIPTION
    src_mac, dst_mac = macs_of_ends(record, ":")
    return without_nulls(
        {
            "activity_id": activity,
            "activity_name": name,
            "category_uid": CATEGORY_UID,
            "category_name": "Network Activity",
            "class_uid": CLASS_UID,
            "class_name": "Network Activity",
            "type_uid": CLASS_UID * 100 + activity,
            "type_name": f"Network Activity: {name}",
            "time": milliseconds(record["time"]),
            "start_time": milliseconds(record["time"]) if "tuples" in record else None,
            "end_time": milliseconds(record.get("last_time")),
            "count": record.get("tuples"),
            "severity_id": 1,
            "severity": "Informational",
            "status_id": 1 if allowed else 2,
            "status": "Success" if allowed else "Failure",
            "action_id": 1 if allowed else 2,
            "action": "Allowed" if allowed else "Denied",
            "disposition_id": 1 if allowed else 2,
            "disposition": "Allowed" if allowed else "Blocked",
            "metadata": {
                "version": OCSF_VERSION,
                "profiles": ["cloud", "security_control"],
                "uid": record["id"],
                "product": {"name": "Network Watcher", "vendor_name": "Microsoft"},
                "log_name": record["category"],
                "log_version": str(record["version"]),
                "logged_time": milliseconds(record["log_time"]),
                "original_time": record["time"],
            },
            "cloud": {
                "provider": "Azure",
                "account": None
                if account is None
                else {"uid": account, "type_id": account_type[0], "type": account_type[1]},
            },
            "src_endpoint": _end(record, "src", src_mac),
            "dst_endpoint": _end(record, "dst", dst_mac),
            "connection_info": {
                "direction_id": direction,
                "direction": direction_name,
                "protocol_num": record["protocol_number"],
                "protocol_name": record["protocol"],
                "protocol_ver_id": ip_version(record["src_ip"]),
            },
            "traffic": _traffic(record),
            "firewall_rule": {"name": record["rule"]},
            "policy": {"uid": record["acl_id"]},
            "unmapped": {name: record[name] for name in _UNMAPPED},
        }
    )


def _end(record: Record, end: str, address: str | None) -> dict[str, Any]:
    return {"ip": record[f"{end}_ip"], "port": record[f"{end}_port"], "mac": address}


def _traffic(record: Record) -> dict[str, Any]:
    """`out` is from source to destination, whichever way the flow goes."""
    return {
        "bytes": total(record, "bytes"),
        "bytes_out": record["bytes_src_to_dst"],
        "bytes_in": record["bytes_dst_to_src"],
        "packets": total(record, "packets"),
        "packets_out": record["packets_src_to_dst"],
        "packets_in": record["packets_dst_to_src"],
    }
