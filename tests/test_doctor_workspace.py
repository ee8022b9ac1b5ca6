"""Whether traffic summaries would arrive: checked only if they are on, and never a fault."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from azurite_installation import AzuriteInstallation, found, ok
from ingestion import RULE, Ingestion, running_ingestion

from flowlog_core.config.checks import Finding
from flowlog_core.config.connections import Connection
from flowlog_core.doctor.workspace import Workspace


@pytest.fixture
def ingestion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ingestion]:
    with running_ingestion(tmp_path) as ingestion:
        for name, value in ingestion.environment.items():
            monkeypatch.setenv(name, value)
        yield ingestion


def told(installation: AzuriteInstallation, endpoint: str) -> list[Finding]:
    examined = installation.open(FLOWLOG_TRAFFIC_ENDPOINT=endpoint, FLOWLOG_TRAFFIC_RULE=RULE)
    return found("Traffic", examined)


def test_nothing_is_said_where_no_sums_are_made(installation: AzuriteInstallation) -> None:
    assert found("Traffic", installation.open()) == []


def test_a_rule_is_tried_with_no_rows(
    installation: AzuriteInstallation, ingestion: Ingestion
) -> None:
    end = f"data collection rule at {ingestion.endpoint}"
    assert told(installation, ingestion.endpoint) == [ok(f"The {end} accepts traffic summaries")]
    (sent,) = ingestion.sent
    assert sent.path == f"/dataCollectionRules/{RULE}/streams/Custom-FlowlogTraffic"
    assert sent.rows == []


@pytest.mark.parametrize(
    ("status", "what", "to_do"),
    [
        (
            403,
            "refused the request: (OperationFailed) said by a stand-in",
            "Assign the role Monitoring Metrics Publisher on the data collection rule to the "
            "identity that runs this command. A new role takes effect after some minutes, at most "
            "half an hour",
        ),
        (
            404,
            "does not exist: (OperationFailed) said by a stand-in",
            "Check FLOWLOG_TRAFFIC_RULE: it must be the immutable id of a rule at "
            "FLOWLOG_TRAFFIC_ENDPOINT",
        ),
        (400, "answered 400 to an empty test: (OperationFailed) said by a stand-in", ""),
    ],
)
def test_what_is_refused_is_a_warning_with_what_to_do(
    installation: AzuriteInstallation, ingestion: Ingestion, status: int, what: str, to_do: str
) -> None:
    ingestion.status = status
    end = f"data collection rule at {ingestion.endpoint}"
    assert told(installation, ingestion.endpoint) == [
        Finding("warning", f"The {end} {what}", to_do)
    ]


def test_an_address_where_nobody_listens_is_named(
    installation: AzuriteInstallation, ingestion: Ingestion
) -> None:
    (finding,) = told(installation, "https://127.0.0.1:9")
    assert finding.what.startswith(
        "Cannot connect to the data collection rule at https://127.0.0.1:9: "
    )
    assert (finding.level, "FLOWLOG_TRAFFIC_ENDPOINT" in finding.to_do) == ("warning", True)
    assert len(ingestion.asked_for_token) == 1


def test_a_package_that_is_missing_is_a_warning_too(
    installation: AzuriteInstallation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logs are forwarded without it."""
    monkeypatch.setitem(sys.modules, "azure.monitor.ingestion", None)
    (finding,) = told(installation, "https://127.0.0.1:9")
    assert finding == Finding(
        "warning",
        "A package is not installed: no module azure.monitor.ingestion",
        "pip install 'flowlog-azure[traffic]'",
    )


def test_it_is_spoken_of_by_its_address_and_setting() -> None:
    """As where it does not answer in time."""
    end = Workspace(Connection("State"), "blob", "https://dcr.ingest.example", "")
    assert (str(end), end.setting) == (
        "data collection rule at https://dcr.ingest.example",
        "FLOWLOG_TRAFFIC_ENDPOINT",
    )
