"""`flowlog dead-letters`, on real storage."""

from __future__ import annotations

import csv
import io
import json

import pytest
from azurite_installation import ACCOUNT, AzuriteInstallation
from command_line import flowlog

from flowlog_core.blob import BlobRef, LogBlob, Position, hour_key
from flowlog_core.cli.dead_letters import readable_bytes
from flowlog_core.consume import decode
from flowlog_core.dead_letters import DeadLetter
from flowlog_core.testing.generate import GeneratedEntry

STEERING = "\x1b[2J"


def test_bytes_are_shown_as_no_terminal_takes_for_a_command() -> None:
    assert readable_bytes(b"a\x1b[2J\n\xff\xc2\x9b") == r"a\x1b[2J\n\xff\x9b"
    assert readable_bytes(b"abcdef", max_bytes=4) == "abcd … and 2 bytes more: --output ndjson"


def test_where_there_are_none_it_says_so_and_creates_nothing(
    installation: AzuriteInstallation,
) -> None:
    code, _, err = flowlog("dead-letters", environment=installation.environment)
    required = "error: the following arguments are required: list|show|redrive\n"
    assert (code, err.endswith(required)) == (2, True)
    for action in ("list", "show"):
        done = flowlog("dead-letters", action, environment=installation.environment)
        assert done == (0, "No dead letters.\n", "")
    code, out, err = flowlog("dead-letters", "redrive", environment=installation.environment)
    assert (code, out, err) == (0, "No dead letters.\n", "")
    for action in ("list", "show", "redrive"):
        done = flowlog("dead-letters", action, "x.0.12", environment=installation.environment)
        assert (done[0], done[2]) == (1, "x.0.12: there is no such dead letter\n")
    assert installation.names() == set()


def test_they_are_listed_shown_and_put_through_todays_code(
    installation: AzuriteInstallation,
) -> None:
    environment = installation.environment
    writer = installation.log()
    good = writer.entries[0]
    tuple_of_good = good.tuples[0].encode()
    writer.append(
        GeneratedEntry(good.raw.replace(tuple_of_good, b"1,\\u001b[2J", 1), ()),
        GeneratedEntry(b'{"broken":tru}', ()),
        good,
    )
    assert flowlog("run", "--once", environment=environment)[0] == 0
    container = installation.blobs.get_container_client(installation.dead)
    names = [blob.name for blob in container.list_blobs()]
    assert len(names) == 2

    log = LogBlob.parse(str(writer.blob.blob_name))
    assert log is not None
    code, out, err = flowlog("dead-letters", "list", "--output", "json", environment=environment)
    groups = [json.loads(line) for line in out.splitlines()]
    place = {
        "count": 1,
        "account": ACCOUNT,
        "container": installation.nsg,
        "resource_id": log.resource_id,
        "hour": hour_key(log.hour),
    }
    assert (code, err) == (0, "")
    assert [{**group, "reason": ""} for group in groups] == [{**place, "reason": ""}] * 2
    assert "not valid JSON" in {group["reason"] for group in groups}
    code, out, _ = flowlog("dead-letters", "list", "--output", "csv", environment=environment)
    assert [row["count"] for row in csv.DictReader(io.StringIO(out))] == ["1", "1"]
    code, out, _ = flowlog("dead-letters", "list", "--reason", "no such", environment=environment)
    assert (code, out) == (0, "No dead letters.\n")

    code, out, err = flowlog("dead-letters", "show", environment=environment)
    assert (code, err) == (0, "")
    assert STEERING not in out
    assert r"1,\x1b[2J" in out
    assert '{"broken":tru}' in out
    offset = 12 + len(good.raw) + 1
    assert f"position byte {offset:,}, generation 0" in out
    shown = flowlog(
        *("dead-letters", "show", "--reason", "not valid", "--output", "ndjson"),
        environment=environment,
    )[1]
    assert json.loads(shown)["raw"] == '{"broken":tru}'

    code, out, err = flowlog("dead-letters", "redrive", environment=environment)
    assert (code, out) == (1, "0 records sent, 0 dead letters removed, 2 stay\n")
    assert len([line for line in err.splitlines() if " stays: " in line]) == 2
    assert STEERING not in err

    assert sorted(blob.name for blob in container.list_blobs()) == names


def test_what_can_be_read_now_is_sent_and_removed(installation: AzuriteInstallation) -> None:
    """As an earlier version, which could not read the entry, would have left it."""
    environment = installation.environment
    writer = installation.log()
    good = writer.entries[0]
    log = LogBlob.parse(str(writer.blob.blob_name))
    assert log is not None
    position = Position(BlobRef(ACCOUNT, installation.nsg, log), offset=12)
    letter = DeadLetter(position, "unknown format", good.raw)
    container = installation.blobs.create_container(installation.dead)
    container.upload_blob(letter.name, letter.to_json())
    entry_id = letter.position.entry_id
    dry = flowlog("dead-letters", "redrive", entry_id, "--dry-run", environment=environment)
    count = len(good.tuples)
    assert dry == (0, f"{count} records would be sent, 1 dead letter would be removed\n", "")
    done = flowlog("dead-letters", "redrive", letter.name, environment=environment)
    assert done == (0, f"{count} records sent, 1 dead letter removed\n", "")
    queue = installation.queues.get_queue_client(installation.queue_name)
    (message,) = queue.receive_messages()
    records = decode(message.content).records
    assert [one["id"] for one in records] == [f"{entry_id}.{index}" for index in range(count)]
    assert list(container.list_blobs()) == []

    container.upload_blob(letter.name, b"{}")
    code, out, err = flowlog("dead-letters", "list", environment=environment)
    assert (code, out) == (1, "")
    assert err.startswith(f"{letter.name}: it is not a dead letter: ")


@pytest.mark.parametrize("arguments", [["lst"], [], ["list", "--max", "0"]], ids=str)
def test_wrong_usage_is_exit_2(arguments: list[str]) -> None:
    assert flowlog("dead-letters", *arguments)[0] == 2
