"""Settings: all faults reported together, secrets masked, documentation complete."""

from __future__ import annotations

import dataclasses
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import pytest
from azure.data.tables import TableServiceClient
from azure.identity import ManagedIdentityCredential
from azure.storage.blob import BlobServiceClient
from azurefunctions.extensions.bindings.blob.utils import service_client_factory

from flowlog_core.config.connections import Connection
from flowlog_core.config.settings import TABLE, Schema, Settings
from flowlog_core.errors import SettingsError
from flowlog_core.schemas import SCHEMAS
from flowlog_core.shape.fields import Fields
from flowlog_core.shape.rules import Rules, parse
from flowlog_core.storage.timeouts import LONGEST_CALL_S, MIN_CLAIM_S

PROJECT = Path(__file__).parents[1]
LOCAL = {
    "FlowLogs": "UseDevelopmentStorage=true",
    "AzureWebJobsStorage": "UseDevelopmentStorage=true",
}
SECRET = "c2VjcmV0c2VjcmV0"
KEYED = (
    f"DefaultEndpointsProtocol=https;AccountName=logs;AccountKey={SECRET};"
    "EndpointSuffix=core.windows.net"
)


def faults_of(environment: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment(environment)
    assert all(f"  - {fault}" in str(caught.value) for fault in caught.value.faults)
    return list(caught.value.faults)


def test_the_defaults_are_those_of_the_design() -> None:
    storage = Connection("AzureWebJobsStorage", "UseDevelopmentStorage=true")
    assert Settings.from_environment(LOCAL) == Settings(
        sources=(Connection("FlowLogs", "UseDevelopmentStorage=true"),),
        nsg_container="insights-logs-networksecuritygroupflowevent",
        vnet_container="insights-logs-flowlogflowevent",
        trigger_source="EventGrid",
        event_queue="flowlog-events",
        state=storage,
        checkpoint_table="flowlogcheckpoints",
        dead_letter_container="flowlog-dead-letters",
        sink="queue",
        sink_connection=storage,
        queue="flowlog-records",
        table="flowrecords",
        event_hub="flowlog-records",
        shards=1,
        queue_encoding="gzip",
        keep=Rules(()),
        drop=Rules(()),
        fields=Fields(None),
        aggregate=False,
        schema="flowlog",
        sends_in_flight=16,
        claim_s=60,
        sweep_minutes=5,
        sweep_hours=24,
        catch_up_since=None,
        keep_checkpoints_days=90,
        traffic_endpoint="",
        traffic_rule="",
    )


def test_everything_can_be_set() -> None:
    settings = Settings.from_environment(
        {
            "FLOWLOG_SOURCES": "eastus, westeurope",
            "eastus": KEYED,
            "westeurope__blobServiceUri": "https://azurite:10000/devstoreaccount1/",
            "westeurope__queueServiceUri": "https://azurite:10001/devstoreaccount1",
            "westeurope__credential": "managedidentity",
            "westeurope__clientId": "11111111-2222-3333-4444-555555555555",
            "FLOWLOG_NSG_CONTAINER": "nsg",
            "FLOWLOG_VNET_CONTAINER": "vnet",
            "FLOWLOG_TRIGGER_SOURCE": "logsandcontainerscan",
            "FLOWLOG_EVENT_QUEUE": "blobs-committed",
            "FLOWLOG_STATE": "eastus",
            "FLOWLOG_CHECKPOINT_TABLE": "checks",
            "FLOWLOG_DEAD_LETTER_CONTAINER": "dead",
            "FLOWLOG_SINK": "table",
            "FLOWLOG_EVENT_HUB": "hub",
            "FLOWLOG_SINK_CONNECTION": "sink",
            "sink__tableServiceUri": "https://sink.table.core.windows.net",
            "FLOWLOG_QUEUE": "records",
            "FLOWLOG_TABLE": "records",
            "FLOWLOG_SHARDS": "32",
            "FLOWLOG_QUEUE_ENCODING": "json",
            "FLOWLOG_KEEP": "action=deny; dst_port=443,8000-8999",
            "FLOWLOG_DROP": "rule=DefaultRule_*",
            "FLOWLOG_FIELDS": "time, src_ip, tuples",
            "FLOWLOG_AGGREGATE": "True",
            "FLOWLOG_SCHEMA": "flowlog",
            "FLOWLOG_SENDS_IN_FLIGHT": "4",
            "FLOWLOG_CLAIM_S": "600",
            "FLOWLOG_SWEEP_MINUTES": "2",
            "FLOWLOG_SWEEP_HOURS": "48",
            "FLOWLOG_CATCH_UP_SINCE": "2026-01-31T09",
            "FLOWLOG_KEEP_CHECKPOINTS_DAYS": "30",
            "FLOWLOG_TRAFFIC_ENDPOINT": "https://dcr.eastus-1.ingest.monitor.azure.com/",
            "FLOWLOG_TRAFFIC_RULE": "dcr-0123456789abcdef0123456789abcdef",
        }
    )
    eastus = Connection("eastus", KEYED)
    westeurope = Connection(
        "westeurope",
        uris={
            "blob": "https://azurite:10000/devstoreaccount1",
            "queue": "https://azurite:10001/devstoreaccount1",
        },
        client_id="11111111-2222-3333-4444-555555555555",
    )
    assert settings == Settings(
        sources=(eastus, westeurope),
        nsg_container="nsg",
        vnet_container="vnet",
        trigger_source="LogsAndContainerScan",
        event_queue="blobs-committed",
        state=eastus,
        checkpoint_table="checks",
        dead_letter_container="dead",
        sink="table",
        sink_connection=Connection("sink", uris={"table": "https://sink.table.core.windows.net"}),
        queue="records",
        table="records",
        event_hub="hub",
        shards=32,
        queue_encoding="json",
        keep=parse("action=deny;dst_port=443,8000-8999"),
        drop=parse("rule=DefaultRule_*"),
        fields=Fields(("id", "time", "src_ip", "tuples")),
        aggregate=True,
        schema="flowlog",
        sends_in_flight=4,
        claim_s=600,
        sweep_minutes=2,
        sweep_hours=48,
        catch_up_since=datetime(2026, 1, 31, 9, tzinfo=UTC),
        keep_checkpoints_days=30,
        traffic_endpoint="https://dcr.eastus-1.ingest.monitor.azure.com",
        traffic_rule="dcr-0123456789abcdef0123456789abcdef",
    )


def test_all_faults_are_reported_together_in_the_users_words() -> None:
    assert faults_of(
        {
            "FLOWLOG_QEUE": "x",
            "FLOWLOG_SOURCES": "east us",
            "FLOWLOG_NSG_CONTAINER": "Insights--Logs",
            "FLOWLOG_TRIGGER_SOURCE": "polling",
            "FLOWLOG_TABLE": "flow-records",
            "FLOWLOG_KEEP": "  dst_prt=443; action=dney",
            "FLOWLOG_DROP": "bytes>=1k",
            "FLOWLOG_FIELDS": "id,src_pi",
            "FLOWLOG_AGGREGATE": "yes",
            "FLOWLOG_SCHEMA": "cef",
            "FLOWLOG_SENDS_IN_FLIGHT": "many",
            "FLOWLOG_SWEEP_MINUTES": "7",
            "FLOWLOG_CATCH_UP_SINCE": "yesterday",
            "AzureWebJobsStorage": "hello",
        }
    ) == [
        "FLOWLOG_QEUE: there is no such setting. Did you mean FLOWLOG_QUEUE?",
        "FLOWLOG_SOURCES: 'east us' cannot be used. Write the name of a connection setting: "
        "letters, digits and _",
        "FLOWLOG_NSG_CONTAINER: 'Insights--Logs' cannot be used. Write 3 to 63 lower-case "
        "letters, digits and single hyphens",
        "FLOWLOG_TRIGGER_SOURCE: 'polling' cannot be used. Write EventGrid, EventQueue, Timer or "
        "LogsAndContainerScan",
        "FLOWLOG_TABLE: 'flow-records' cannot be used. Write 3 to 63 letters and digits, a "
        "letter first, and not the word tables",
        "FLOWLOG_KEEP, character 3: there is no field 'dst_prt'. Did you mean dst_port?",
        "FLOWLOG_KEEP, character 23: action is allow or deny, not 'dney'. Did you mean deny?",
        "FLOWLOG_DROP, character 8: bytes is a whole number up to 18446744073709551616, not '1k'",
        "FLOWLOG_FIELDS, character 4: there is no field 'src_pi'. Did you mean src_ip?",
        "FLOWLOG_AGGREGATE: 'yes' cannot be used. Write true or false",
        "FLOWLOG_SCHEMA: 'cef' cannot be used. Write flowlog, ecs, ocsf or asim",
        "FLOWLOG_SENDS_IN_FLIGHT: 'many' cannot be used. Write a whole number of calls from 1 "
        "to 256",
        "FLOWLOG_SWEEP_MINUTES: '7' cannot be used. Write 1, 2, 3, 4, 5, 6, 10, 12, 15, 20 or 30, "
        "which divide an hour",
        "FLOWLOG_CATCH_UP_SINCE: 'yesterday' cannot be used. Write a UTC date or hour, such as "
        "2026-01-31 or 2026-01-31T09",
        "FlowLogs: there is no such connection, needed for reading flow logs, the host's blob "
        "trigger. Set FlowLogs to a connection string, or, to use an identity, "
        "FlowLogs__blobServiceUri to https://ACCOUNT.blob.core.windows.net and "
        "FlowLogs__queueServiceUri to https://ACCOUNT.queue.core.windows.net",
        "AzureWebJobsStorage: not a connection string (its value is not shown here). Each part "
        "must be Key=value, with a value, and each key may occur only once. Write "
        "'DefaultEndpointsProtocol=https;AccountName=...;AccountKey=...;"
        "EndpointSuffix=core.windows.net', 'UseDevelopmentStorage=true' for Azurite, or remove "
        "it and set AzureWebJobsStorage__blobServiceUri and so on to use an identity",
    ]


@pytest.mark.parametrize("schema", ["ecs", "ocsf", "asim"])
@pytest.mark.parametrize("fields", ["lean", "id,rule"])
def test_fields_are_chosen_in_our_schema_only(schema: str, fields: str) -> None:
    assert faults_of({**LOCAL, "FLOWLOG_SCHEMA": schema, "FLOWLOG_FIELDS": fields}) == [
        f"FLOWLOG_FIELDS: chooses fields of the schema flowlog, but FLOWLOG_SCHEMA is {schema}, "
        "which has others. Remove one of the two"
    ]
    Settings.from_environment({**LOCAL, "FLOWLOG_SCHEMA": schema, "FLOWLOG_FIELDS": "all"})


@pytest.mark.parametrize(
    ("keep", "drop"),
    [
        ("action=deny", "action=deny"),
        ("action=deny,port=22;action=deny,port=23", "rule=x;action=deny"),
        ("protocol=6,dst_port=22", "protocol=TCP"),
    ],
)
def test_rules_that_send_nothing_are_a_fault(keep: str, drop: str) -> None:
    assert faults_of({**LOCAL, "FLOWLOG_KEEP": keep, "FLOWLOG_DROP": drop}) == [
        "FLOWLOG_DROP: drops every record that FLOWLOG_KEEP keeps, so none would be sent"
    ]


@pytest.mark.parametrize(
    ("keep", "drop"),
    [("action=deny;port=22", "action=deny"), ("action=deny", "action=deny,port=22"), ("", "ip=*")],
)
def test_rules_that_may_send_something_are_none(keep: str, drop: str) -> None:
    Settings.from_environment({**LOCAL, "FLOWLOG_KEEP": keep, "FLOWLOG_DROP": drop})


def test_what_only_sums_have_is_chosen_of_sums_only() -> None:
    assert faults_of({**LOCAL, "FLOWLOG_FIELDS": "rule,tuples,last_time"}) == [
        "FLOWLOG_FIELDS: no record has last_time or tuples unless FLOWLOG_AGGREGATE is true"
    ]


def test_the_schemas_are_those_that_there_are() -> None:
    for schema in SCHEMAS:
        settings = Settings.from_environment({**LOCAL, "FLOWLOG_SCHEMA": schema.upper()})
        assert settings.schema == schema
    assert get_args(Schema) == tuple(SCHEMAS)


def test_the_queues_of_the_sink_are_those_of_its_shards() -> None:
    def queues(shards: str) -> tuple[str, ...]:
        return Settings.from_environment({**LOCAL, "FLOWLOG_SHARDS": shards}).queues

    assert queues("1") == ("flowlog-records",)
    assert queues("2") == ("flowlog-records-00", "flowlog-records-01")
    assert queues("32")[-1] == "flowlog-records-31"


@pytest.mark.parametrize("minutes", ["1", "2", "3", "4", "5", "6", "10", "12", "15", "20", "30"])
def test_the_sweeps_schedule_starts_every_so_many_minutes_of_each_hour(minutes: str) -> None:
    """NCRONTAB as on Microsoft's page "Timer trigger for Azure Functions": seconds first."""
    settings = Settings.from_environment({**LOCAL, "FLOWLOG_SWEEP_MINUTES": minutes})
    assert settings.sweep_schedule == f"0 */{minutes} * * * *"


@pytest.mark.parametrize("minutes", ["0", "05", "7", "60", "-5", "5.0", "0 */5 * * * *"])
def test_other_minutes_between_sweeps_are_refused(minutes: str) -> None:
    assert faults_of({**LOCAL, "FLOWLOG_SWEEP_MINUTES": minutes}) == [
        f"FLOWLOG_SWEEP_MINUTES: '{minutes}' cannot be used. Write 1, 2, 3, 4, 5, 6, 10, 12, 15, "
        "20 or 30, which divide an hour"
    ]


def test_a_replaced_setting_is_refused_with_the_name_of_its_successor() -> None:
    assert faults_of({**LOCAL, "FLOWLOG_SWEEP_SCHEDULE": "0 */5 * * * *"}) == [
        "FLOWLOG_SWEEP_SCHEDULE: this setting was replaced by FLOWLOG_SWEEP_MINUTES, the minutes "
        "between two sweeps. Remove it and set FLOWLOG_SWEEP_MINUTES instead"
    ]


@pytest.mark.parametrize("shards", ["0", "33", "-1", "2.0", "two"])
def test_shards_are_a_whole_number_from_1_to_32(shards: str) -> None:
    assert faults_of({**LOCAL, "FLOWLOG_SHARDS": shards}) == [
        f"FLOWLOG_SHARDS: '{shards}' cannot be used. Write a whole number of shards from 1 to 32"
    ]


def test_a_queue_name_leaves_room_for_what_its_shards_put_behind_it() -> None:
    """Azure allows 63 characters; the fault is reported together with all others."""
    longest, too_long = "q" * 60, "q" * 61
    sharded = {**LOCAL, "FLOWLOG_SHARDS": "2"}
    named = Settings.from_environment({**sharded, "FLOWLOG_QUEUE": longest})
    assert [len(queue) for queue in named.queues] == [63, 63]
    assert Settings.from_environment({**LOCAL, "FLOWLOG_QUEUE": "q" * 63}).queues == ("q" * 63,)
    assert faults_of({**sharded, "FLOWLOG_QUEUE": too_long, "FLOWLOG_SINK": "kafka"}) == [
        "FLOWLOG_SINK: 'kafka' cannot be used. Write queue, table or eventhub",
        f"FLOWLOG_QUEUE: '{too_long}' is too long for 2 shards (FLOWLOG_SHARDS), which append -00, "
        "-01, … to it. Write at most 60 characters",
    ]


def test_sums_of_traffic_need_a_place_and_a_rule() -> None:
    rule = "dcr-0123456789abcdef0123456789abcdef"
    assert faults_of({**LOCAL, "FLOWLOG_TRAFFIC_RULE": rule}) == [
        "FLOWLOG_TRAFFIC_ENDPOINT: missing, although FLOWLOG_TRAFFIC_RULE is set. Set both, or "
        "neither"
    ]
    assert faults_of({**LOCAL, "FLOWLOG_TRAFFIC_ENDPOINT": "https://dcr.ingest.example"}) == [
        "FLOWLOG_TRAFFIC_RULE: missing, although FLOWLOG_TRAFFIC_ENDPOINT is set. Set both, or "
        "neither"
    ]
    wrong = {"FLOWLOG_TRAFFIC_ENDPOINT": "http://dcr.ingest.example", "FLOWLOG_TRAFFIC_RULE": "x"}
    assert faults_of({**LOCAL, **wrong}) == [
        "FLOWLOG_TRAFFIC_ENDPOINT: 'http://dcr.ingest.example' cannot be used. Write "
        "https://NAME.REGION.ingest.monitor.azure.com",
        "FLOWLOG_TRAFFIC_RULE: 'x' cannot be used. Write dcr- and the letters and digits behind it",
    ]


def test_an_account_name_alone_is_said_not_to_be_enough() -> None:
    named = {"AzureWebJobsStorage": LOCAL["AzureWebJobsStorage"], "FlowLogs__accountName": "logs"}
    assert faults_of(named) == [
        "FlowLogs__blobServiceUri: missing, needed for reading flow logs. FlowLogs__accountName "
        "alone is not enough: the Python worker's blob binding cannot use it. Write "
        "https://ACCOUNT.blob.core.windows.net",
        "FlowLogs__queueServiceUri: missing, needed for the host's blob trigger. "
        "FlowLogs__accountName alone is not enough: the Python worker's blob binding cannot use "
        "it. Write https://ACCOUNT.queue.core.windows.net",
    ]


@pytest.mark.parametrize("text", ["", " "])
def test_an_empty_setting_beside_the_identity_form_is_a_fault(text: str) -> None:
    """With it the host's function never starts; test_host_limits shows that."""
    addresses = {
        "FlowLogs__blobServiceUri": "https://logs.blob.core.windows.net",
        "FlowLogs__queueServiceUri": "https://logs.queue.core.windows.net",
    }
    storage = {"AzureWebJobsStorage": LOCAL["AzureWebJobsStorage"]}
    assert faults_of({**storage, **addresses, "FlowLogs": text}) == [
        "FlowLogs: empty, beside FlowLogs__… for an identity. The Functions host reads the empty "
        "text as a connection string and does not start the functions. Remove the setting"
    ]
    assert Settings.from_environment({**storage, **addresses}).sources[0].uris


def identities(*connections: str) -> dict[str, str]:
    """Connections of which each reaches the blob service of an account alone, by an identity."""
    return {f"{name}__blobServiceUri": f"https://{name}.blob.example" for name in connections}


@pytest.mark.parametrize("source", ["EventQueue", "Timer"])
def test_without_a_blob_trigger_a_source_needs_no_queue(source: str) -> None:
    """Nor does the host read its connection, so any name will do."""
    environment = {
        "AzureWebJobsStorage": LOCAL["AzureWebJobsStorage"],
        "FLOWLOG_TRIGGER_SOURCE": source,
        "FLOWLOG_SOURCES": "east, West, west, Storage",
    } | identities("east", "West", "Storage")
    environment["west__blobServiceUri"] = "https://west2.blob.example"
    settings = Settings.from_environment(environment)
    assert [dict(each.uris) for each in settings.sources] == [
        {"blob": f"https://{name}.blob.example"} for name in ("east", "West", "west2", "Storage")
    ]
    assert len(faults_of(environment | {"FLOWLOG_TRIGGER_SOURCE": "EventGrid"})) >= 4


def test_with_an_event_queue_the_state_account_needs_one() -> None:
    state = {
        "FlowLogs": LOCAL["FlowLogs"],
        "FLOWLOG_TRIGGER_SOURCE": "EventQueue",
        "FLOWLOG_STATE": "state",
        "FLOWLOG_SINK": "table",
        "state__tableServiceUri": "https://state.table.core.windows.net",
    } | identities("state")
    assert faults_of(state) == [
        "state__queueServiceUri: missing, needed for events. Write "
        "https://ACCOUNT.queue.core.windows.net"
    ]
    queue = {"state__queueServiceUri": "https://state.queue.core.windows.net"}
    assert Settings.from_environment(state | queue).state.uris.keys() == {"blob", "queue", "table"}
    # Here the host reads the connection, and finds another setting first.
    assert faults_of(state | queue | {"AzureWebJobsstate": "x"}) == [
        "FLOWLOG_STATE: 'state' cannot be used: the Functions host reads the setting "
        "AzureWebJobsstate first, and so the wrong account. Choose another name"
    ]


def test_records_may_not_be_sent_to_the_queue_of_events() -> None:
    environment = {**LOCAL, "FLOWLOG_TRIGGER_SOURCE": "EventQueue"}
    same = {"FLOWLOG_QUEUE": "x-y", "FLOWLOG_EVENT_QUEUE": "x-y"}
    what = "to which records are sent (FLOWLOG_QUEUE). Write another name"
    assert faults_of(environment | same) == [
        f"FLOWLOG_EVENT_QUEUE: 'x-y' uses the queue x-y, {what}"
    ]
    poison = {"FLOWLOG_QUEUE": "x-y-poison", "FLOWLOG_EVENT_QUEUE": "x-y"}
    assert faults_of(environment | poison) == [
        f"FLOWLOG_EVENT_QUEUE: 'x-y' uses the queue x-y-poison, {what}"
    ]
    shards = {"FLOWLOG_QUEUE": "x-y", "FLOWLOG_SHARDS": "3", "FLOWLOG_EVENT_QUEUE": "x-y-02"}
    assert faults_of(environment | shards) == [
        f"FLOWLOG_EVENT_QUEUE: 'x-y-02' uses the queue x-y-02, {what}"
    ]
    for other in ({"FLOWLOG_SINK": "table"}, {"FLOWLOG_TRIGGER_SOURCE": "Timer"}):
        assert Settings.from_environment(environment | same | other).event_queue == "x-y"


def test_an_event_must_outlive_a_claim() -> None:
    """The host delivers it ten times, a minute apart; test_host_json holds that."""
    environment = {**LOCAL, "FLOWLOG_TRIGGER_SOURCE": "EventQueue"}
    assert faults_of(environment | {"FLOWLOG_CLAIM_S": "481"}) == [
        "FLOWLOG_CLAIM_S: 481 is too long for EventQueue, as the host delivers an event 10 times, "
        "60 s apart. Write at most 480"
    ]
    assert Settings.from_environment(environment | {"FLOWLOG_CLAIM_S": "480"}).claim_s == 480


def test_a_queue_of_events_leaves_room_for_the_name_of_its_poison_queue() -> None:
    longest = {**LOCAL, "FLOWLOG_EVENT_QUEUE": "q" * 56}
    assert Settings.from_environment(longest).event_queue == "q" * 56
    (fault,) = faults_of(longest | {"FLOWLOG_EVENT_QUEUE": "q" * 57})
    assert fault.endswith(
        "Write 3 to 56 lower-case letters, digits and single hyphens: the host appends -poison for "
        "the queue of events that failed too often"
    )


def test_the_timer_alone_runs_every_minute() -> None:
    timer = {**LOCAL, "FLOWLOG_TRIGGER_SOURCE": "Timer"}
    assert Settings.from_environment(timer).sweep_schedule == "0 */1 * * * *"
    assert Settings.from_environment(timer | {"FLOWLOG_SWEEP_MINUTES": "5"}).sweep_minutes == 5


def test_polling_with_an_identity_is_refused_outside_azurite() -> None:
    """In Azure the host would change the properties of the blob service, which no data role lets.

    Source: learn.microsoft.com, "Set Blob Service Properties", authorization.
    """
    polling = {**LOCAL, "FLOWLOG_TRIGGER_SOURCE": "LogsAndContainerScan"}
    west = {
        "FLOWLOG_SOURCES": "FlowLogs,west",
        "west__blobServiceUri": "https://west.blob.core.windows.net",
        "west__queueServiceUri": "https://west.queue.core.windows.net",
    }
    assert faults_of({**polling, **west}) == [
        "FLOWLOG_TRIGGER_SOURCE: LogsAndContainerScan does not work with an identity (west): to "
        "poll, the host switches on the account's logging (Set Blob Service Properties), which no "
        "role for data permits. Write EventGrid"
    ]
    on_azurite = {
        "west__blobServiceUri": "https://127.0.0.1:10000/west",
        "west__queueServiceUri": "https://127.0.0.1:10001/west",
    }
    for others in (on_azurite, {"FLOWLOG_TRIGGER_SOURCE": "EventGrid"}):
        assert Settings.from_environment({**polling, **west, **others}).sources[1].uris
    # With a key the host has every right; and only sources are polled.
    keyed = {**polling, "FlowLogs": KEYED}
    assert Settings.from_environment(keyed).trigger_source == "LogsAndContainerScan"
    state = {
        "FLOWLOG_STATE": "west",
        "west__blobServiceUri": west["west__blobServiceUri"],
        "west__queueServiceUri": west["west__queueServiceUri"],
        "west__tableServiceUri": "https://west.table.core.windows.net",
    }
    assert Settings.from_environment({**polling, **state}).state.uris


def test_a_half_written_identity_is_completed_in_words() -> None:
    assert faults_of(
        {
            **LOCAL,
            "FLOWLOG_SINK_CONNECTION": "sink",
            "sink__queueServiceUri": "sinkaccount",
            "sink__clientId": "11111111-2222-3333-4444-555555555555",
        }
    ) == [
        "sink__queueServiceUri: 'sinkaccount' is not an address. Write "
        "https://ACCOUNT.queue.core.windows.net",
        "sink__credential: missing, although sink__clientId is set. Write managedidentity",
    ]


def test_no_secret_shows_in_repr_or_faults() -> None:
    settings = Settings.from_environment({**LOCAL, "FlowLogs": KEYED})
    assert settings.sources[0].connection_string == KEYED
    assert SECRET not in repr(settings)
    assert SECRET not in str(faults_of({**LOCAL, "FlowLogs": f"AccountKey={SECRET}"}))


def test_settings_cannot_be_changed() -> None:
    settings = Settings.from_environment(LOCAL)
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.queue = "other"  # type: ignore[misc]  # that it is refused is the point


def test_a_send_cannot_outlive_the_claim_it_was_made_under() -> None:
    """`Claim.keep` leaves at least a third of the time; one call must end within it."""
    assert LONGEST_CALL_S == 18
    assert Settings.from_environment(LOCAL).claim_s >= MIN_CLAIM_S == 3 * LONGEST_CALL_S
    assert faults_of({**LOCAL, "FLOWLOG_CLAIM_S": "53"}) == [
        "FLOWLOG_CLAIM_S: '53' cannot be used. Write a whole number of seconds from 54 to 3600"
    ]
    assert Settings.from_environment({**LOCAL, "FLOWLOG_CLAIM_S": "54"}).claim_s == 54


def test_the_page_of_settings_documents_every_setting_as_it_is() -> None:
    written = re.findall(
        r"^\| `(FLOWLOG_\w+)` \| (?:`([^`]*)`)? ?\| (.*) \|$",
        (PROJECT / "docs/settings.md").read_text(),
        re.MULTILINE,
    )
    assert written == [(row.name, row.default, row.meaning) for row in TABLE]


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T09", datetime(2026, 1, 31, 9, tzinfo=UTC)),
    ],
)
def test_what_is_to_be_caught_up_is_a_date_or_an_hour(text: str, hour: datetime) -> None:
    named = {**LOCAL, "FLOWLOG_CATCH_UP_SINCE": text}
    assert Settings.from_environment(named).catch_up_since == hour


@pytest.mark.parametrize(
    "text", ["2026-01-31T09+05:00", "2026-01-31T09:45", "2026-01-31T09Z", "2026-02-30", "31/1/2026"]
)
def test_no_part_of_a_time_to_catch_up_from_is_overlooked(text: str) -> None:
    assert faults_of({**LOCAL, "FLOWLOG_CATCH_UP_SINCE": text}) == [
        f"FLOWLOG_CATCH_UP_SINCE: '{text}' cannot be used. Write a UTC date or hour, such as "
        "2026-01-31 or 2026-01-31T09"
    ]


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        (
            "AccountName=x",
            [
                "S: the connection string has no key. It must have AccountName and AccountKey, or "
                "SharedAccessSignature"
            ],
        ),
        (
            "BlobEndpoint=https://x.example;SharedAccessSignature=sig",
            [
                "S: the connection string has no address of the table service, needed for "
                "checkpoints. Add AccountName, or TableEndpoint",
                "S: the connection string has no address of the queue service, needed for "
                "sending records. Add AccountName, or QueueEndpoint",
            ],
        ),
        (
            "BlobEndpoint=https://x.example;QueueEndpoint=https://x.example;"
            "TableEndpoint=https://x.example;AccountKey=eA==",
            [
                "S: the connection string has no key. It must have AccountName and AccountKey, or "
                "SharedAccessSignature"
            ],
        ),
        (
            "QueueEndpoint=https://x.example;TableEndpoint=https://x.example;"
            "BlobEndpoint=https://x.example;SharedAccessSignature=sig",
            [],
        ),
        ("accountname=x;ACCOUNTKEY=eA==", []),
    ],
)
def test_a_connection_string_names_and_opens_all_that_is_needed(
    text: str, faults: list[str]
) -> None:
    environment = {**LOCAL, "FLOWLOG_STATE": "S", "S": text}
    if faults:
        assert faults_of(environment) == faults
    else:
        Settings.from_environment(environment)


def test_a_signature_may_stand_in_the_addresses_of_a_source() -> None:
    """The clients of blobs and queues take it from there, that of tables does not."""
    signed = "".join(f"{kind}Endpoint=https://x.example/?sv=1&sig=s;" for kind in ("Blob", "Queue"))
    named = Settings.from_environment({**LOCAL, "FlowLogs": signed})
    assert named.sources[0].connection_string == signed.rstrip(";")
    signed += "TableEndpoint=https://x.example/?sv=1&sig=s"
    assert len(faults_of({**LOCAL, "AzureWebJobsStorage": signed})) == 1


@pytest.mark.parametrize(
    ("text", "passed_on"),
    [
        ("usedevelopmentstorage=true;", "UseDevelopmentStorage=true"),
        ("AccountName=acct;AccountKey=eA==;", "AccountName=acct;AccountKey=eA=="),
    ],
)
def test_a_connection_string_reaches_the_sdk_as_it_wants_it(text: str, passed_on: str) -> None:
    state = Settings.from_environment({**LOCAL, "AzureWebJobsStorage": text}).state
    assert state.connection_string == passed_on
    TableServiceClient.from_connection_string(passed_on).close()
    BlobServiceClient.from_connection_string(passed_on).close()


@pytest.mark.parametrize(
    "text",
    [
        " AccountName=x;AccountKey=eA==",
        "AccountName=x;AccountKey=eA==\n",
        "AccountName=x; AccountKey=eA==",
        "AccountName =x;AccountKey=eA==",
        "AccountName= x;AccountKey=eA==",
    ],
)
def test_white_space_in_a_connection_string_is_refused_since_the_host_cannot_read_it(
    text: str,
) -> None:
    assert faults_of({**LOCAL, "FLOWLOG_STATE": "S", "S": text}) == [
        "S: the connection string has white space before or after it, or around a ';' or '=' (its "
        "value is not shown here). The Functions host cannot read that. Remove the white space"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "AccountName=x;AccountKey=",
        "AccountName=x;;AccountKey=eA==",
        "AccountName=x;AccountKey",
        "AccountName=x;accountname=y;AccountKey=eA==",
    ],
)
def test_a_connection_string_that_the_sdk_cannot_cut_up_is_refused(text: str) -> None:
    (fault,) = faults_of({**LOCAL, "FLOWLOG_STATE": "S", "S": text})
    assert fault.startswith(
        "S: not a connection string (its value is not shown here). Each part must be Key=value, "
        "with a value, and each key may occur only once. Write 'DefaultEndpointsProtocol=https;"
    )


def test_records_are_not_written_between_the_checkpoints() -> None:
    table = {**LOCAL, "FLOWLOG_TABLE": "FlowlogCheckpoints"}
    assert Settings.from_environment(table).table == "FlowlogCheckpoints"  # not used
    assert faults_of({**table, "FLOWLOG_SINK": "table"}) == [
        "FLOWLOG_TABLE: 'FlowlogCheckpoints' is also the checkpoint table. Write another name"
    ]
    elsewhere = {"FLOWLOG_SINK": "table", "FLOWLOG_SINK_CONNECTION": "Sink", "Sink": KEYED}
    assert Settings.from_environment({**table, **elsewhere}).sink == "table"
    assert len(faults_of({**LOCAL, "FLOWLOG_TABLE": "Tables"})) == 1


REFERENCE = "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/x)"
BLOBS, QUEUES = "https://logs.blob.core.windows.net", "https://logs.queue.core.windows.net"


def faults_of_state(text: str) -> list[str]:
    return faults_of({**LOCAL, "FLOWLOG_STATE": "S", "S": text})


@pytest.mark.parametrize(
    ("address", "wrong"),
    [
        (QUEUES, "the address of the queue service, not of the blob service. Write "),
        ("https://logs.dfs.core.windows.net", "the address of the dfs service, not of the blob "),
        (f"{BLOBS}/insights-logs", "an address with a container or path behind it. Write "),
        (f"{BLOBS}:443/insights-logs", "an address with a container or path behind it. Write "),
        ("https://127.0.0.1:10000/account/c", "an address with a container or path behind it. "),
        (f"{BLOBS}#x", "an address with a query or fragment (? or #). Write "),
        ("https://[logs", "not an address. Write "),
    ],
)
def test_an_address_of_another_service_or_of_less_than_a_service_is_refused(
    address: str, wrong: str
) -> None:
    state = {"AzureWebJobsStorage": LOCAL["AzureWebJobsStorage"]}
    uris = {"FlowLogs__blobServiceUri": address, "FlowLogs__queueServiceUri": QUEUES}
    (fault,) = faults_of({**state, **uris})
    assert fault.startswith(f"FlowLogs__blobServiceUri: '{address}' is {wrong}")
    in_string = f"AccountName=logs;AccountKey=eA==;BlobEndpoint={address}"
    (fault,) = faults_of({**state, "FlowLogs": in_string})
    assert fault.startswith(f"FlowLogs: BlobEndpoint is '{address}', {wrong}")


def test_an_address_that_is_none_is_a_fault_also_where_it_names_the_account() -> None:
    text = "BlobEndpoint=https://[logs;QueueEndpoint={};SharedAccessSignature=sig=x"
    state = {"AzureWebJobsStorage": LOCAL["AzureWebJobsStorage"]}
    (fault,) = faults_of({**state, "FlowLogs": text.format(QUEUES)})
    assert fault.startswith("FlowLogs: BlobEndpoint is 'https://[logs', not an address. Write ")


def test_a_signature_behind_an_address_is_refused_and_not_shown() -> None:
    state = {"AzureWebJobsStorage": LOCAL["AzureWebJobsStorage"]}
    uris = {
        "FlowLogs__blobServiceUri": f"{BLOBS}?sig={SECRET}",
        "FlowLogs__queueServiceUri": QUEUES,
    }
    assert faults_of({**state, **uris}) == [
        f"FlowLogs__blobServiceUri: '{BLOBS}' is an address with a query or fragment (? or #). "
        "Write https://ACCOUNT.blob.core.windows.net"
    ]


@pytest.mark.parametrize(
    "host", ["logs.blob.core.windows.net", "azurite:10000/logs", "127.0.0.1:10000/devstoreaccount1"]
)
def test_an_identity_over_http_is_refused_as_the_sdk_and_the_binding_refuse_it(host: str) -> None:
    state = {"AzureWebJobsStorage": LOCAL["AzureWebJobsStorage"]}
    uris = {"FlowLogs__blobServiceUri": f"http://{host}", "FlowLogs__queueServiceUri": QUEUES}
    assert faults_of({**state, **uris}) == [
        f"FlowLogs__blobServiceUri: 'http://{host}' uses http, over which the SDK sends no token "
        "of an identity. Write https"
    ]
    with pytest.raises(ValueError, match="only supported with HTTPS"):
        BlobServiceClient(f"http://{host}", credential=ManagedIdentityCredential())


def test_an_unresolved_reference_is_named_as_such() -> None:
    unresolved = (
        "still a reference, which App Service could not resolve. Look at the setting in the portal "
        "for the reason: the secret is missing, or the app's identity may not read it"
    )
    uris = {"FlowLogs__blobServiceUri": REFERENCE, "FlowLogs__queueServiceUri": QUEUES}
    storage = {"AzureWebJobsStorage": REFERENCE, "FLOWLOG_QUEUE": REFERENCE}
    assert faults_of({**storage, **uris}) == [
        f"FLOWLOG_QUEUE: {unresolved}",
        f"FlowLogs__blobServiceUri: {unresolved}",
        f"AzureWebJobsStorage: {unresolved}",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "UseDevelopmentStorage=True",
            "S: the blob binding and the host accept only the value 'true'. Write "
            "UseDevelopmentStorage=true",
        ),
        (
            f'"{KEYED}"',
            "S: the connection string is in quotation marks (its value is not shown here). "
            "Remove them",
        ),
        (
            KEYED.replace("=https", "=ftp"),
            "S: DefaultEndpointsProtocol is 'ftp'. Write https",
        ),
        (
            KEYED.replace("core.", "https://core."),
            "S: EndpointSuffix is 'https://core.windows.net'. Write it without https://, as "
            "core.windows.net",
        ),
        (
            KEYED.replace(SECRET, "not!base64"),
            "S: AccountKey is not base64 (it is not shown here). Copy the whole key again",
        ),
        (
            KEYED.replace(SECRET, SECRET[:-1]),
            "S: AccountKey is not base64 (it is not shown here). Copy the whole key again",
        ),
    ],
)
def test_a_connection_string_that_no_client_can_use_is_refused(text: str, fault: str) -> None:
    assert faults_of_state(text) == [fault]


AZURITE = "http://127.0.0.1:{}/devstoreaccount1"


@pytest.mark.parametrize("is_identity", [False, True], ids=["string", "identity"])
@pytest.mark.parametrize(
    ("blob", "queue", "wrong"),
    [
        (10001, 10000, [("Blob", 10001, "queue", 10000), ("Queue", 10000, "blob", 10001)]),
        (10001, 10001, [("Blob", 10001, "queue", 10000)]),
        (10000, 10002, [("Queue", 10002, "table", 10001)]),
        (10000, 10001, []),
        (11000, 11001, []),
        (10001, 11002, []),  # an Azurite of chosen ports
    ],
)
def test_addresses_of_azurite_in_the_place_of_others_are_refused(
    blob: int,
    queue: int,
    wrong: list[tuple[str, int, str, int]],
    is_identity: bool,
) -> None:
    polls = {**LOCAL, "FLOWLOG_TRIGGER_SOURCE": "LogsAndContainerScan"}
    at = AZURITE.replace("http", "https") if is_identity else AZURITE
    if is_identity:
        del polls["FlowLogs"]
        polls |= {
            "FlowLogs__blobServiceUri": at.format(blob),
            "FlowLogs__queueServiceUri": at.format(queue),
        }
    else:
        ends = f"BlobEndpoint={at.format(blob)};QueueEndpoint={at.format(queue)}"
        polls["FlowLogs"] = f"AccountName=devstoreaccount1;AccountKey=eA==;{ends}"
    expected = [
        (
            f"FlowLogs__{key.lower()}ServiceUri: '{at.format(port)}' is the port of "
            if is_identity
            else f"FlowLogs: {key}Endpoint is '{at.format(port)}', which is the port of "
        )
        + f"Azurite's {there} service. Write {at.format(right)}"
        for key, port, there, right in wrong
    ]
    if not expected:
        Settings.from_environment(polls)
    else:
        assert faults_of(polls) == expected


ACCOUNT = "AccountName=logs;AccountKey=eA==;EndpointSuffix=core.windows.net"
ADDRESSES = {"__blobServiceUri": BLOBS, "__queueServiceUri": QUEUES}


@pytest.mark.parametrize(
    ("values", "opens"),
    [
        ({"": f"DefaultEndpointsProtocol=https;{ACCOUNT}"}, BLOBS),
        ({"": f"DefaultEndpointsProtocol=https;{ACCOUNT};"}, BLOBS),
        ({"": ACCOUNT}, BLOBS),
        ({"": ACCOUNT.lower()}, BLOBS),
        ({"": "UseDevelopmentStorage=true"}, AZURITE.format(10000)),
        ({"": "usedevelopmentstorage=true;"}, AZURITE.format(10000)),
        ({"": f"BlobEndpoint={BLOBS};QueueEndpoint={QUEUES};SharedAccessSignature=sv=1&sig=x"}, ""),
        ({"": f"BlobEndpoint={BLOBS}/;QueueEndpoint={QUEUES}/;{ACCOUNT}"}, BLOBS),
        (ADDRESSES, BLOBS),
        ({**ADDRESSES, "__credential": "managedidentity"}, BLOBS),
        ({**ADDRESSES, "__credential": "managedidentity", "__clientId": "x"}, BLOBS),
        # Refused, since the binding refuses it.
        ({"": f"DefaultEndpointsProtocol=https;;{ACCOUNT}"}, None),
        ({"": f"{ACCOUNT}; "}, None),
        ({"": f"DefaultEndpointsProtocol=https; {ACCOUNT}"}, None),
        ({"": "UseDevelopmentStorage=True"}, None),
        ({"": REFERENCE}, None),
        ({"": ""}, None),
        ({"": "", **ADDRESSES}, None),
        ({**ADDRESSES, "__blobServiceUri": BLOBS.replace("https", "http")}, None),
        ({"__accountName": "logs", "__queueServiceUri": QUEUES}, None),
        ({}, None),
    ],
)
def test_a_source_is_accepted_only_if_the_blob_binding_opens_it(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str], opens: str | None
) -> None:
    """Held against the code of the package, which reads the environment by itself."""
    environment = {f"FlowLogs{name}": value for name, value in values.items()}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    state = {"AzureWebJobsStorage": LOCAL["AzureWebJobsStorage"]}
    if opens is None:
        with pytest.raises(ValueError):  # noqa: PT011 - each in words of its own
            service_client_factory("FlowLogs")
        assert faults_of({**state, **environment})
    else:
        assert service_client_factory("FlowLogs").url.startswith(opens or f"{BLOBS}/?")
        Settings.from_environment({**state, **environment})
