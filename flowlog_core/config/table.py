"""Every setting: its name, default and meaning, and how its text is read.

A test compares the table of docs/settings.md with `TABLE`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple

from flowlog_core.config.connection_names import is_connection_name
from flowlog_core.shape.fields import Fields
from flowlog_core.shape.rules import parse as parse_rules
from flowlog_core.sinks.shards import MAX_SHARDS
from flowlog_core.source.events import POISON_SUFFIX
from flowlog_core.storage.timeouts import MIN_CLAIM_S


class Row(NamedTuple):
    """One setting, as the table of docs/settings.md shows it."""

    name: str
    field: str
    default: str
    meaning: str
    parse: Callable[[str], Any]
    """Raises `ValueError` with a sentence that says what to write."""


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        for choice in choices:
            if text.lower() == choice.lower():
                return choice
        raise ValueError(f"Write {', '.join(choices[:-1])} or {choices[-1]}")

    return parse


def _switch(text: str) -> bool:
    return _one_of("true", "false")(text) == "true"


def _named(pattern: str, rule: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text, re.ASCII):
            raise ValueError(rule)
        return text

    return parse


def _whole_number(minimum: int, maximum: int, unit: str) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch("[0-9]{1,9}", text) or not minimum <= int(text) <= maximum:
            raise ValueError(f"Write a whole number of {unit} from {minimum} to {maximum}")
        return int(text)

    return parse


def _sweep_minutes(text: str) -> int:
    """Divides an hour, since `*/N` in the timer's schedule starts again with every hour."""
    choices = [minutes for minutes in range(1, 31) if 60 % minutes == 0]
    if text not in map(str, choices):
        raise ValueError(
            f"Write {', '.join(map(str, choices[:-1]))} or {choices[-1]}, which divide an hour"
        )
    return int(text)


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


MAX_NAME_CHARACTERS = 63
MAX_EVENT_QUEUE_CHARACTERS = MAX_NAME_CHARACTERS - len(POISON_SUFFIX)
_container = _named(
    f"(?=.{{3,{MAX_NAME_CHARACTERS}}}$)[a-z0-9]+(-[a-z0-9]+)*",
    f"Write 3 to {MAX_NAME_CHARACTERS} lower-case letters, digits and single hyphens",
)
_event_queue = _named(
    f"(?=.{{3,{MAX_EVENT_QUEUE_CHARACTERS}}}$)[a-z0-9]+(-[a-z0-9]+)*",
    f"Write 3 to {MAX_EVENT_QUEUE_CHARACTERS} lower-case letters, digits and single hyphens: the "
    f"host appends {POISON_SUFFIX} for the queue of events that failed too often",
)
_table = _named(
    "(?!(?i:tables)$)[A-Za-z][A-Za-z0-9]{2,62}",
    "Write 3 to 63 letters and digits, a letter first, and not the word tables",
)

_event_hub = _named(
    "(?=.{1,256}$)[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?",
    "Write 1 to 256 letters, digits, full stops, hyphens and underscores, a letter or digit at "
    "both ends",
)

TABLE: tuple[Row, ...] = (
    Row(
        "FLOWLOG_SOURCES",
        "sources",
        "FlowLogs",
        "Connection names, separated by commas, of the accounts that hold flow logs.",
        _connection_names,
    ),
    Row(
        "FLOWLOG_NSG_CONTAINER",
        "nsg_container",
        "insights-logs-networksecuritygroupflowevent",
        "Container of NSG flow logs, watched in every source account.",
        _container,
    ),
    Row(
        "FLOWLOG_VNET_CONTAINER",
        "vnet_container",
        "insights-logs-flowlogflowevent",
        "Container of VNet flow logs, watched in every source account.",
        _container,
    ),
    Row(
        "FLOWLOG_TRIGGER_SOURCE",
        "trigger_source",
        "EventGrid",
        "How the app learns of changed blobs: EventGrid (a blob trigger), EventQueue (events in a "
        "queue), Timer (the sweep alone), or LogsAndContainerScan (a blob trigger that polls, for "
        "Azurite). docs/host.md describes what the host does with each.",
        _one_of("EventGrid", "EventQueue", "Timer", "LogsAndContainerScan"),
    ),
    Row(
        "FLOWLOG_EVENT_QUEUE",
        "event_queue",
        "flowlog-events",
        "Queue of FLOWLOG_STATE's account to which Event Grid delivers events, with EventQueue.",
        _event_queue,
    ),
    Row(
        "FLOWLOG_STATE",
        "state",
        "AzureWebJobsStorage",
        "Connection name of the account that holds checkpoints and dead letters.",
        _connection_name,
    ),
    Row(
        "FLOWLOG_CHECKPOINT_TABLE",
        "checkpoint_table",
        "flowlogcheckpoints",
        "Table of the checkpoints and of the sweep's cursors.",
        _table,
    ),
    Row(
        "FLOWLOG_DEAD_LETTER_CONTAINER",
        "dead_letter_container",
        "flowlog-dead-letters",
        "Container of the dead letters: input that could not be read.",
        _container,
    ),
    Row(
        "FLOWLOG_SINK",
        "sink",
        "queue",
        "Where records are sent: queue, table or eventhub.",
        _one_of("queue", "table", "eventhub"),
    ),
    Row(
        "FLOWLOG_SINK_CONNECTION",
        "sink_connection",
        "",
        "Connection name of the sink's account, or of its Event Hubs namespace. Empty: the account "
        "of FLOWLOG_STATE.",
        _or_empty(_connection_name),
    ),
    Row(
        "FLOWLOG_QUEUE",
        "queue",
        "flowlog-records",
        "Queue of the queue sink.",
        _container,
    ),
    Row(
        "FLOWLOG_TABLE",
        "table",
        "flowrecords",
        "Table of the table sink.",
        _table,
    ),
    Row(
        "FLOWLOG_EVENT_HUB",
        "event_hub",
        "flowlog-records",
        "Event hub of the eventhub sink. It must exist.",
        _event_hub,
    ),
    Row(
        "FLOWLOG_SHARDS",
        "shards",
        "1",
        "Number of queues (or table partitions per hour) to spread interfaces over. With 2 or "
        "more, queues are named FLOWLOG_QUEUE-00, -01, …",
        _whole_number(1, MAX_SHARDS, "shards"),
    ),
    Row(
        "FLOWLOG_QUEUE_ENCODING",
        "queue_encoding",
        "gzip",
        "Form of queue messages and events: gzip, or json, 13 times the size. docs/consuming.md "
        "says how to read either.",
        _one_of("gzip", "json"),
    ),
    Row(
        "FLOWLOG_KEEP",
        "keep",
        "",
        "Rules such as action=deny; dst_port=443,8000-8999: only records that match one are sent. "
        "Empty: all. docs/rules.md describes the language.",
        parse_rules,
    ),
    Row(
        "FLOWLOG_DROP",
        "drop",
        "",
        "Rules of the same language: records that match one are not sent, though kept by "
        "FLOWLOG_KEEP.",
        parse_rules,
    ),
    Row(
        "FLOWLOG_FIELDS",
        "fields",
        "all",
        "all, lean (without nulls and without what a message's source says), or the names of the "
        "fields to send, separated by commas.",
        Fields.parse,
    ),
    Row(
        "FLOWLOG_AGGREGATE",
        "aggregate",
        "false",
        "true: send one record for all tuples of one flow in an entry, with the sums of its "
        "counters. docs/rules.md says what is lost by it.",
        _switch,
    ),
    Row(
        "FLOWLOG_SCHEMA",
        "schema",
        "flowlog",
        "Schema of the records: flowlog, ecs (Elastic), ocsf, or asim (Microsoft Sentinel). "
        "docs/schemas.md describes each.",
        _one_of("flowlog", "ecs", "ocsf", "asim"),
    ),
    Row(
        "FLOWLOG_SENDS_IN_FLIGHT",
        "sends_in_flight",
        "16",
        "Maximum number of calls that send at the same time, per process. For an event hub, each "
        "has a connection.",
        _whole_number(1, 256, "calls"),
    ),
    Row(
        "FLOWLOG_CLAIM_S",
        "claim_s",
        "60",
        "Seconds after which another worker may take over a blob whose worker died.",
        _whole_number(MIN_CLAIM_S, 3600, "seconds"),
    ),
    Row(
        "FLOWLOG_SWEEP_MINUTES",
        "sweep_minutes",
        "5",
        "Minutes between two sweeps, which look for blobs that events missed. A divisor of "
        "60, at most 30. With Timer the default is 1.",
        _sweep_minutes,
    ),
    Row(
        "FLOWLOG_SWEEP_HOURS",
        "sweep_hours",
        "24",
        "How many hours back the sweep looks, in addition to the current hour.",
        _whole_number(1, 24 * 366, "hours"),
    ),
    Row(
        "FLOWLOG_CATCH_UP_SINCE",
        "catch_up_since",
        "",
        "Forward, once, all logs since this UTC date or hour (2026-01-31 or 2026-01-31T09). "
        "Empty: only what FLOWLOG_SWEEP_HOURS covers.",
        _since,
    ),
    Row(
        "FLOWLOG_KEEP_CHECKPOINTS_DAYS",
        "keep_checkpoints_days",
        "90",
        "Days after which the checkpoint of a deleted blob is removed.",
        _whole_number(2, 3660, "days"),
    ),
    Row(
        "FLOWLOG_TRAFFIC_ENDPOINT",
        "traffic_endpoint",
        "",
        "https address of a data collection endpoint. If set, sums of the traffic, IP "
        "addresses included, are sent to a Log Analytics workspace.",
        _or_empty(_https),
    ),
    Row(
        "FLOWLOG_TRAFFIC_RULE",
        "traffic_rule",
        "",
        "Immutable id (dcr-…) of the data collection rule for these sums.",
        _or_empty(_named("dcr-[0-9A-Za-z]+", "Write dcr- and the letters and digits behind it")),
    ),
)

NOT_OURS = frozenset({"FLOWLOG_AZURITE"})
"""Read by other code: `FLOWLOG_AZURITE` tells `demo` where Azurite is."""

REPLACED = {
    "FLOWLOG_SWEEP_SCHEDULE": (
        "this setting was replaced by FLOWLOG_SWEEP_MINUTES, the minutes between two sweeps. "
        "Remove it and set FLOWLOG_SWEEP_MINUTES instead"
    )
}
"""Settings of earlier versions, each with a sentence that names its successor."""
