"""What the record of a written tuple must say: from the tuple alone, apart from `normalize`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from flowlog_core.testing.generate import Format

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PROTOCOLS = {
    "T": ("tcp", 6), "U": ("udp", 17), "6": ("tcp", 6), "17": ("udp", 17),
    "1": ("icmp", 1), "58": ("ipv6-icmp", 58), "50": ("esp", 50),
}  # fmt: skip  # all that the made-up traffic has
_DIRECTIONS = {"I": "inbound", "O": "outbound"}
_STATES = {"B": "begin", "C": "continue", "E": "end", "D": "deny"}


def expected_fields(log_format: Format, written: str) -> dict[str, Any]:
    """What the record of the tuple `written` must say, besides where it stood."""
    field = written.split(",")
    unit = timedelta(milliseconds=1 if log_format == "vnet4" else 1000)
    time = (_EPOCH + int(field[0]) * unit).isoformat(timespec="milliseconds")
    protocol, protocol_number = _PROTOCOLS[field[5]]
    denied = field[7] == "D"  # the decision of NSG, the state of VNet
    state = {"nsg1": None, "nsg2": 8, "vnet4": 7}[log_format]
    counters = [int(text) if text else None for text in field[9:]] or [None] * 4
    return {
        "time": time.replace("+00:00", "Z"),
        "category": "FlowLogFlowEvent"
        if log_format == "vnet4"
        else "NetworkSecurityGroupFlowEvent",
        "version": int(log_format[-1]),
        "src_ip": field[1],
        "dst_ip": field[2],
        "src_port": int(field[3]),
        "dst_port": int(field[4]),
        "protocol": protocol,
        "protocol_number": protocol_number,
        "direction": _DIRECTIONS[field[6]],
        "action": "deny" if denied else "allow",
        "state": None if state is None else _STATES[field[state]],
        "encryption": field[8] if log_format == "vnet4" else None,
        "packets_src_to_dst": counters[0],
        "bytes_src_to_dst": counters[1],
        "packets_dst_to_src": counters[2],
        "bytes_dst_to_src": counters[3],
    }
