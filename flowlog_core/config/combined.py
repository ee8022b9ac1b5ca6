"""Faults of settings that are valid each by itself, but not together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from flowlog_core.config.connection_names import breaks_sections, read_instead, same_but_for_case
from flowlog_core.config.connections import Connection
from flowlog_core.config.values import MAX_NAME_CHARACTERS
from flowlog_core.shape.aggregate import AGGREGATE_FIELDS
from flowlog_core.shape.fields import Fields
from flowlog_core.shape.keep_drop import KeepDrop
from flowlog_core.source.events import (
    MAX_CLAIM_S,
    MAX_DELIVERIES,
    POISON_SUFFIX,
    REDELIVERED_AFTER_S,
)

if TYPE_CHECKING:
    from flowlog_core.config.settings import Settings


def faults_together(settings: Settings, environment: Mapping[str, str]) -> Iterator[str]:
    """What is wrong, and what to write."""
    is_in_state = settings.sink_connection.name == settings.state.name
    yield from _one_account(settings.sources)
    if settings.sink == "eventhub":
        yield from _no_hub(settings, is_in_state)
    if settings.has_blob_triggers:
        yield from _misread("FLOWLOG_SOURCES", settings.sources, environment)
    if settings.trigger_source == "EventQueue":
        yield from _misread("FLOWLOG_STATE", [settings.state], environment)
        yield from _outlived(settings.claim_s)
        if settings.sink == "queue" and is_in_state:
            yield from _looped(settings)
    if settings.trigger_source == "LogsAndContainerScan":
        yield from _cannot_scan(settings.sources)
    yield from _too_long(settings)
    if settings.sink == "table" and is_in_state:
        yield from _same(settings)
    yield from _no_such_fields(settings)
    if KeepDrop.of(settings.keep, settings.drop).keeps_none:
        yield "FLOWLOG_DROP: drops every record that FLOWLOG_KEEP keeps, so none would be sent"
    yield from _incomplete(environment, "FLOWLOG_TRAFFIC_ENDPOINT", "FLOWLOG_TRAFFIC_RULE")


def _no_hub(settings: Settings, is_in_state: bool) -> Iterator[str]:
    if settings.shards > 1:
        yield (
            "FLOWLOG_SHARDS: has no effect with FLOWLOG_SINK=eventhub, where the event hub spreads "
            "interfaces over its partitions. Remove it"
        )
    if is_in_state:
        yield (
            "FLOWLOG_SINK_CONNECTION: must name a connection to Event Hubs, as FLOWLOG_SINK is "
            f"eventhub. {settings.state.name} is the storage account of FLOWLOG_STATE"
        )


def _misread(
    setting: str, connections: Sequence[Connection], environment: Mapping[str, str]
) -> Iterator[str]:
    """Connections that the Functions host reads differently than Flowlog.

    `setting` names them. The host reads only those of its triggers.
    """
    names = [one.name for one in connections]
    for first, second in same_but_for_case(names):
        yield (
            f"{setting}: '{first}' and '{second}' are one name to the Functions host, which "
            "ignores case and refuses the functions of both. Give each a name of its own"
        )
    for name in names:
        instead = read_instead(name, environment)
        if instead is not None:
            yield (
                f"{setting}: '{name}' cannot be used: the Functions host reads the setting "
                f"{instead} first, and so the wrong account. Choose another name"
            )
        if breaks_sections(name) and not environment.get(name, "").strip():
            yield (
                f"{setting}: '{name}' contains __ or ends in _, so the Functions host cannot "
                f"find {name}__blobServiceUri and so on. Choose another name"
            )


def _one_account(sources: Sequence[Connection]) -> Iterator[str]:
    """An account is named twice: checkpoints and ids contain only its name."""
    seen: dict[str, str] = {}
    for one in sources:
        if one.account and (first := seen.setdefault(one.account, one.name)) != one.name:
            yield (
                f"FLOWLOG_SOURCES: '{first}' and '{one.name}' are the same account, {one.account}, "
                "and Flowlog tells accounts apart by their names. Remove one of them"
            )


def _too_long(settings: Settings) -> Iterator[str]:
    """A queue's name and the suffix of its shards exceed Azure's limit."""
    queue, excess = settings.queue, max(map(len, settings.queues)) - MAX_NAME_CHARACTERS
    if excess > 0:
        yield (
            f"FLOWLOG_QUEUE: '{queue}' is too long for {settings.shards} shards (FLOWLOG_SHARDS), "
            f"which append -00, -01, … to it. Write at most {len(queue) - excess} characters"
        )


def _outlived(claim_s: int) -> Iterator[str]:
    """An event may fail for the last time before a dead worker's claim runs out."""
    if claim_s > MAX_CLAIM_S:
        yield (
            f"FLOWLOG_CLAIM_S: {claim_s} is too long for EventQueue, as the host delivers an event "
            f"{MAX_DELIVERIES} times, {REDELIVERED_AFTER_S} s apart. Write at most {MAX_CLAIM_S}"
        )


def _looped(settings: Settings) -> Iterator[str]:
    """Records are sent to a queue of the events."""
    events = settings.event_queue
    for name in sorted({events, events + POISON_SUFFIX}.intersection(settings.queues)):
        yield (
            f"FLOWLOG_EVENT_QUEUE: '{events}' uses the queue {name}, to which records are sent "
            "(FLOWLOG_QUEUE). Write another name"
        )


def _cannot_scan(sources: Sequence[Connection]) -> Iterator[str]:
    """The host would poll an account that it opens with an identity.

    Source: Microsoft.Azure.WebJobs.Extensions.Storage.Blobs 5.3.10, whose polling sets the logging
    properties of the blob service; learn.microsoft.com, "Set Blob Service Properties", which names
    Microsoft.Storage/storageAccounts/blobServices/write, no data action.
    """
    names = [each.name for each in sources if each.uris and not each.is_emulator]
    if names:
        yield (
            "FLOWLOG_TRIGGER_SOURCE: LogsAndContainerScan does not work with an identity "
            f"({', '.join(names)}): to poll, the host switches on the account's logging (Set Blob "
            "Service Properties), which no role for data permits. Write EventGrid"
        )


def _same(settings: Settings) -> Iterator[str]:
    """Records would be written to the checkpoint table."""
    if settings.table.lower() == settings.checkpoint_table.lower():
        yield f"FLOWLOG_TABLE: '{settings.table}' is also the checkpoint table. Write another name"


def _no_such_fields(settings: Settings) -> Iterator[str]:
    """No record would have the chosen fields."""
    absent = [name for name in AGGREGATE_FIELDS if name in (settings.fields.names or ())]
    if settings.schema != "flowlog" and settings.fields != Fields():
        yield (
            "FLOWLOG_FIELDS: chooses fields of the schema flowlog, but FLOWLOG_SCHEMA is "
            f"{settings.schema}, which has others. Remove one of the two"
        )
    elif absent and not settings.aggregate:
        named = " or ".join(absent)
        yield f"FLOWLOG_FIELDS: no record has {named} unless FLOWLOG_AGGREGATE is true"


def _incomplete(environment: Mapping[str, str], *names: str) -> Iterator[str]:
    """Some of `names` are set and others are not."""
    missing = [name for name in names if not environment.get(name, "").strip()]
    present = [name for name in names if name not in missing]
    if missing and present:
        yield (
            f"{', '.join(missing)}: missing, although {', '.join(present)} is set. Set both, or "
            "neither"
        )
