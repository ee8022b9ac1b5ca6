"""Connection names that the Functions host accepts, and settings that it would read instead."""

from __future__ import annotations

import pytest

from flowlog_core.config.connection_names import (
    breaks_sections,
    is_connection_name,
    read_instead,
    same_but_for_case,
)
from flowlog_core.config.settings import Settings
from flowlog_core.errors import SettingsError

DEVELOPMENT = "UseDevelopmentStorage=true"


@pytest.mark.parametrize("name", ["a", "FlowLogs", "west_2", "a__b", "a_", "AzureWebJobsStorage"])
def test_a_name_is_letters_digits_and_underscores(name: str) -> None:
    assert is_connection_name(name)


@pytest.mark.parametrize("name", ["", "1st", "_a", "a-b", "a b", "a\n", "é", "a.b"])
def test_other_names_are_none(name: str) -> None:
    assert not is_connection_name(name)


@pytest.mark.parametrize(
    ("name", "breaks"), [("a_b", False), ("ab", False), ("a__b", True), ("ab_", True)]
)
def test_two_underscores_separate_the_parts_of_a_setting(name: str, breaks: bool) -> None:
    """As .NET reads environment variables: `ab___blobServiceUri` is `ab:_blobServiceUri`."""
    assert breaks_sections(name) is breaks


@pytest.mark.parametrize(
    ("setting", "found"),
    [
        ("AzureWebJobsWest", True),
        ("azurewebjobsWEST", True),
        ("AzureWebJobsWest__blobServiceUri", True),
        ("ConnectionStrings__West", True),
        ("ConnectionStrings:West", True),
        ("ConnectionStrings__AzureWebJobsWest", True),
        ("CUSTOMCONNSTR_West", True),
        ("West", False),
        ("West__blobServiceUri", False),
        ("AzureWebJobsWest2", False),
        ("AzureWebJobs.West.Disabled", False),
        ("ConnectionStrings__West2", False),
    ],
)
def test_what_the_host_reads_before_a_setting(setting: str, found: bool) -> None:
    assert read_instead("West", ["West", "PATH", setting]) == (setting if found else None)


def test_names_that_differ_in_case_alone_are_one() -> None:
    assert same_but_for_case(["west", "east", "WEST", "West", "east"]) == [
        ("west", "WEST"),
        ("west", "West"),
    ]


def faults(sources: str, **settings: str) -> tuple[str, ...]:
    environment = {"AzureWebJobsStorage": DEVELOPMENT, "FLOWLOG_SOURCES": sources, **settings}
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment(environment)
    return tuple(refused.value.faults)


def test_the_app_refuses_a_source_whose_settings_the_host_does_not_read() -> None:
    """With `Storage` the host watches the state account, and drops every event of the source."""
    assert faults("Storage", Storage=DEVELOPMENT) == (
        "FLOWLOG_SOURCES: 'Storage' cannot be used: the Functions host reads the setting "
        "AzureWebJobsStorage first, and so the wrong account. Choose another name",
    )


def test_the_app_refuses_sources_that_are_one_to_the_host() -> None:
    other = "AccountName=other;AccountKey=eA==;EndpointSuffix=core.windows.net"
    assert faults("west,WEST", west=DEVELOPMENT, WEST=other) == (
        "FLOWLOG_SOURCES: 'west' and 'WEST' are one name to the Functions host, which ignores case "
        "and refuses the functions of both. Give each a name of its own",
    )


@pytest.mark.parametrize("name", ["a__b", "ab_"])
def test_the_app_refuses_a_name_that_breaks_the_identity_form_alone(name: str) -> None:
    uris = {f"{name}__{s}ServiceUri": f"https://x.{s}.core.windows.net" for s in ("blob", "queue")}
    assert faults(name, **uris) == (
        f"FLOWLOG_SOURCES: '{name}' contains __ or ends in _, so the Functions host cannot find "
        f"{name}__blobServiceUri and so on. Choose another name",
    )
    strings = {"AzureWebJobsStorage": DEVELOPMENT, "FLOWLOG_SOURCES": name, name: DEVELOPMENT}
    assert [source.name for source in Settings.from_environment(strings).sources] == [name]


NAMED = "AccountName={};AccountKey=eA==;EndpointSuffix=core.windows.net"
SIGNED = "BlobEndpoint={};QueueEndpoint=https://logs.queue.example;SharedAccessSignature=sig=x"


@pytest.mark.parametrize(
    ("first", "second", "account"),
    [
        (NAMED.format("logs"), NAMED.format("LOGS"), "logs"),
        (NAMED.format("logs"), "https://Logs.blob.core.windows.net", "logs"),
        (NAMED.format("logs"), SIGNED.format("https://logs.blob.core.windows.net/"), "logs"),
        (
            NAMED.format("logs"),
            f"BlobEndpoint=https://flows.example;{NAMED.format('logs')}",
            "logs",
        ),
        (SIGNED.format("https://flows.example"), "https://flows.example/", "flows.example"),
        (DEVELOPMENT, "https://127.0.0.1:11000/devstoreaccount1", "devstoreaccount1"),
        (NAMED.format("logs"), NAMED.format("logs2"), None),
        (NAMED.format("logs"), "https://logs2.blob.core.windows.net", None),
        (DEVELOPMENT, "https://127.0.0.1:10000/another", None),
    ],
)
def test_the_app_refuses_an_account_that_is_named_twice(
    first: str, second: str, account: str | None
) -> None:
    """The second would be read through the client of the first, or be forwarded twice."""
    settings = {"east": first, "west__queueServiceUri": "https://logs.queue.example"}
    settings["west__blobServiceUri" if second.startswith("https") else "west"] = second
    if account is not None:
        assert faults("east,west", **settings) == (
            f"FLOWLOG_SOURCES: 'east' and 'west' are the same account, {account}, and Flowlog "
            "tells accounts apart by their names. Remove one of them",
        )
    else:
        sources = {"AzureWebJobsStorage": DEVELOPMENT, "FLOWLOG_SOURCES": "east,west"}
        assert len(Settings.from_environment(sources | settings).sources) == 2
