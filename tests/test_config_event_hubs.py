"""Connections to Event Hubs: the names of the host's binding, and every fault at the start."""

from __future__ import annotations

import pytest

from flowlog_core.config.connections import Connection
from flowlog_core.config.settings import Settings
from flowlog_core.doctor.event_hub import host_of
from flowlog_core.errors import SettingsError

SECRET = "c2VjcmV0c2VjcmV0"
KEY = f"SharedAccessKeyName=send;SharedAccessKey={SECRET}"
TEXT = f"Endpoint=sb://name.servicebus.windows.net/;{KEY}"
SINK = {
    "FlowLogs": "UseDevelopmentStorage=true",
    "AzureWebJobsStorage": "UseDevelopmentStorage=true",
    "FLOWLOG_SINK": "EventHub",
    "FLOWLOG_SINK_CONNECTION": "Hub",
}


def faults_of(**environment: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment(SINK | environment)
    assert SECRET not in str(caught.value)
    return list(caught.value.faults)


def test_an_identity_opens_the_namespace_that_is_named() -> None:
    """The names are those of the page "Azure Event Hubs trigger and bindings", Connections."""
    settings = Settings.from_environment(
        SINK
        | {
            "Hub__fullyQualifiedNamespace": "name.servicebus.windows.net",
            "Hub__credential": "managedidentity",
            "Hub__clientId": "1234",
            "FLOWLOG_EVENT_HUB": "flows.1_a-b",
        }
    )
    assert (settings.sink, settings.event_hub) == ("eventhub", "flows.1_a-b")
    connection = Connection("Hub", client_id="1234", namespace="name.servicebus.windows.net")
    assert settings.sink_connection == connection
    assert host_of(connection) == "name.servicebus.windows.net"


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        f"{TEXT};EntityPath=flowlog-records",
        "Endpoint=sb://name.servicebus.windows.net/;SharedAccessSignature=SharedAccessSignature sr",
    ],
)
def test_a_connection_string_opens_the_namespace(text: str) -> None:
    connection = Settings.from_environment(SINK | {"Hub": text}).sink_connection
    assert connection == Connection("Hub", connection_string=text)
    assert host_of(connection) == "name.servicebus.windows.net"
    assert SECRET not in repr(connection)


@pytest.mark.parametrize(
    ("environment", "fault"),
    [
        (
            {},
            "Hub: there is no such connection to Event Hubs, needed for sending records. "
            "Set Hub to a connection string, or, to use an identity, Hub__fullyQualifiedNamespace "
            "to NAMESPACE.servicebus.windows.net",
        ),
        (
            {"Hub__fullyQualifiedNamespace": "sb://name.servicebus.windows.net/"},
            "Hub__fullyQualifiedNamespace: 'sb://name.servicebus.windows.net/' is not a host name. "
            "Write NAMESPACE.servicebus.windows.net",
        ),
        (
            {"Hub": f"DefaultEndpointsProtocol=https;AccountName=a;AccountKey={SECRET}"},
            "Hub: not a connection string of Event Hubs (its value is not shown here). Write "
            "'Endpoint=sb://NAMESPACE.servicebus.windows.net/;SharedAccessKeyName=...;"
            "SharedAccessKey=...', or remove it and use an identity",
        ),
        (
            {"Hub": SECRET},
            "Hub: not a connection string (its value is not shown here). Each part must be "
            "Key=value, and each key may occur only once. Write "
            "'Endpoint=sb://NAMESPACE.servicebus.windows.net/;SharedAccessKeyName=...;"
            "SharedAccessKey=...'",
        ),
        (
            {"Hub": "Endpoint=sb://name.servicebus.windows.net/;SharedAccessKeyName=send"},
            "Hub: the connection string has no key. It must have SharedAccessKeyName and "
            "SharedAccessKey, or SharedAccessSignature",
        ),
        (
            {"Hub": f"{TEXT};EntityPath=other"},
            "Hub: the connection string is for the event hub 'other', and FLOWLOG_EVENT_HUB is "
            "'flowlog-records'. Make both the same, or remove EntityPath",
        ),
        (
            {"Hub": f"Endpoint=sb://127.0.0.1:5672;{KEY};UseDevelopmentEmulator=True"},
            "Hub: UseDevelopmentEmulator=True has no effect: the SDK knows only 'true', in lower "
            "case",
        ),
        (
            {"Hub": TEXT, "FLOWLOG_SHARDS": "2"},
            "FLOWLOG_SHARDS: has no effect with FLOWLOG_SINK=eventhub, where the event hub spreads "
            "interfaces over its partitions. Remove it",
        ),
        (
            {"FLOWLOG_SINK_CONNECTION": ""},
            "FLOWLOG_SINK_CONNECTION: must name a connection to Event Hubs, as FLOWLOG_SINK is "
            "eventhub. AzureWebJobsStorage is the storage account of FLOWLOG_STATE",
        ),
        (
            {"Hub": TEXT, "FLOWLOG_EVENT_HUB": "-flows"},
            "FLOWLOG_EVENT_HUB: '-flows' cannot be used. Write 1 to 256 letters, digits, full "
            "stops, hyphens and underscores, a letter or digit at both ends",
        ),
    ],
    ids=range(10),
)
def test_every_fault_is_told_before_anything_runs(environment: dict[str, str], fault: str) -> None:
    assert faults_of(**environment) == [fault]


@pytest.mark.parametrize("endpoint", ["sb://[", "sb:///", "sb://name.servicebus.windows.net:port/"])
def test_an_endpoint_that_is_no_address_is_a_fault_beside_the_others(endpoint: str) -> None:
    first, second = faults_of(Hub=f"Endpoint={endpoint};{KEY}", FLOWLOG_SHARDS="2")
    assert first.startswith("Hub: not a connection string of Event Hubs")
    assert second.startswith("FLOWLOG_SHARDS: ")
