"""`flowlog tail`: looking at a queue changes nothing, taking is asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable

import orjson
import pytest
from azure.storage.queue import QueueClient, QueueServiceClient
from pybase64 import b64decode, b64encode_as_string
from support import ROOT

from flowlog_core.cli import main
from flowlog_core.parsing.record import FIELDS

MESSAGES = 40
FRONT = 32  # Microsoft's page "Peek Messages": up to 32 messages can be peeked


def message(number: int, records: int = 1) -> str:
    """A message as docs/consuming.md describes it, by hand."""
    one = dict.fromkeys(FIELDS) | {"time": "2026-01-01T07:00:00.000Z", "direction": "inbound"}
    one |= {"action": "deny" if number % 2 else "allow", "src_ip": "10.0.0.4", "src_port": 1,
            "dst_ip": "10.0.0.5", "dst_port": number, "protocol": "tcp"}  # fmt: skip
    content = {
        "schema": "flowlog/1",
        "id": f"{number}.m0.1",
        "source": {},
        "count": records,
        "records": [one | {"id": f"{number}.{index}"} for index in range(records)],
    }
    return b64encode_as_string(orjson.dumps(content))


class Filled:
    """A queue with messages, and the settings that name it."""

    def __init__(self, connection_string: str, name: str) -> None:
        self.environment = {
            "FlowLogs": connection_string,
            "AzureWebJobsStorage": connection_string,
            "FLOWLOG_QUEUE": name,
        }
        self.service = QueueServiceClient.from_connection_string(connection_string)
        self.queue: QueueClient = self.service.get_queue_client(name)

    def fill(self, count: int = MESSAGES) -> None:
        self.queue.create_queue()
        for number in range(count):
            self.queue.send_message(message(number))

    @property
    def count(self) -> int | None:
        return self.queue.get_queue_properties().approximate_message_count

    def taken(self) -> list[tuple[str, int | None]]:
        """Takes all that is visible: the record's id and the dequeue count of each message."""
        found = self.queue.receive_messages(messages_per_page=32)
        return [(json.loads(b64decode(one.content))["id"], one.dequeue_count) for one in found]


@pytest.fixture
def filled(
    connection_string: str, unique: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> Filled:
    made = Filled(connection_string, unique("queue"))
    for name in [name for name in os.environ if name.startswith("FLOWLOG_")]:
        monkeypatch.delenv(name)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


def ids(out: str) -> list[int]:
    return [int(json.loads(line)["id"].partition(".")[0]) for line in out.splitlines()]


def test_many_looks_change_nothing(filled: Filled, capsys: pytest.CaptureFixture[str]) -> None:
    filled.fill()
    for _ in range(20):
        assert main(["tail", "--once"]) == 0
        out, err = capsys.readouterr()
        assert ids(out) == list(range(FRONT))
        assert err.splitlines() == [
            f"Looking at queue {filled.queue.queue_name} of account devstoreaccount1. "
            "Nothing is taken from it.",
            "About 8 more messages in the queue; only --consume reaches them.",
        ]
    command = f"'{sys.executable}' -m flowlog_core tail | head -n 3; exit ${{PIPESTATUS[0]}}"
    piped = subprocess.run(
        ["/bin/bash", "-c", command], capture_output=True, text=True, check=False,
        cwd=ROOT, timeout=60,
    )  # fmt: skip
    assert ids(piped.stdout) == [0, 1, 2]
    assert (piped.returncode, "Traceback" in piped.stderr) == (0, False)
    assert filled.count == MESSAGES
    # All are visible, and each is taken for the first time.
    assert filled.taken() == [(f"{number}.m0.1", 1) for number in range(MESSAGES)]


def test_each_message_is_shown_once_while_a_consumer_takes_those_in_front(filled: Filled) -> None:
    filled.fill()
    with subprocess.Popen(
        [sys.executable, "-m", "flowlog_core", "tail", "--interval", "50ms", "--max", "32"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        out, _ = process.communicate(timeout=60)
    assert ids(out) == list(range(FRONT))
    with subprocess.Popen(
        [sys.executable, "-m", "flowlog_core", "tail", "--interval", "50ms"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        shown = [process.stdout.readline() for _ in range(FRONT)]
        told = [process.stderr.readline() for _ in range(3)]
        for one in filled.queue.receive_messages(max_messages=10):
            filled.queue.delete_message(one)
        shown += [process.stdout.readline() for _ in range(MESSAGES - FRONT)]
        process.terminate()
        rest, _ = process.communicate(timeout=20)
    assert ids("".join(shown)) == list(range(MESSAGES))
    assert rest == ""
    assert told[2] == "No new messages. Waiting; Ctrl-C ends this.\n"


@pytest.mark.usefixtures("filled")
def test_what_cannot_be_looked_at_is_refused_with_the_reason(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["tail", "--max", "33"]) == 2
    assert capsys.readouterr().err == (
        "flowlog tail: --max 33 is more than can be looked at. The service shows only the 32 "
        "messages at the front of a queue to those who do not take them. Ask for 32 at most, or "
        "take messages with --consume\n"
    )
    monkeypatch.setenv("FLOWLOG_SHARDS", "2")
    assert main(["tail", "--max", "65"]) == 2
    assert "Ask for 64 at most" in capsys.readouterr().err
    assert main(["tail", "--max", "64", "--once"]) == 0


def test_consume_takes_no_more_than_it_is_asked_for(
    filled: Filled, capsys: pytest.CaptureFixture[str]
) -> None:
    filled.fill()
    assert main(["tail", "--consume", "--max", "35"]) == 0
    out, err = capsys.readouterr()
    assert ids(out) == list(range(35))
    assert err == (
        f"Taking messages off queue {filled.queue.queue_name} of account devstoreaccount1: "
        "its consumer does not get them.\n"
    )
    assert filled.taken() == [(f"{number}.m0.1", 1) for number in range(35, MESSAGES)]


def test_where_and_output(filled: Filled, capsys: pytest.CaptureFixture[str]) -> None:
    filled.fill(6)
    assert main(["tail", "--once", "-q", "--where", "action=deny,dst_port=2-9"]) == 0
    out, err = capsys.readouterr()
    assert (ids(out), err) == ([3, 5], "")
    assert main(["tail", "--once", "-q", "--output", "csv"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert (header, len(rows)) == (",".join(FIELDS), 6)
    assert main(["tail", "--once", "-q", "--output", "table", "--max", "1"]) == 0
    header, row = capsys.readouterr().out.splitlines()
    assert row.split()[:2] == ["2026-01-01T07:00:00.000Z", "allow"]
    with pytest.raises(SystemExit):
        main(["tail", "--where", "acton=deny"])
    assert filled.count == 6


def test_a_message_that_is_no_flowlog_message_is_named_once_and_left(
    filled: Filled, capsys: pytest.CaptureFixture[str]
) -> None:
    filled.queue.create_queue()
    filled.queue.send_message("hello")
    assert main(["tail", "--once", "-q"]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count(": not a Flowlog message: ")) == ("", 1)
    assert filled.count == 1


def test_a_queue_that_does_not_exist_is_empty(
    filled: Filled, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tail", "--once", "-q"]) == 0
    assert capsys.readouterr() == ("", "")
    assert filled.environment["FLOWLOG_QUEUE"] not in [
        queue.name for queue in filled.service.list_queues()
    ]
