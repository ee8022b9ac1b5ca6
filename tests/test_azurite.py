from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

from flowlog_core.demo.azurite import (
    ACCOUNT,
    Azurite,
    AzuriteError,
    find_azurite,
    running_azurite,
)


def ports(azurite: Azurite) -> set[int | None]:
    return {urlsplit(url).port for url in (azurite.blob_url, azurite.queue_url, azurite.table_url)}


def answers(url: str) -> bool:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    try:
        socket.create_connection((parts.hostname, parts.port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def program(folder: Path, script: str) -> Path:
    path = folder / "azurite"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_blobs_come_back(connection_string: str, unique: Callable[[str], str]) -> None:
    with BlobServiceClient.from_connection_string(connection_string) as blobs:
        container = blobs.create_container(unique("blobs"))
        container.upload_blob("a/b", b"content")
        assert container.download_blob("a/b").readall() == b"content"


def test_queue_messages_come_back(connection_string: str, unique: Callable[[str], str]) -> None:
    with QueueServiceClient.from_connection_string(connection_string) as queues:
        queue = queues.create_queue(unique("queue"))
        queue.send_message("content")
        assert [message.content for message in queue.receive_messages()] == ["content"]


def test_table_entities_come_back(connection_string: str, unique: Callable[[str], str]) -> None:
    entity = {"PartitionKey": "p", "RowKey": "r", "value": 1}
    with TableServiceClient.from_connection_string(connection_string) as tables:
        table = tables.create_table(unique("table"))
        table.create_entity(entity)
        assert dict(table.get_entity("p", "r")) == entity


def test_two_at_once_share_nothing_and_end_with_their_block(azurite: Azurite) -> None:
    with running_azurite() as second:
        assert len(ports(azurite) | ports(second)) == 6
        with BlobServiceClient.from_connection_string(second.connection_string) as blobs:
            assert list(blobs.list_containers()) == []
    assert not answers(second.blob_url)
    assert not answers(second.queue_url)
    assert not answers(second.table_url)
    with pytest.raises(ProcessLookupError):
        os.kill(second.pid, 0)
    assert answers(azurite.blob_url)


def test_an_exception_in_the_block_ends_it_too() -> None:
    started: list[Azurite] = []

    def fail() -> None:
        with running_azurite() as azurite:
            started.append(azurite)
            raise RuntimeError("the block failed")

    with pytest.raises(RuntimeError, match="the block failed"):
        fail()
    assert not answers(started[0].blob_url)


def test_it_does_not_outlive_a_process_that_is_killed() -> None:
    """After SIGKILL no cleanup runs; Azurite must notice by itself."""
    killed = subprocess.run(
        [
            sys.executable,
            "-c",
            "import os, signal\n"
            "from flowlog_core.demo.azurite import running_azurite\n"
            "with running_azurite() as azurite:\n"
            "    print(azurite.blob_url, flush=True)\n"
            "    os.kill(os.getpid(), signal.SIGKILL)\n",
        ],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    url = killed.stdout.strip()
    assert urlsplit(url).path == f"/{ACCOUNT}"
    give_up_at = time.monotonic() + 30
    while answers(url):
        assert time.monotonic() < give_up_at, "Azurite still runs without its parent"
        time.sleep(0.05)


def test_its_own_last_words_are_in_the_error(tmp_path: Path) -> None:
    failing = program(tmp_path, "echo 'no room on this disk'; exit 3")
    with pytest.raises(AzuriteError) as caught, running_azurite(failing):
        pass
    assert str(caught.value) == "Azurite ended at once (exit 3):\nno room on this disk\n"


def test_waiting_for_it_has_an_end(tmp_path: Path) -> None:
    silent = program(tmp_path, "exec sleep 600")
    with pytest.raises(AzuriteError) as caught, running_azurite(silent, start_within_s=0.1):
        pass
    assert str(caught.value) == "Azurite was not ready after 0.1 s:\n"


def test_a_missing_azurite_is_told_with_the_way_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(AzuriteError) as caught:
        find_azurite({"PATH": ""}, tmp_path)
    assert str(caught.value) == (
        "Azurite, the storage emulator, is not installed. In Flowlog's folder run `make setup`; "
        "elsewhere `npm install -g azurite@3.35.0`, or set FLOWLOG_AZURITE to the program."
    )


def test_a_wrong_setting_is_named_and_not_passed_over(tmp_path: Path) -> None:
    with pytest.raises(AzuriteError) as caught:
        find_azurite({"FLOWLOG_AZURITE": "nowhere/azurite", "PATH": ""}, tmp_path)
    assert str(caught.value) == (
        "FLOWLOG_AZURITE is 'nowhere/azurite', and that is not a program that can run."
    )


def test_the_named_one_comes_before_the_projects_and_that_before_the_path(tmp_path: Path) -> None:
    named, own, on_path = tmp_path / "named", tmp_path / "own", tmp_path / "path"
    project_bin = own / "tools" / "azurite" / "node_modules" / ".bin"
    for folder in (named, project_bin, on_path):
        folder.mkdir(parents=True)
        program(folder, "true")
    both = {"FLOWLOG_AZURITE": str(named / "azurite"), "PATH": str(on_path)}
    assert find_azurite(both, own) == (named / "azurite").resolve()
    assert find_azurite({"PATH": str(on_path)}, own) == project_bin / "azurite"
    assert find_azurite({"PATH": str(on_path)}, named) == (on_path / "azurite").resolve()
