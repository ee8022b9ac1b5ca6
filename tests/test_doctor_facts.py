"""The cheap checks: what settings and environment say by themselves."""

from __future__ import annotations

import logging
from threading import Thread

import pytest
from azurite_installation import AZURE

from flowlog_core.config.settings import Settings
from flowlog_core.doctor.facts import Finding, ToldOnce, cheap_findings

BY_HAND = {"FLOWLOG_TRIGGER_SOURCE": "LogsAndContainerScan", "AzureWebJobsStorage": "x"}


def cheap(environment: dict[str, str]) -> list[Finding]:
    """What is not well, by the cheap checks."""
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


@pytest.mark.parametrize(
    ("shards", "where"),
    [("1", "AzureWebJobsStorage"), ("4", "AzureWebJobsStorage, in 4 shards")],
)
def test_it_is_told_where_records_go(shards: str, where: str) -> None:
    environment = {"FlowLogs": AZURE, "AzureWebJobsStorage": AZURE, "FLOWLOG_SHARDS": shards}
    what = f"the settings can be read: from FlowLogs to the queue flowlog-records of {where}"
    found = cheap_findings(Settings.from_environment(environment), environment)
    assert Finding("ok", what) in found


def test_flex_consumption_has_no_polling() -> None:
    in_azure = {"WEBSITE_SKU": "FlexConsumption", "PYTHON_THREADPOOL_THREAD_COUNT": "20"}
    assert cheap(BY_HAND | in_azure) == [
        Finding(
            "fault",
            "FLOWLOG_TRIGGER_SOURCE is LogsAndContainerScan, and the Flex Consumption plan has no "
            "such trigger: no event ever comes",
            "Set FLOWLOG_TRIGGER_SOURCE to EventGrid and subscribe the app to the account's events",
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
            "FLOWLOG_TRIGGER_SOURCE is EventGrid, and FlowLogs is a storage emulator, which sends "
            "no events",
            "Set FLOWLOG_TRIGGER_SOURCE to LogsAndContainerScan",
        )
    ]


def test_events_do_not_find_a_machine_by_themselves() -> None:
    (finding,) = cheap({"AzureWebJobsStorage": "x"})
    assert finding.level == "warning"
    assert finding.what.startswith("FLOWLOG_TRIGGER_SOURCE is EventGrid, and this machine is not")


def test_the_host_has_settings_of_its_own() -> None:
    environment = {"FUNCTIONS_WORKER_RUNTIME": "node", "WEBSITE_INSTANCE_ID": "1"}
    assert [(one.level, one.what.partition(":")[0], one.to_do) for one in cheap(environment)] == [
        (
            "fault",
            "FUNCTIONS_WORKER_RUNTIME is node",
            "Set it to python; on Flex Consumption remove it",
        ),
        (
            "warning",
            "AzureWebJobsStorage is not set",
            "Set it to a connection string, or AzureWebJobsStorage__blobServiceUri and so on to "
            "use an identity",
        ),
        ("warning", "PYTHON_THREADPOOL_THREAD_COUNT is not set", "Set it to 20"),
    ]


@pytest.mark.parametrize(
    ("http", "setting"),
    [
        ({"FlowLogs": f"DefaultEndpointsProtocol=http;{AZURE}"}, "FlowLogs"),
        (
            {
                "FlowLogs": "",
                "FlowLogs__blobServiceUri": "http://logs.blob.core.windows.net",
                "FlowLogs__queueServiceUri": "https://logs.queue.core.windows.net",
            },
            "FlowLogs__blobServiceUri and so on",
        ),
    ],
)
def test_http_is_no_way_to_an_account(http: dict[str, str], setting: str) -> None:
    assert cheap(BY_HAND | http) == [
        Finding(
            "fault",
            "FlowLogs uses http: storage accounts refuse it, unless 'secure transfer required' is "
            "switched off, and the SDK sends no token of an identity over it",
            f"Write https in {setting}",
        )
    ]


def test_the_log_is_told_once_what_does_not_fit(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    environment = {"FlowLogs": "UseDevelopmentStorage=true", "AzureWebJobsStorage": AZURE}
    caplog.set_level("INFO")
    tell = ToldOnce(Settings.from_environment(environment), environment, is_compiled=False)
    threads = [Thread(target=tell) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(record.levelname, record.message) for record in caplog.records] == [
        (
            "INFO",
            "ordinary records are written by Python, which takes several times as long",
        ),
        (
            "ERROR",
            "FLOWLOG_TRIGGER_SOURCE is EventGrid, and FlowLogs is a storage emulator, which sends "
            "no events. Set FLOWLOG_TRIGGER_SOURCE to LogsAndContainerScan",
        ),
    ]
