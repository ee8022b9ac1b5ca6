"""The configuration: read once from the environment, all faults reported together.

A test compares the table of docs/settings.md with `TABLE`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal, get_args

from flowlog_core.config import values
from flowlog_core.config.addresses import unresolved
from flowlog_core.config.combined import faults_together
from flowlog_core.config.connections import Connection, Service, parse_connection
from flowlog_core.config.event_hubs import parse_event_hubs
from flowlog_core.config.values import setting
from flowlog_core.errors import SettingsError
from flowlog_core.shape.fields import Fields
from flowlog_core.shape.rule_text import FaultsError
from flowlog_core.shape.rule_values import nearest
from flowlog_core.shape.rules import Rules
from flowlog_core.shape.rules import parse as parse_rules
from flowlog_core.sinks.message import Encoding
from flowlog_core.sinks.shards import MAX_SHARDS, suffixes
from flowlog_core.storage.timeouts import MIN_CLAIM_S

TriggerSource = Literal["EventGrid", "EventQueue", "Timer", "LogsAndContainerScan"]
SinkKind = Literal["queue", "table", "eventhub"]
Schema = Literal["flowlog", "ecs", "ocsf", "asim"]
_BLOB_TRIGGERS = ("EventGrid", "LogsAndContainerScan")
_TIMER_MINUTES = 1
"""Default of FLOWLOG_SWEEP_MINUTES if only the sweep finds new flow logs."""


@dataclass(frozen=True, slots=True)
class Settings:
    """A valid configuration. `Settings.from_environment` makes it."""

    sources: tuple[Connection, ...] = setting(
        "FlowLogs",
        "Connection names, separated by commas, of the accounts that hold flow logs.",
        values.connection_names,
    )
    nsg_container: str = setting(
        "insights-logs-networksecuritygroupflowevent",
        "Container of NSG flow logs, watched in every source account.",
        values.container,
    )
    vnet_container: str = setting(
        "insights-logs-flowlogflowevent",
        "Container of VNet flow logs, watched in every source account.",
        values.container,
    )
    trigger_source: TriggerSource = setting(
        "EventGrid",
        "How the app learns of changed blobs: EventGrid (a blob trigger), EventQueue (events in a "
        "queue), Timer (the sweep alone), or LogsAndContainerScan (a blob trigger that polls, for "
        "Azurite). docs/host.md describes what the host does with each.",
        values.one_of(*get_args(TriggerSource)),
    )
    event_queue: str = setting(
        "flowlog-events",
        "Queue of FLOWLOG_STATE's account to which Event Grid delivers events, with EventQueue.",
        values.event_queue,
    )
    state: Connection = setting(
        "AzureWebJobsStorage",
        "Connection name of the account that holds checkpoints and dead letters.",
        values.connection_name,
    )
    checkpoint_table: str = setting(
        "flowlogcheckpoints",
        "Table of the checkpoints and of the sweep's cursors.",
        values.table,
    )
    dead_letter_container: str = setting(
        "flowlog-dead-letters",
        "Container of the dead letters: input that could not be read.",
        values.container,
    )
    sink: SinkKind = setting(
        "queue",
        "Where records are sent: queue, table or eventhub.",
        values.one_of(*get_args(SinkKind)),
    )
    sink_connection: Connection = setting(
        "",
        "Connection name of the sink's account, or of its Event Hubs namespace. Empty: the account "
        "of FLOWLOG_STATE.",
        values.or_empty(values.connection_name),
    )
    queue: str = setting(
        "flowlog-records",
        "Queue of the queue sink.",
        values.container,
    )
    table: str = setting(
        "flowrecords",
        "Table of the table sink.",
        values.table,
    )
    event_hub: str = setting(
        "flowlog-records",
        "Event hub of the eventhub sink. It must exist.",
        values.event_hub,
    )
    shards: int = setting(
        "1",
        "Number of queues (or table partitions per hour) to spread interfaces over. With 2 or "
        "more, queues are named FLOWLOG_QUEUE-00, -01, …",
        values.whole_number(1, MAX_SHARDS, "shards"),
    )
    queue_encoding: Encoding = setting(
        "gzip",
        "Form of queue messages and events: gzip, or json, 13 times the size. docs/consuming.md "
        "says how to read either.",
        values.one_of(*get_args(Encoding)),
    )
    keep: Rules = setting(
        "",
        "Rules such as action=deny; dst_port=443,8000-8999: only records that match one are sent. "
        "Empty: all. docs/rules.md describes the language.",
        parse_rules,
    )
    drop: Rules = setting(
        "",
        "Rules of the same language: records that match one are not sent, though kept by "
        "FLOWLOG_KEEP.",
        parse_rules,
    )
    fields: Fields = setting(
        "all",
        "all, lean (without nulls and without what a message's source says), or the names of the "
        "fields to send, separated by commas.",
        Fields.parse,
    )
    aggregate: bool = setting(
        "false",
        "true: send one record for all tuples of one flow in an entry, with the sums of its "
        "counters. docs/rules.md says what is lost by it.",
        values.switch,
    )
    schema: Schema = setting(
        "flowlog",
        "Schema of the records: flowlog, ecs (Elastic), ocsf, or asim (Microsoft Sentinel). "
        "docs/schemas.md describes each.",
        values.one_of(*get_args(Schema)),
    )
    sends_in_flight: int = setting(
        "16",
        "Maximum number of calls that send at the same time, per process. For an event hub, each "
        "has a connection.",
        values.whole_number(1, 256, "calls"),
    )
    claim_s: int = setting(
        "60",
        "Seconds after which another worker may take over a blob whose worker died.",
        values.whole_number(MIN_CLAIM_S, 3600, "seconds"),
    )
    sweep_minutes: int = setting(
        "5",
        "Minutes between two sweeps, which look for blobs that events missed. A divisor of "
        "60, at most 30. With Timer the default is 1.",
        values.sweep_minutes,
    )
    sweep_hours: int = setting(
        "24",
        "How many hours back the sweep looks, in addition to the current hour.",
        values.whole_number(1, 24 * 366, "hours"),
    )
    catch_up_since: datetime | None = setting(
        "",
        "Forward, once, all logs since this UTC date or hour (2026-01-31 or 2026-01-31T09). "
        "Empty: only what FLOWLOG_SWEEP_HOURS covers.",
        values.since,
    )
    keep_checkpoints_days: int = setting(
        "90",
        "Days after which the checkpoint of a deleted blob is removed.",
        values.whole_number(2, 3660, "days"),
    )
    traffic_endpoint: str = setting(
        "",
        "https address of a data collection endpoint. If set, sums of the traffic, IP "
        "addresses included, are sent to a Log Analytics workspace.",
        values.or_empty(values.https),
    )
    traffic_rule: str = setting(
        "",
        "Immutable id (dcr-…) of the data collection rule for these sums.",
        values.or_empty(values.rule_id),
    )

    @property
    def containers(self) -> tuple[str, str]:
        """The containers watched in every source account."""
        return self.nsg_container, self.vnet_container

    @property
    def has_blob_triggers(self) -> bool:
        """Whether the host itself looks at the source accounts, before it calls the app."""
        return self.trigger_source in _BLOB_TRIGGERS

    @property
    def sweep_schedule(self) -> str:
        """NCRONTAB schedule of the sweep's timer: second, minute, hour, day, month, weekday."""
        return f"0 */{self.sweep_minutes} * * * *"

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues of the queue sink: one for each shard."""
        return tuple(self.queue + suffix for suffix in suffixes(self.shards, "-"))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read the settings. Raises `SettingsError` with all faults."""
        faults = _unknown(environment)
        read = {row.field: _read(row, environment, faults) for row in TABLE}
        has_minutes = environment.get("FLOWLOG_SWEEP_MINUTES", "").strip()
        if read["trigger_source"] == "Timer" and not has_minutes:
            read["sweep_minutes"] = _TIMER_MINUTES
        settings = cls(**read | _connections(read, environment, faults))
        faults += faults_together(settings, environment)
        if faults:
            raise SettingsError(faults)
        return settings


TABLE = tuple(values.Row(one.name, **one.metadata) for one in fields(Settings))

NOT_OURS = frozenset({"FLOWLOG_AZURITE"})
"""Read by other code: `FLOWLOG_AZURITE` tells `demo` where Azurite is."""

REPLACED = {
    "FLOWLOG_SWEEP_SCHEDULE": (
        "this setting was replaced by FLOWLOG_SWEEP_MINUTES, the minutes between two sweeps. "
        "Remove it and set FLOWLOG_SWEEP_MINUTES instead"
    )
}
"""Settings of earlier versions, each with a sentence that names its successor."""


def _unknown(environment: Mapping[str, str]) -> list[str]:
    known = [row.name for row in TABLE]
    faults = []
    for name in sorted(environment):
        if name in REPLACED:
            faults.append(f"{name}: {REPLACED[name]}")
        elif name.upper().startswith("FLOWLOG_") and name not in known and name not in NOT_OURS:
            faults.append(f"{name}: there is no such setting.{nearest(name, known)}")
    return faults


def _read(row: values.Row, environment: Mapping[str, str], faults: list[str]) -> Any:
    written = environment.get(row.name, "")
    text = written.strip() or row.default
    try:
        if reference := unresolved(text):
            faults.append(f"{row.name}: {reference}")
        else:
            return row.parse(text)
    except FaultsError as error:
        spaces = len(written) - len(written.lstrip())
        faults += (
            f"{row.name}, {fault._replace(position=fault.position + spaces)}"
            for fault in error.faults
        )
    except ValueError as error:
        faults.append(f"{row.name}: '{text}' cannot be used. {error}")
    return row.parse(row.default)


def _connections(
    read: Mapping[str, Any], environment: Mapping[str, str], faults: list[str]
) -> dict[str, Any]:
    """The connections that settings name; whatever is wrong with them is added to `faults`.

    One account may have several uses: its connection must reach all services that they need.
    """
    state, sink, trigger = read["state"], read["sink"], read["trigger_source"]
    to = read["sink_connection"] or state
    needed: defaultdict[str, dict[Service, str]] = defaultdict(dict)
    for name in read["sources"]:
        needed[name]["blob"] = "reading flow logs"
        if trigger in _BLOB_TRIGGERS:
            needed[name]["queue"] = "the host's blob trigger"
    needed[state] |= {"table": "checkpoints", "blob": "dead letters"}
    if trigger == "EventQueue":
        needed[state]["queue"] = "events"
    if sink != "eventhub":
        needed[to]["table" if sink == "table" else "queue"] = "sending records"
    opened = {
        name: parse_connection(name, environment, services, faults)
        for name, services in needed.items()
    }
    is_own_hub = sink == "eventhub" and to != state  # else `faults_together` says what to do
    return {
        "sources": tuple(opened[name] for name in read["sources"]),
        "state": opened[state],
        "sink_connection": parse_event_hubs(to, read["event_hub"], environment, faults)
        if is_own_hub
        else opened[to],
    }
