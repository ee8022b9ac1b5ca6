"""Whether the event hub takes events, tried against a broker on loopback; nothing is sent."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator

import pytest

pytest.importorskip("proton", reason="python-qpid-proton is missing: it needs a C compiler")

from amqp_broker import Broker
from azurite_installation import AzuriteInstallation, found, ok

from flowlog_core.config.checks import Facts, Finding, extras_are_installed
from flowlog_core.config.settings import Settings

# The SDK leaves the streams of connections that failed to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker() as started:
        yield started


def told(installation: AzuriteInstallation, broker: Broker, hub: str = "flows") -> Finding:
    examined = installation.open(
        FLOWLOG_SINK="eventhub",
        FLOWLOG_SINK_CONNECTION="Hub",
        FLOWLOG_EVENT_HUB=hub,
        Hub=broker.connection_string,
    )
    (finding,) = found("Sink", examined)
    assert broker.batches == []
    return finding


def test_a_hub_that_can_be_sent_to_is_confirmed(
    installation: AzuriteInstallation, broker: Broker
) -> None:
    about = f"Event hub flows of namespace 127.0.0.1:{broker.port} (Hub)"
    said = f"{about} can be sent to: at most 1,048,576 bytes at a time"
    assert told(installation, broker) == ok(said)


def test_a_hub_that_does_not_exist_is_a_fault(
    installation: AzuriteInstallation, broker: Broker
) -> None:
    finding = told(installation, broker, "absent")
    about = f"Event hub absent of namespace 127.0.0.1:{broker.port} (Hub) does not exist: "
    assert finding.what.startswith(about)
    assert finding.to_do == "Create the event hub, or correct FLOWLOG_EVENT_HUB"


def test_a_missing_right_is_a_fault(installation: AzuriteInstallation, broker: Broker) -> None:
    broker.refuse_link = "amqp:unauthorized-access"
    finding = told(installation, broker)
    assert (finding.level, "refused the request" in finding.what) == ("fault", True)
    assert finding.to_do == (
        "Copy a connection string whose policy has the claim Send into Hub again: this one has "
        "another claim, was rotated, or belongs to another namespace"
    )


def test_a_namespace_that_is_not_there_is_a_fault(
    installation: AzuriteInstallation, broker: Broker
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        broker.port = unused.getsockname()[1]
    finding = told(installation, broker)
    assert (finding.level, "cannot be reached" in finding.what) == ("fault", True)
    assert finding.to_do == (
        "Check the host name in Hub, and that this network allows connections to port 5671 of the "
        "namespace: its firewall, and its private endpoint if it has one"
    )


def test_a_missing_package_stops_records(monkeypatch: pytest.MonkeyPatch, broker: Broker) -> None:
    monkeypatch.setitem(sys.modules, "azure.eventhub.aio", None)
    environment = {
        "FlowLogs": "UseDevelopmentStorage=true",
        "AzureWebJobsStorage": "UseDevelopmentStorage=true",
        "FLOWLOG_SINK": "eventhub",
        "FLOWLOG_SINK_CONNECTION": "Hub",
        "Hub": broker.connection_string,
    }
    facts = Facts(Settings.from_environment(environment), environment)
    assert list(extras_are_installed(facts)) == [
        Finding(
            "fault",
            "FLOWLOG_SINK=eventhub is set, but the package for it is not installed (no module "
            "azure.eventhub.aio)",
            "pip install 'flowlog-azure[eventhub]'",
        )
    ]
