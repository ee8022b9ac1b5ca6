"""Messages on their way through Microsoft's queue trigger into functions that consume them."""

from __future__ import annotations

import gzip
import json
import shutil
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.storage.queue import QueueClient
from consuming import example
from host.functions_host import Host, needs_functions_host, running_host, wait_until
from host.queues import waiting
from support import ROOT, in_order_of_position, tuple_of
from test_service import HOUR, Account
from worker_process import PYTHONS

from flowlog_core.demo.azurite import Azurite
from flowlog_core.testing.generate import FlowLogGenerator, Interface
from flowlog_core.testing.network_watcher import NetworkWatcherWriter

pytestmark = needs_functions_host

# Each record is a line in a file of its function, so that the test sees what arrived.
_STORE = """
import json
import os

def store(records):
    with open(os.environ["TAKEN"], "a") as file:
        file.writelines(json.dumps(record) + "\\n" for record in records)
"""
_WITH_FLOWLOG = """
import azure.functions as func
from flowlog_core.consume import decode

app = func.FunctionApp()

@app.queue_trigger(arg_name="msg", queue_name="flowlog-records", connection="FlowlogSink")
def take(msg: func.QueueMessage) -> None:
    {}
    store(batch.records)
"""
CONSUMERS = {
    "of the page": example("python", of="@app.queue_trigger"),
    "with decode": _WITH_FLOWLOG.format(example("python", of="batch = decode(msg").strip()),
}


class Consumer:
    """A function app of its own, and what its function stored."""

    def __init__(self, folder: Path, code: str, account: Account) -> None:
        self.folder, self._taken = folder, folder / "taken"
        self.queue = account.environment["FLOWLOG_QUEUE"]
        assert code.count('"flowlog-records"') == 1
        code = code.replace('"flowlog-records"', repr(self.queue))
        folder.joinpath("function_app.py").write_text(_STORE + code)
        folder.joinpath("host.json").write_text('{"version": "2.0"}')
        shutil.copytree(ROOT / "flowlog_core", folder / "flowlog_core")
        self.environment = {
            "AzureWebJobsStorage": account.connection_string,
            "FlowlogSink": account.connection_string,
            "TAKEN": str(self._taken),
        }

    def taken(self, interface: Interface) -> list[dict[str, Any]]:
        """The records of the interface that were stored, in order."""
        records = map(json.loads, self._taken.read_text().splitlines())
        mine = [record for record in records if record["mac"] == interface.mac]
        return in_order_of_position(mine)


@pytest.fixture
def account(azurite: Azurite, unique: Callable[[str], str]) -> Iterator[Account]:
    account = Account(azurite.connection_string, unique, "queue")
    yield account
    account.close()


@pytest.fixture(params=CONSUMERS)
def consumer(request: pytest.FixtureRequest, tmp_path: Path, account: Account) -> Consumer:
    return Consumer(tmp_path, CONSUMERS[request.param], account)


@pytest.fixture
def host(consumer: Consumer) -> Iterator[Host]:
    with running_host(PYTHONS[-1], consumer.folder, consumer.environment) as host:
        yield host


def test_a_function_that_says_nothing_of_data_types_gets_every_record(
    consumer: Consumer, host: Host, account: Account
) -> None:
    """By default compressed, or as JSON."""
    for number, encoding in enumerate(("", "json")):
        account.environment["FLOWLOG_QUEUE_ENCODING"] = encoding
        interface = Interface.vnet(number)
        writer = account.writer(NetworkWatcherWriter, interface)
        for tuples in (3, 100, 800):
            writer.append(FlowLogGenerator(tuples).entry("vnet4", interface, HOUR, tuples))
        service, before = account.service(), len(host.lines)
        outcome = service.ingest_named("FlowLogs", account.vnet, interface.blob_name(HOUR))
        service.close()
        assert outcome is not None
        host.wait_for(r"INVOKED \d+ take", times=outcome.messages, since=before)
        assert [tuple_of(record) for record in consumer.taken(interface)] == writer.written
    assert host.found("FAILED") == []
    assert waiting(account.connection_string, f"{consumer.queue}-poison") == 0


@pytest.mark.parametrize("consumer", ["of the page"], indirect=True)
def test_bytes_that_are_no_text_never_reach_a_function(
    consumer: Consumer, host: Host, account: Account
) -> None:
    """Why gzip is base64 inside: as one base64 of bytes it goes to the poison queue, unseen."""
    content = b'{"records":[]}'
    with QueueClient.from_connection_string(account.connection_string, consumer.queue) as queue:
        queue.create_queue()
        queue.send_message(b64encode(gzip.compress(content)).decode())
        poison = f"{consumer.queue}-poison"
        wait_until(lambda: waiting(account.connection_string, poison) == 1, host)
        assert host.found("INVOKE") == []
        queue.send_message(b64encode(b64encode(gzip.compress(content))).decode())
        host.wait_for(r"INVOKED \d+ take")
