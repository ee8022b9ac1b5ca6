"""Helpers that several test files share."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from flowlog_core.blob import BlobRef, LogBlob
from flowlog_core.consume import decode
from flowlog_core.sinks.message import Message
from flowlog_core.testing.interface import Interface

ROOT = Path(__file__).resolve().parents[1]
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


def blob_of_interface(
    interface: Interface, hour: datetime, account: str, container: str
) -> BlobRef:
    """An interface's flow log of one hour."""
    log = LogBlob.parse(interface.blob_name(hour))
    assert log is not None
    return BlobRef(account, container, log)


def names_of_its_own(connection_string: str, unique: Callable[[str], str]) -> dict[str, str]:
    """Settings for an account that tests share; containers, tables and queue are one's own."""
    return {
        "FlowLogs": connection_string,
        "AzureWebJobsStorage": connection_string,
        "FLOWLOG_TRIGGER_SOURCE": "LogsAndContainerScan",
        "FLOWLOG_NSG_CONTAINER": unique("nsg"),
        "FLOWLOG_VNET_CONTAINER": unique("vnet"),
        "FLOWLOG_CHECKPOINT_TABLE": unique("checkpoints"),
        "FLOWLOG_DEAD_LETTER_CONTAINER": unique("dead"),
        "FLOWLOG_QUEUE": unique("queue"),
        "FLOWLOG_TABLE": unique("table"),
    }


def run_alone(code: str, environment: Mapping[str, str], *arguments: str) -> str:
    """Run `code` with nothing else in its environment; what it printed on either stream."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    return ran.stdout
