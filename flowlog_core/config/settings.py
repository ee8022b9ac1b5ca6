"""The configuration: read once from the environment, all faults reported together.

`table` lists every setting.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast

from flowlog_core.config.addresses import unresolved
from flowlog_core.config.connection_names import breaks_sections, read_instead, same_but_for_case
from flowlog_core.config.connections import Connection, Service, parse_connection
from flowlog_core.config.event_hubs import parse_event_hubs
from flowlog_core.config.table import MAX_NAME_CHARACTERS, NOT_OURS, REPLACED, TABLE, Row
from flowlog_core.errors import SettingsError
from flowlog_core.shape.aggregate import AGGREGATE_FIELDS
from flowlog_core.shape.fields import Fields
from flowlog_core.shape.keep_drop import KeepDrop
from flowlog_core.shape.rule_text import FaultsError
from flowlog_core.shape.rules import Rules
from flowlog_core.sinks.message import Encoding
from flowlog_core.sinks.shards import suffixes
from flowlog_core.source.events import (
    MAX_CLAIM_S,
    MAX_DELIVERIES,
    POISON_SUFFIX,
    REDELIVERED_AFTER_S,
)

TriggerSource = Literal["EventGrid", "EventQueue", "Timer", "LogsAndContainerScan"]
SinkKind = Literal["queue", "table", "eventhub"]
Schema = Literal["flowlog", "ecs", "ocsf", "asim"]
_BLOB_TRIGGERS = ("EventGrid", "LogsAndContainerScan")
_TIMER_MINUTES = 1
"""Default of FLOWLOG_SWEEP_MINUTES if only the sweep finds new flow logs."""


@dataclass(frozen=True, slots=True)
class Settings:
    """A valid configuration. `Settings.from_environment` makes it."""

    sources: tuple[Connection, ...]
    nsg_container: str
    vnet_container: str
    trigger_source: TriggerSource
    event_queue: str
    state: Connection
    checkpoint_table: str
    dead_letter_container: str
    sink: SinkKind
    sink_connection: Connection
    queue: str
    table: str
    event_hub: str
    shards: int
    queue_encoding: Encoding
    keep: Rules
    drop: Rules
    fields: Fields
    aggregate: bool
    schema: Schema
    sends_in_flight: int
    claim_s: int
    sweep_minutes: int
    sweep_hours: int
    catch_up_since: datetime | None
    keep_checkpoints_days: int
    traffic_endpoint: str
    traffic_rule: str
    """Both, or neither."""

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
        return _queues(self.queue, self.shards)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read the settings. Raises `SettingsError` with all faults."""
        faults = _unknown(environment)
        values = {row.field: _read(row, environment, faults) for row in TABLE}
        source_names = cast("tuple[str, ...]", values.pop("sources"))
        state_name = cast("str", values.pop("state"))
        sink_name = cast("str", values.pop("sink_connection")) or state_name
        source = values["trigger_source"]
        if source == "Timer" and not environment.get("FLOWLOG_SWEEP_MINUTES", "").strip():
            values["sweep_minutes"] = _TIMER_MINUTES
        # One account may have several uses: its connection must reach all services they need.
        needed: dict[str, dict[Service, str]] = {}
        for name in source_names:
            needed[name] = {"blob": "reading flow logs"}
            if source in _BLOB_TRIGGERS:
                needed[name]["queue"] = "the host's blob trigger"
        needed.setdefault(state_name, {}).update({"table": "checkpoints", "blob": "dead letters"})
        if source == "EventQueue":
            needed[state_name]["queue"] = "events"
        is_hub = values["sink"] == "eventhub"
        if not is_hub:
            needed.setdefault(sink_name, {})[_service(values["sink"])] = "the records that are sent"
        connections = {
            name: parse_connection(name, environment, services, faults)
            for name, services in needed.items()
        }
        faults += _one_account([connections[name] for name in source_names])
        if is_hub:
            hub = _hub(sink_name, state_name, values, environment, faults)
        if source in _BLOB_TRIGGERS:
            faults += _misread("FLOWLOG_SOURCES", source_names, environment)
        if source == "EventQueue":
            faults += _misread("FLOWLOG_STATE", (state_name,), environment)
            faults += _outlived(values["claim_s"])
            if sink_name == state_name and values["sink"] == "queue":
                faults += _looped(values)
        if source == "LogsAndContainerScan":
            faults += _cannot_scan([connections[name] for name in source_names])
        faults += _too_long(values["queue"], values["shards"])
        if sink_name == state_name:
            faults += _same(values)
        faults += _no_such_fields(values["fields"], values["schema"], is_sum=values["aggregate"])
        faults += _nothing_left(values["keep"], values["drop"])
        faults += _incomplete(environment, "FLOWLOG_TRAFFIC_ENDPOINT", "FLOWLOG_TRAFFIC_RULE")
        if faults:
            raise SettingsError(faults)
        return cls(
            sources=tuple(connections[name] for name in source_names),
            state=connections[state_name],
            sink_connection=hub if is_hub else connections[sink_name],
            **values,
        )


def _hub(
    sink_name: str,
    state_name: str,
    values: Mapping[str, Any],
    environment: Mapping[str, str],
    faults: list[str],
) -> Connection:
    """The connection to the namespace of the event hub."""
    if values["shards"] > 1:
        faults.append(
            "FLOWLOG_SHARDS: has no effect with FLOWLOG_SINK=eventhub, where the event hub spreads "
            "interfaces over its partitions. Remove it"
        )
    if sink_name == state_name:
        faults.append(
            "FLOWLOG_SINK_CONNECTION: must name a connection to Event Hubs, as FLOWLOG_SINK is "
            f"eventhub. {state_name} is the storage account of FLOWLOG_STATE"
        )
        return Connection(sink_name)
    return parse_event_hubs(sink_name, values["event_hub"], environment, faults)


def _service(sink: object) -> Service:
    return "table" if sink == "table" else "queue"


def _read(row: Row, environment: Mapping[str, str], faults: list[str]) -> Any:
    written = environment.get(row.name, "")
    text = written.strip() or row.default
    if reference := unresolved(text):
        faults.append(f"{row.name}: {reference}")
        return row.parse(row.default)
    try:
        return row.parse(text)
    except FaultsError as error:
        spaces = len(written) - len(written.lstrip())
        faults += (
            f"{row.name}, {fault._replace(position=fault.position + spaces)}"
            for fault in error.faults
        )
        return row.parse(row.default)
    except ValueError as error:
        faults.append(f"{row.name}: '{text}' cannot be used. {error}")
        return row.parse(row.default)


def _unknown(environment: Mapping[str, str]) -> list[str]:
    known = [row.name for row in TABLE]
    faults = []
    for name in sorted(environment):
        if name in REPLACED:
            faults.append(f"{name}: {REPLACED[name]}")
        elif name.upper().startswith("FLOWLOG_") and name not in known and name not in NOT_OURS:
            near = difflib.get_close_matches(name.upper(), known, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            faults.append(f"{name}: there is no such setting.{hint}")
    return faults


def _misread(
    setting: str, connections: tuple[str, ...], environment: Mapping[str, str]
) -> list[str]:
    """The faults of connections that the Functions host reads differently than Flowlog.

    `setting` names them. The host reads only those of its triggers.
    """
    faults = [
        f"{setting}: '{first}' and '{second}' are one name to the Functions host, which "
        "ignores case and refuses the functions of both. Give each a name of its own"
        for first, second in same_but_for_case(connections)
    ]
    for name in connections:
        instead = read_instead(name, environment)
        if instead is not None:
            faults.append(
                f"{setting}: '{name}' cannot be used: the Functions host reads the setting "
                f"{instead} first, and so the wrong account. Choose another name"
            )
        if breaks_sections(name) and not environment.get(name, "").strip():
            faults.append(
                f"{setting}: '{name}' contains __ or ends in _, so the Functions host cannot "
                f"find {name}__blobServiceUri and so on. Choose another name"
            )
    return faults


def _one_account(sources: Sequence[Connection]) -> list[str]:
    """The faults that an account is named twice: checkpoints and ids contain only its name."""
    seen: dict[str, str] = {}
    return [
        f"FLOWLOG_SOURCES: '{first}' and '{one.name}' are the same account, {one.account}, and "
        "Flowlog tells accounts apart by their names. Remove one of them"
        for one in sources
        if one.account and (first := seen.setdefault(one.account, one.name)) != one.name
    ]


def _queues(queue: str, shards: int) -> tuple[str, ...]:
    return tuple(queue + suffix for suffix in suffixes(shards, "-"))


def _too_long(queue: str, shards: int) -> list[str]:
    """The fault that a queue's name and the suffix of its shards exceed Azure's limit."""
    longest = max(_queues(queue, shards), key=len)
    if len(longest) <= MAX_NAME_CHARACTERS:
        return []
    max_characters = MAX_NAME_CHARACTERS - (len(longest) - len(queue))
    return [
        f"FLOWLOG_QUEUE: '{queue}' is too long for {shards} shards (FLOWLOG_SHARDS), which append "
        f"-00, -01, … to it. Write at most {max_characters} characters"
    ]


def _outlived(claim_s: int) -> list[str]:
    """The fault that an event may fail for the last time before a dead worker's claim runs out."""
    if claim_s <= MAX_CLAIM_S:
        return []
    return [
        f"FLOWLOG_CLAIM_S: {claim_s} is too long for EventQueue, as the host delivers an event "
        f"{MAX_DELIVERIES} times, {REDELIVERED_AFTER_S} s apart. Write at most {MAX_CLAIM_S}"
    ]


def _looped(values: Mapping[str, Any]) -> list[str]:
    """The fault that records are sent to a queue of the events."""
    events = values["event_queue"]
    taken = {events, events + POISON_SUFFIX}.intersection(
        _queues(values["queue"], values["shards"])
    )
    return [
        f"FLOWLOG_EVENT_QUEUE: '{events}' uses the queue {name}, to which records are sent "
        "(FLOWLOG_QUEUE). Write another name"
        for name in sorted(taken)
    ]


def _cannot_scan(sources: Sequence[Connection]) -> list[str]:
    """The fault that the host would poll an account that it opens with an identity.

    Source: Microsoft.Azure.WebJobs.Extensions.Storage.Blobs 5.3.10, whose polling sets the logging
    properties of the blob service; learn.microsoft.com, "Set Blob Service Properties", which names
    Microsoft.Storage/storageAccounts/blobServices/write, no data action.
    """
    names = [each.name for each in sources if each.uris and not each.is_emulator]
    if not names:
        return []
    return [
        "FLOWLOG_TRIGGER_SOURCE: LogsAndContainerScan does not work with an identity "
        f"({', '.join(names)}): to poll, the host switches on the account's logging (Set Blob "
        "Service Properties), which no role for data permits. Write EventGrid"
    ]


def _same(values: Mapping[str, Any]) -> list[str]:
    """The fault that records would be written to the checkpoint table."""
    table, checkpoints = values["table"], values["checkpoint_table"]
    if values["sink"] != "table" or table.lower() != checkpoints.lower():
        return []
    return [f"FLOWLOG_TABLE: '{table}' is also the checkpoint table. Write another name"]


def _nothing_left(keep: Rules, drop: Rules) -> list[str]:
    """The fault that no record would be sent."""
    if not KeepDrop(keep or None, drop).keeps_none:
        return []
    return ["FLOWLOG_DROP: drops every record that FLOWLOG_KEEP keeps, so none would be sent"]


def _no_such_fields(fields: Fields, schema: str, *, is_sum: bool) -> list[str]:
    """The faults that no record would have the chosen fields."""
    if schema != "flowlog" and fields != Fields.parse(""):
        return [
            "FLOWLOG_FIELDS: chooses fields of the schema flowlog, but FLOWLOG_SCHEMA is "
            f"{schema}, which has others. Remove one of the two"
        ]
    absent = [name for name in AGGREGATE_FIELDS if name in (fields.names or ()) and not is_sum]
    if not absent:
        return []
    return [f"FLOWLOG_FIELDS: no record has {' or '.join(absent)} unless FLOWLOG_AGGREGATE is true"]


def _incomplete(environment: Mapping[str, str], *names: str) -> list[str]:
    """The fault that some of `names` are set and others are not."""
    missing = [name for name in names if not environment.get(name, "").strip()]
    present = [name for name in names if name not in missing]
    if not (missing and present):
        return []
    return [
        f"{', '.join(missing)}: missing, although {', '.join(present)} is set. Set both, or neither"
    ]
