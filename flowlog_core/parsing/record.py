"""The flow record: the names of its fields. A finished record is one line of JSON."""

from __future__ import annotations

FIELDS: tuple[str, ...] = (
    "id",  # position in the blob, see `Position.record_id`
    # Of the tuple's first field: RFC 3339 UTC with milliseconds.
    "time",
    # Of the entry and the group that hold the tuple, as written.
    "log_time",  # the entry's `time`
    "category",
    "version",  # NSG: `properties.Version`; VNet: `flowLogVersion`
    "resource_id",  # NSG: `resourceId`; VNet: `flowLogResourceID`
    "target_resource_id",  # VNet: `targetResourceID`; NSG: null
    "mac",  # the entry's `macAddress`; NSG: first the inner flow's `mac`
    "rule",
    "acl_id",  # VNet: `aclID`; NSG: null
    # Of the tuple, in its own order.
    "src_ip",
    "src_port",
    "dst_ip",
    "dst_port",
    "protocol",  # IANA keyword in lower case, or the number as a string
    "protocol_number",
    "direction",  # inbound | outbound
    "action",  # allow | deny; VNet: deny for state D, else allow
    "state",  # begin | continue | end | deny (VNet); null in NSG version 1
    "encryption",  # VNet, as written; NSG: null
    # Since the flow's previous tuple, headers included; null where the tuple leaves them empty.
    "packets_src_to_dst",
    "bytes_src_to_dst",
    "packets_dst_to_src",
    "bytes_dst_to_src",
)

COUNTERS = FIELDS[-4:]
"""Numbers up to 2**63 - 1, or null."""

SUM_SUFFIX = ".agg"
"""Ends the id of the sum of a flow, `shape.aggregate`, which is that of its first tuple."""
