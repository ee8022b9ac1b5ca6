"""What several test files say with the same words."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from flowlog_core.consume import decode
from flowlog_core.messages import Message

_NSG_LETTERS = {"tcp": "T", "udp": "U"}
_STATES = {"begin": "B", "continue": "C", "end": "E", "deny": "D"}
_COUNTERS = ("packets_src_to_dst", "bytes_src_to_dst", "packets_dst_to_src", "bytes_dst_to_src")


def tuple_of(record: dict[str, Any]) -> str:
    """The tuple that a record was made of, written again from the record alone."""
    is_vnet = record["category"] == "FlowLogFlowEvent"
    milliseconds = round(datetime.fromisoformat(record["time"]).timestamp() * 1000)
    fields = [
        str(milliseconds if is_vnet else milliseconds // 1000),
        record["src_ip"],
        record["dst_ip"],
        str(record["src_port"]),
        str(record["dst_port"]),
        str(record["protocol_number"]) if is_vnet else _NSG_LETTERS[record["protocol"]],
        record["direction"][0].upper(),
    ]
    if not is_vnet:
        fields.append(record["action"][0].upper())
    if record["state"] is not None:
        fields.append(_STATES[record["state"]])
    if is_vnet:
        fields.append(record["encryption"])
    if record["version"] != 1:
        fields += ["" if record[name] is None else str(record[name]) for name in _COUNTERS]
    return ",".join(fields)


def records_in(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """The records of messages, in the order in which these were sent."""
    return [record for message in messages for record in decode(message.text).records]


def position_of(record: dict[str, Any]) -> tuple[str, int, int, int]:
    """Blob digest, generation, entry offset and tuple index, from the record's id."""
    digest, generation, offset, index = record["id"].split(".")
    return digest, int(generation), int(offset), int(index)


def in_order_of_position(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Records as they stand in their blob, whatever order they were received in."""
    return sorted(records, key=position_of)
