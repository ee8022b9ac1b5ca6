"""What Microsoft's host asks of storage for each event: the counts in infra/cost.py."""

from __future__ import annotations

import base64
import random
import re
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from azure.storage.queue import QueueServiceClient
from host.event_grid import blob_created
from host.functions_host import Host, needs_functions_host, running_host, wait_until
from host.held_app import CONTAINER, HeldApp
from support import ROOT
from test_host_limits import blobs, connections
from worker_process import PYTHONS

from bench.scale.polling import BLOB, QUEUE, Polling
from flowlog_core.demo.azurite import ACCOUNT, Azurite
from infra.cost import COMMIT

pytestmark = [needs_functions_host, pytest.mark.host_facts]

EVENTS, A_SECOND = 40, 6.0
# Few enough for a busy machine: with calls of a fifth of a second there is less time to ask.
SLOW_CALLS_S = 0.2
QUEUE_APP = """
import azure.functions as func

app = func.FunctionApp()

@app.queue_trigger(arg_name="message", queue_name="{queue}", connection="FlowLogs")
def hold(message: func.QueueMessage) -> None:
    pass
"""


def requests(host: Host, since: int) -> Counter[str]:
    """Those of the host by kind, from its log."""
    lines = (re.search(r"Request \[[^\]]+\] (\w+) (\S+)", line) for line in host.lines[since:])
    return Counter(
        found[1] + (" message" if "/messages" in found[2] else "") for found in lines if found
    )


def counted(host: Host, send: Callable[[], object]) -> Counter[str]:
    """The requests for so many events at random moments, all done."""
    send()
    wait_until(lambda: host.counts() == (0, 1, 1), host)
    time.sleep(1)  # for the deletion of its message
    since, moments = len(host.lines), random.Random(1)
    for _ in range(EVENTS):
        time.sleep(moments.expovariate(A_SECOND))
        send()
    wait_until(lambda: host.counts()[::2] == (0, EVENTS + 1), host)
    time.sleep(1)
    return requests(host, since)


def test_the_blob_trigger_asks_for_properties_three_times_and_twice_for_messages(
    tmp_path: Path, azurite: Azurite, unique: Callable[[str], str]
) -> None:
    app = HeldApp(tmp_path)
    (name,) = blobs(azurite, unique("calls"), 1)
    app.let_go(name)
    event = blob_created(ACCOUNT, azurite.blob_url, CONTAINER, name)
    settings = app.environment | connections(azurite) | {"HOST_LOG_HTTP": "1"}
    with running_host(PYTHONS[-1], app.folder, settings) as host:
        found = counted(host, lambda: host.post("hold", [event]))
    by = COMMIT["EventGrid"]
    assert found["HEAD"] == by.blob_properties * EVENTS
    assert found["POST message"] + found["DELETE message"] == by.queue_operations * EVENTS
    asked = found["GET message"] / EVENTS
    assert Polling(BLOB, A_SECOND, call_s=SLOW_CALLS_S).receives / 2 < asked
    assert asked < Polling(BLOB, A_SECOND, call_s=0.001).receives * 1.3


def test_the_queue_trigger_deletes_its_message_and_asks_for_no_properties(
    tmp_path: Path, azurite: Azurite, unique: Callable[[str], str]
) -> None:
    queues = QueueServiceClient.from_connection_string(azurite.connection_string)
    queue = queues.create_queue(unique("calls"))
    (tmp_path / "host.json").write_text((ROOT / "host.json").read_text())
    (tmp_path / "function_app.py").write_text(QUEUE_APP.format(queue=queue.queue_name))
    settings = connections(azurite) | {"HOST_LOG_HTTP": "1"}
    message = base64.b64encode(b"{}").decode()
    with running_host(PYTHONS[-1], tmp_path, settings) as host:
        found = counted(host, partial(queue.send_message, message))
    assert found["HEAD"] == COMMIT["EventQueue"].blob_properties == 0
    assert found["DELETE message"] == EVENTS
    asked = found["GET message"] / EVENTS
    assert Polling(QUEUE, A_SECOND, call_s=SLOW_CALLS_S).receives / 2 < asked
    assert asked < Polling(QUEUE, A_SECOND, call_s=0.001).receives * 1.3
