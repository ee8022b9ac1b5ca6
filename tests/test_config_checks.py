"""The checks that need only settings and environment."""

from __future__ import annotations

import logging
import re
import sys
from threading import Thread

import pytest
from azurite_installation import AZURE

from flowlog_core.config.checks import Finding, ReportOnce, cheap_findings
from flowlog_core.config.settings import Settings

BY_HAND = {"FLOWLOG_TRIGGER_SOURCE": "LogsAndContainerScan", "AzureWebJobsStorage": "x"}


def cheap(environment: dict[str, str]) -> list[Finding]:
    """What these checks find wrong."""
    settings = Settings.from_environment(
        {"FlowLogs": AZURE, "AzureWebJobsStorage": AZURE}
        | {
            name: value
            for name, value in environment.items()
            if name.startswith(("FLOWLOG_", "Flow"))
        }
    )
    return [one for one in cheap_findings(settings, environment) if one.level != "ok"]


@pytest.mark.parametrize(
    "environment",
    [
        BY_HAND,
        {"AzureWebJobsStorage__accountName": "x", "WEBSITE_SKU": "FlexConsumption"}
        | {"PYTHON_THREADPOOL_THREAD_COUNT": "20"},
    ],
)
def test_what_fits_raises_no_finding(environment: dict[str, str]) -> None:
    assert cheap(environment) == []


def test_flex_consumption_has_no_polling() -> None:
    in_azure = {"WEBSITE_SKU": "FlexConsumption", "PYTHON_THREADPOOL_THREAD_COUNT": "20"}
    assert cheap(BY_HAND | in_azure) == [
        Finding(
            "fault",
            "FLOWLOG_TRIGGER_SOURCE is LogsAndContainerScan, which the Flex Consumption plan does "
            "not support: the app receives no events",
            "Set FLOWLOG_TRIGGER_SOURCE to EventGrid and add event subscriptions to each account",
        )
    ]


@pytest.mark.parametrize(
    "connection",
    [
        "UseDevelopmentStorage=true",
        "AccountName=x;AccountKey=eA==;BlobEndpoint=http://localhost:10000/x",
        "AccountName=x;AccountKey=eA==;BlobEndpoint=http://azurite:10000/devstoreaccount1",
    ],
)
def test_an_emulator_sends_no_events(connection: str) -> None:
    assert cheap({"AzureWebJobsStorage": "x", "FlowLogs": connection}) == [
        Finding(
            "fault",
            "FLOWLOG_TRIGGER_SOURCE is EventGrid, but FlowLogs is a storage emulator, which sends "
            "no events",
            "Set FLOWLOG_TRIGGER_SOURCE to LogsAndContainerScan",
        )
    ]


def test_an_emulator_leaves_an_event_queue_empty() -> None:
    queue = {"AzureWebJobsStorage": "x", "FLOWLOG_TRIGGER_SOURCE": "EventQueue"}
    emulator = {"AzureWebJobsStorage": "x", "FlowLogs": "UseDevelopmentStorage=true"}
    assert cheap(queue | emulator) == [
        Finding(
            "warning",
            "FLOWLOG_TRIGGER_SOURCE is EventQueue, but FlowLogs is a storage emulator, which sends "
            "no events: its logs wait for the sweep",
            "Set FLOWLOG_TRIGGER_SOURCE to LogsAndContainerScan or Timer",
        )
    ]


@pytest.mark.parametrize("source", ["EventQueue", "Timer"])
def test_a_queue_and_a_timer_reach_any_machine(source: str) -> None:
    assert cheap({"AzureWebJobsStorage": "x", "FLOWLOG_TRIGGER_SOURCE": source}) == []


def test_events_do_not_find_a_machine_by_themselves() -> None:
    (finding,) = cheap({"AzureWebJobsStorage": "x"})
    assert finding.level == "warning"
    assert finding.what.startswith("FLOWLOG_TRIGGER_SOURCE is EventGrid, but this machine is not")


def test_the_host_has_settings_of_its_own() -> None:
    environment = {"FUNCTIONS_WORKER_RUNTIME": "node", "WEBSITE_INSTANCE_ID": "1"}
    assert [
        (one.level, re.split("[.:]", one.what)[0], one.to_do) for one in cheap(environment)
    ] == [
        (
            "fault",
            "FUNCTIONS_WORKER_RUNTIME is node",
            "Set it to python. On Flex Consumption, remove it",
        ),
        (
            "warning",
            "AzureWebJobsStorage is not set",
            "Set AzureWebJobsStorage to a connection string. To use an identity instead, set "
            "AzureWebJobsStorage__blobServiceUri, __queueServiceUri and __tableServiceUri",
        ),
        ("warning", "PYTHON_THREADPOOL_THREAD_COUNT is not set", "Set it to 20"),
    ]


@pytest.mark.parametrize(
    "http",
    [
        f"DefaultEndpointsProtocol=http;{AZURE}",
        f"BlobEndpoint=http://x.blob.core.windows.net;{AZURE}",
    ],
)
def test_http_is_refused_by_accounts(http: str) -> None:
    on_azure = {"WEBSITE_INSTANCE_ID": "1", "PYTHON_THREADPOOL_THREAD_COUNT": "20"}
    assert cheap(BY_HAND | on_azure | {"FlowLogs": http}) == [
        Finding(
            "fault",
            "FlowLogs uses http, which storage accounts refuse by default",
            "Write https in FlowLogs",
        )
    ]


def test_an_address_that_is_none_of_an_unused_service_ends_no_event() -> None:
    """Settings look at the addresses of services that are used."""
    on_azure = {"WEBSITE_INSTANCE_ID": "1", "PYTHON_THREADPOOL_THREAD_COUNT": "20"}
    assert cheap(BY_HAND | on_azure | {"FlowLogs": f"FileEndpoint=https://[;{AZURE}"}) == []


@pytest.mark.parametrize(
    ("setting", "module", "extra"),
    [
        ("FLOWLOG_TRAFFIC_RULE", "azure.monitor.ingestion", "traffic"),
        (
            "APPLICATIONINSIGHTS_CONNECTION_STRING",
            "azure.monitor.opentelemetry.exporter",
            "telemetry",
        ),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "opentelemetry.exporter.otlp.json.http", "telemetry"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "opentelemetry.sdk.metrics", "telemetry"),
    ],
)
def test_a_package_that_a_setting_needs_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, setting: str, module: str, extra: str
) -> None:
    environment = BY_HAND | {setting: "dcr-1"}
    if setting == "FLOWLOG_TRAFFIC_RULE":
        environment["FLOWLOG_TRAFFIC_ENDPOINT"] = "https://x.example"
    assert cheap(environment) == []
    monkeypatch.setitem(sys.modules, module, None)
    assert cheap(BY_HAND) == []
    assert cheap(environment) == [
        Finding(
            "warning",
            f"{setting} is set, but the package for it is not installed (no module {module})",
            f"pip install 'flowlog-azure[{extra}]'",
        )
    ]


def test_findings_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    environment = {"FlowLogs": "UseDevelopmentStorage=true", "AzureWebJobsStorage": AZURE}
    caplog.set_level("INFO")
    report = ReportOnce(Settings.from_environment(environment), environment)
    threads = [Thread(target=report) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(record.levelname, record.message) for record in caplog.records] == [
        (
            "ERROR",
            "FLOWLOG_TRIGGER_SOURCE is EventGrid, but FlowLogs is a storage emulator, which sends "
            "no events. Set FLOWLOG_TRIGGER_SOURCE to LogsAndContainerScan",
        ),
    ]


@pytest.mark.parametrize(
    ("rules", "named"),
    [
        ({"FLOWLOG_DROP": "ip=*"}, "FLOWLOG_DROP"),
        ({"FLOWLOG_KEEP": "time<1970-01-01"}, "FLOWLOG_KEEP"),
        (
            {"FLOWLOG_KEEP": "action=deny", "FLOWLOG_DROP": "ip=*"},
            "FLOWLOG_KEEP and FLOWLOG_DROP",
        ),
    ],
)
def test_rules_that_leave_nothing_to_send_are_named(rules: dict[str, str], named: str) -> None:
    assert cheap(BY_HAND | rules) == [
        Finding(
            "warning",
            f"No record passes {named}: nothing is sent",
            "Correct the rules, see docs/rules.md. What they dropped is counted as forwarded: "
            "`flowlog replay` sends it once they are corrected",
        )
    ]
