"""Microsoft Sentinel's ASIM: a flow record as a row of NetworkSession, version 0.2.7.

Columns, classes and values as on Microsoft's page "The ASIM Network Session normalization schema
reference" and in `ASimTester.csv` of the repository Azure/Azure-Sentinel, which Sentinel's own
tests use. Fields without a column of their own are in `AdditionalFields`.
"""

from __future__ import annotations

import re
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

ASIM_VERSION = "0.2.7"

_RESOURCE = re.compile(r"/subscriptions/.", re.IGNORECASE)
_DIRECTIONS = {"inbound": "Inbound", "outbound": "Outbound"}
_SUB_TYPES = {"begin": "Start", "end": "End"}

# IANA's spelling where it is not in capitals alone.
_PROTOCOLS = {
    "ipv4": "IPv4",
    "ipv6": "IPv6",
    "ipv6-route": "IPv6-Route",
    "ipv6-frag": "IPv6-Frag",
    "ipv6-icmp": "IPv6-ICMP",
    "ipv6-nonxt": "IPv6-NoNxt",
    "ipv6-opts": "IPv6-Opts",
    "ipcomp": "IPComp",
    "ipx-in-ip": "IPX-in-IP",
    "udplite": "UDPLite",
    "mpls-in-ip": "MPLS-in-IP",
    "manet": "manet",
    "shim6": "Shim6",
    "ethernet": "Ethernet",
}
_ADDITIONAL = (
    *("acl_id", "direction", "encryption", "log_time", "mac"),
    *("protocol_number", "resource_id", "target_resource_id"),
)
"""Fields without a column of their own."""


def asim(record: Record) -> dict[str, Any]:
    """The row of one record."""
    allowed = record["action"] == "allow"
    sums = "tuples" in record
    src_mac, dst_mac = macs_of_ends(record, ":")
    return without_nulls(
        {
            "TimeGenerated": record["time"],
            "EventCount": record.get("tuples", 1),
            "EventStartTime": record["time"],
            "EventEndTime": record.get("last_time", record["time"]),
            # `Flow` is for what reports several sessions, or several looks at one, together.
            "EventType": "Flow" if sums else "NetworkSession",
            "EventSubType": None if sums or not allowed else _SUB_TYPES.get(record["state"]),
            "EventResult": "Success" if allowed else "Failure",
            "EventSeverity": "Informational" if allowed else "Low",
            "EventVendor": "Microsoft",
            # The only product of the published list that is an Azure flow log, for both kinds.
            "EventProduct": "NSGFlow",
            "EventProductVersion": str(record["version"]),
            "EventSchema": "NetworkSession",
            "EventSchemaVersion": ASIM_VERSION,
            "EventOriginalUid": record["id"],
            "EventOriginalType": record["category"],
            "EventOriginalSubType": record["state"],
            **_device(record),
            "DvcAction": "Allow" if allowed else "Deny",
            "Src": record["src_ip"],
            "SrcIpAddr": record["src_ip"],
            "SrcPortNumber": record["src_port"],
            "SrcMacAddr": src_mac,
            "SrcBytes": record["bytes_src_to_dst"],
            "SrcPackets": record["packets_src_to_dst"],
            "Dst": record["dst_ip"],
            "DstIpAddr": record["dst_ip"],
            "DstPortNumber": record["dst_port"],
            "DstMacAddr": dst_mac,
            "DstBytes": record["bytes_dst_to_src"],
            "DstPackets": record["packets_dst_to_src"],
            "IpAddr": record["src_ip"],
            "NetworkBytes": total(record, "bytes"),
            "NetworkPackets": total(record, "packets"),
            "NetworkDirection": "Local"
            if is_internal(record)
            else _DIRECTIONS[record["direction"]],
            "NetworkProtocol": _PROTOCOLS.get(record["protocol"], record["protocol"].upper()),
            "NetworkProtocolVersion": f"IPv{ip_version(record['src_ip'])}",
            "NetworkRuleName": record["rule"],
            "Rule": record["rule"],
            "AdditionalFields": {name: record[name] for name in _ADDITIONAL},
        }
    )


def _device(record: Record) -> dict[str, Any]:
    """The device that reports the session: the logged network, subnet, interface or NSG."""
    name = record["target_resource_id"] or record["resource_id"]
    if not name:  # `Dvc` is mandatory: the interface, or else the kind of log
        return {"Dvc": record["mac"] or record["category"]}
    return {
        "Dvc": name,
        "DvcId": name,
        "DvcIdType": "AzureResourceId" if _RESOURCE.match(name) else "Other",
        "DvcScopeId": subscription(record),
    }
