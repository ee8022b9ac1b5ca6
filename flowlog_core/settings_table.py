"""The settings one by one: what each is called, what it means, and how its text is read.

The README's table is held against `TABLE` by a test.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple

from flowlog_core.connection_names import is_connection_name
from flowlog_core.ncrontab import read_schedule
from flowlog_core.shards import MOST_SHARDS


class Row(NamedTuple):
    """One setting as a person sees it."""

    name: str
    field: str
    default: str
    meaning: str
    parse: Callable[[str], Any]
    """Raises `ValueError` saying what to write."""


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        for choice in choices:
            if text.lower() == choice.lower():
                return choice
        raise ValueError(f"Write {' or '.join(choices)}")

    return parse


def _named(pattern: str, rule: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text, re.ASCII):
            raise ValueError(rule)
        return text

    return parse


def _whole_number(least: int, most: int, unit: str) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch("[0-9]{1,9}", text) or not least <= int(text) <= most:
            raise ValueError(f"Write a whole number of {unit} from {least} to {most}")
        return int(text)

    return parse


def _connection_name(text: str) -> str:
    if not is_connection_name(text):
        raise ValueError("Write the name of a connection setting: letters, digits and _")
    return text


def _connection_names(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        _connection_name(name)
    if not names:
        raise ValueError("Write one or more connection names, separated by commas")
    return names


def _since(text: str) -> datetime | None:
    if not text:
        return None
    for form in ("%Y-%m-%d", "%Y-%m-%dT%H"):
        with suppress(ValueError):
            return datetime.strptime(text, form).replace(tzinfo=UTC)
    raise ValueError("Write a UTC date or hour, such as 2026-01-31 or 2026-01-31T09")


def _https(text: str) -> str:
    if not re.fullmatch(r"https://[^/?#@\s]+/?", text):
        raise ValueError("Write https://NAME.REGION.ingest.monitor.azure.com")
    return text.rstrip("/")


def _or_empty(parse: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: parse(text) if text else ""


MOST_NAME_CHARACTERS = 63
_container = _named(
    f"(?=.{{3,{MOST_NAME_CHARACTERS}}}$)[a-z0-9]+(-[a-z0-9]+)*",
    f"Write 3 to {MOST_NAME_CHARACTERS} lower-case letters, digits and single hyphens",
)
_table = _named(
    "(?!(?i:tables)$)[A-Za-z][A-Za-z0-9]{2,62}",
    "Write 3 to 63 letters and digits, a letter first, and not the word tables",
)

TABLE: tuple[Row, ...] = (
    Row(
        "FLOWLOG_SOURCES",
        "sources",
        "FlowLogs",
        "connection names, separated by commas, of the accounts that hold flow logs",
        _connection_names,
    ),
    Row(
        "FLOWLOG_NSG_CONTAINER",
        "nsg_container",
        "insights-logs-networksecuritygroupflowevent",
        "container of NSG flow logs, watched in every source",
        _container,
    ),
    Row(
        "FLOWLOG_VNET_CONTAINER",
        "vnet_container",
        "insights-logs-flowlogflowevent",
        "container of VNet flow logs, watched in every source",
        _container,
    ),
    Row(
        "FLOWLOG_TRIGGER_SOURCE",
        "trigger_source",
        "EventGrid",
        "how the host learns of changes: EventGrid, or LogsAndContainerScan (polling; the only "
        "one that works with Azurite, and not available on Flex Consumption)",
        _one_of("EventGrid", "LogsAndContainerScan"),
    ),
    Row(
        "FLOWLOG_STATE",
        "state",
        "AzureWebJobsStorage",
        "connection name of the account with checkpoints and dead letters",
        _connection_name,
    ),
    Row(
        "FLOWLOG_CHECKPOINT_TABLE",
        "checkpoint_table",
        "flowlogcheckpoints",
        "table of the checkpoints",
        _table,
    ),
    Row(
        "FLOWLOG_DEAD_LETTER_CONTAINER",
        "dead_letter_container",
        "flowlog-dead-letters",
        "container for what could not be read",
        _container,
    ),
    Row(
        "FLOWLOG_SINK",
        "sink",
        "queue",
        "where records go: queue or table",
        _one_of("queue", "table"),
    ),
    Row(
        "FLOWLOG_SINK_CONNECTION",
        "sink_connection",
        "",
        "connection name of the account with the sink; empty: the one of FLOWLOG_STATE",
        _or_empty(_connection_name),
    ),
    Row("FLOWLOG_QUEUE", "queue", "flowlog-records", "queue of the queue sink", _container),
    Row("FLOWLOG_TABLE", "table", "flowrecords", "table of the table sink", _table),
    Row(
        "FLOWLOG_SHARDS",
        "shards",
        "1",
        "over how many queues, or partitions of an hour in the table, a hash spreads the "
        "interfaces; from 2 on the queues are FLOWLOG_QUEUE with -00, -01 and so on behind it",
        _whole_number(1, MOST_SHARDS, "shards"),
    ),
    Row(
        "FLOWLOG_QUEUE_ENCODING",
        "queue_encoding",
        "json",
        "json, or gzip: fewer messages for more CPU time; `flowlog_core.consume` reads both",
        _one_of("json", "gzip"),
    ),
    Row(
        "FLOWLOG_SENDS_IN_FLIGHT",
        "sends_in_flight",
        "16",
        "storage calls that send at the same time, for the whole process",
        _whole_number(1, 256, "calls"),
    ),
    Row(
        "FLOWLOG_CLAIM_S",
        "claim_s",
        "180",
        "seconds after which a blob whose worker died may be taken by another",
        _whole_number(180, 3600, "seconds"),
    ),
    Row(
        "FLOWLOG_SWEEP_SCHEDULE",
        "sweep_schedule",
        "0 */5 * * * *",
        "when to look for blobs that events missed: six NCRONTAB fields, seconds first",
        read_schedule,
    ),
    Row(
        "FLOWLOG_SWEEP_HOURS",
        "sweep_hours",
        "24",
        "how many hours back the sweep looks, beside the hour that is open",
        _whole_number(1, 24 * 366, "hours"),
    ),
    Row(
        "FLOWLOG_CATCH_UP_SINCE",
        "catch_up_since",
        "",
        "forward, once, all logs since this UTC date or hour (2026-01-31 or 2026-01-31T09); "
        "empty: what the sweep's hours cover",
        _since,
    ),
    Row(
        "FLOWLOG_KEEP_CHECKPOINTS_DAYS",
        "keep_checkpoints_days",
        "90",
        "days after which the checkpoint of a blob that is deleted is removed",
        _whole_number(2, 3660, "days"),
    ),
    Row(
        "FLOWLOG_TRAFFIC_ENDPOINT",
        "traffic_endpoint",
        "",
        "https address that takes sums of the traffic, IP addresses among them, for a Log "
        "Analytics workspace; empty: none are made",
        _or_empty(_https),
    ),
    Row(
        "FLOWLOG_TRAFFIC_RULE",
        "traffic_rule",
        "",
        "immutable id of the data collection rule there, dcr-…",
        _or_empty(_named("dcr-[0-9A-Za-z]+", "Write dcr- and the letters and digits behind it")),
    ),
)

NOT_OURS = frozenset({"FLOWLOG_AZURITE"})
"""Read elsewhere: where `demo` finds Azurite."""
