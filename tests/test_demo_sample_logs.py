"""`flowlog demo --seed`: an account has logs to forward, under the names that Azure gives them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from azure.storage.blob import BlobServiceClient
from support import names_of_its_own

from flowlog_core.blob import LogBlob
from flowlog_core.cli import main
from flowlog_core.testing.document import tuples_in


@pytest.fixture
def environment(
    connection_string: str, unique: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    environment = names_of_its_own(connection_string, unique)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return environment


def test_sample_logs_have_names_that_are_parsed_and_contents_that_are_forwarded(
    environment: dict[str, str], connection_string: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--seed", "--interfaces", "3", "--hours", "2", "--tuples", "4"]) == 0
    *names, count, _ = capsys.readouterr().out.splitlines()
    assert count == "Wrote 6 sample logs into the account of FlowLogs."
    tuples = 0
    with BlobServiceClient.from_connection_string(connection_string) as blobs:
        for container, _, name in (name.partition("/") for name in names):
            parsed = LogBlob.parse(name)
            assert parsed is not None
            prefix = {"nsg": "NSG", "vnet": "VNET"}[parsed.kind]
            assert container == environment[f"FLOWLOG_{prefix}_CONTAINER"]
            tuples += len(
                tuples_in(blobs.get_blob_client(container, name).download_blob().readall())
            )
    main(["run", "--once"])
    said = capsys.readouterr().err.splitlines()[-1]
    assert re.search(rf"\b{tuples} records\b", said.replace(",", "")), said


def test_logs_that_exist_are_left_as_they_are(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert environment
    for _ in range(2):
        assert main(["demo", "--seed", "--interfaces", "1", "--hours", "1"]) == 0
    said = capsys.readouterr().out.splitlines()[-2]
    assert said == "Wrote 0 sample logs into the account of FlowLogs, 1 exist already."


def test_without_azurite_it_says_so(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    closed = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:1", environment["FlowLogs"])
    monkeypatch.setenv("FlowLogs", closed)
    assert main(["demo", "--seed"]) == 1
    assert "Is Azurite running?" in capsys.readouterr().err


def test_run_touches_its_heartbeat(environment: dict[str, str], tmp_path: Path) -> None:
    """What the container's health check looks at."""
    assert environment
    heartbeat = tmp_path / "heartbeat"
    assert main(["run", "--once", "--heartbeat", str(heartbeat)]) == 0
    assert heartbeat.exists()
