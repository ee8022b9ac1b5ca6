"""docs/host.md describes the host as it is, shown with a small app whose calls a test holds."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import BlobServiceClient
from host.event_grid import blob_created
from host.functions_host import Host, needs_functions_host, running_host, wait_until
from host.held_app import CONTAINER, HeldApp
from host.queues import visible, waiting
from stand_in import stand_in
from worker_process import PYTHONS

from flowlog_core.demo.azurite import ACCOUNT, Azurite, running_azurite

pytestmark = [needs_functions_host, pytest.mark.host_facts]
POISON = "webjobs-blobtrigger-poison"


def blobs(azurite: Azurite, prefix: str, count: int) -> list[str]:
    """Make blobs, and tell their names."""
    service = BlobServiceClient.from_connection_string(azurite.connection_string)
    container = service.get_container_client(CONTAINER)
    with contextlib.suppress(ResourceExistsError):
        container.create_container()
    names = [f"{prefix}-{number:02}" for number in range(count)]
    for name in names:
        container.upload_blob(name, b"x")
    return names


def events(azurite: Azurite, names: list[str]) -> list[dict[str, Any]]:
    return [blob_created(ACCOUNT, azurite.blob_url, CONTAINER, name) for name in names]


def connections(azurite: Azurite) -> dict[str, str]:
    text = azurite.connection_string
    return {"FlowLogs": text, "AzureWebJobsStorage": text}


def runs(host: Host, calls: int) -> bool:
    return host.counts().running == calls


def begun(host: Host, since: int) -> list[str]:
    """The blobs of the calls, in the order in which they began."""
    calls = host.found("INVOKE ", since)
    return [re.findall(f'{CONTAINER}/([^"]+)', line)[0] for line in calls]


def test_the_host_takes_nine_events_and_the_next_nine_when_seven_are_left(
    tmp_path: Path, azurite: Azurite, unique: Callable[[str], str]
) -> None:
    """With `maxDegreeOfParallelism` 16; an app setting overrides it."""
    app = HeldApp(tmp_path)
    names = blobs(azurite, unique("batch"), 40)
    with running_host(PYTHONS[-1], app.folder, app.environment | connections(azurite)) as host:
        # The webhook writes one message after the other; so that they are all there from the
        # beginning, the host begins anew. (What it had taken stays hidden.)
        host.post("hold", events(azurite, names))
        before = len(host.lines)
        host.restart()
        seen = []
        for expected in (9, 8, 16, 15):  # what runs after none, one, two, three were let go
            wait_until(partial(runs, host, expected), host)
            time.sleep(0.7)
            seen.append(host.counts().running)
            app.let_go(begun(host, before)[len(seen) - 1])
        assert seen == [9, 8, 16, 15]
        assert host.counts().most == 16
        host.restart(AzureFunctionsJobHost__extensions__blobs__maxDegreeOfParallelism="4")
        assert host.found('"MaxDegreeOfParallelism": 4')


def test_a_failed_event_is_tried_five_times_within_seconds_and_then_laid_aside_at_its_source(
    tmp_path: Path, azurite: Azurite
) -> None:
    """In the source's account, not the host's."""
    app = HeldApp(tmp_path)
    app.let_go("bad-00", error="no")
    with running_azurite() as source:
        names = blobs(source, "bad", 1)
        settings = connections(azurite) | {"FlowLogs": source.connection_string}
        with running_host(PYTHONS[-1], app.folder, app.environment | settings) as host:
            before = time.monotonic()
            host.post("hold", events(source, names))
            host.wait_for(f"Moving message to queue '{POISON}'")
            assert time.monotonic() - before < 30
            assert len(host.found(r"FAILED \d hold: RuntimeError: no")) == 5
            wait_until(lambda: waiting(source.connection_string, POISON) == 1, host)
            assert waiting(azurite.connection_string, host.event_queue) == 0
            assert waiting(azurite.connection_string, POISON) == 0


def test_a_function_that_runs_too_long_ends_the_worker_with_all_that_runs_in_it(
    tmp_path: Path, azurite: Azurite, unique: Callable[[str], str]
) -> None:
    app = HeldApp(tmp_path, functionTimeout="00:00:08")
    first, second = blobs(azurite, unique("slow"), 2)
    with running_host(PYTHONS[-1], app.folder, app.environment | connections(azurite)) as host:
        host.post("hold", events(azurite, [first]))
        host.wait_for("INVOKE 1 hold")
        time.sleep(1.5)
        host.post("hold", events(azurite, [second]))
        host.wait_for("INVOKE 2 hold")
        host.wait_for("TIMEOUT Timeout value of 00:00:08 was exceeded")
        host.wait_for(r"FAILED [12] hold: the worker process died", times=2)
        for name in (first, second):  # the host tries both again, in another worker
            app.let_go(name)
        host.wait_for(r"INVOKED \d+ hold", times=2)


@pytest.mark.parametrize("blob_code", ["AuthorizationPermissionMismatch", ""])
def test_the_host_stops_at_a_blob_that_it_may_not_look_at(
    tmp_path: Path, azurite: Azurite, unique: Callable[[str], str], blob_code: str
) -> None:
    """A role is not in force (403), or nobody answers; the event is hidden for ten minutes."""
    app = HeldApp(tmp_path)
    names = blobs(azurite, unique("closed"), 1)
    with stand_in(403, blob_code) as closed:
        address = f"{closed}/{ACCOUNT}" if blob_code else f"http://127.0.0.1:9/{ACCOUNT}"
        source = azurite.connection_string.replace(azurite.blob_url, address)
        settings = app.environment | connections(azurite) | {"FlowLogs": source}
        with running_host(PYTHONS[-1], app.folder, settings) as host:
            before = time.monotonic()
            host.post("hold", events(azurite, names))
            assert host.wait_for_end(within_s=90) == 0
            took_s = time.monotonic() - before
            assert host.found("Host is shutting down")
            assert host.found("INVOKE") == []  # so it is not tried five times, nor laid aside
            assert waiting(azurite.connection_string, host.event_queue) == 1
            assert visible(azurite.connection_string, host.event_queue) == 0
            assert blob_code or took_s > 20  # six tries, with growing waits

            app.let_go(names[0])  # started again, with the role in force: the next event goes well
            host.start(FlowLogs=azurite.connection_string)
            host.post("hold", events(azurite, names))
            host.wait_for("INVOKED 1 hold")


def test_the_host_stops_when_it_may_not_make_the_poison_queue(
    tmp_path: Path, azurite: Azurite, unique: Callable[[str], str]
) -> None:
    app = HeldApp(tmp_path)
    names = blobs(azurite, unique("poison"), 1)
    app.let_go(names[0], error="no")
    with stand_in(403, "AuthorizationPermissionMismatch") as closed:
        source = azurite.connection_string.replace(azurite.queue_url, f"{closed}/{ACCOUNT}")
        settings = app.environment | connections(azurite) | {"FlowLogs": source}
        with running_host(PYTHONS[-1], app.folder, settings) as host:
            host.post("hold", events(azurite, names))
            assert host.wait_for_end() == 0
            assert len(host.found("FAILED")) == 5
            assert host.found("Host is shutting down")
            assert waiting(azurite.connection_string, host.event_queue) == 1
            assert visible(azurite.connection_string, host.event_queue) == 0


def test_the_host_stops_at_an_event_whose_address_names_no_function(
    tmp_path: Path, azurite: Azurite, unique: Callable[[str], str]
) -> None:
    app = HeldApp(tmp_path)
    names = blobs(azurite, unique("nameless"), 1)
    with running_host(PYTHONS[-1], app.folder, app.environment | connections(azurite)) as host:
        assert host.post("", events(azurite, names)).status == 202
        assert host.wait_for_end() == 0
        assert host.found("Host is shutting down")


def test_an_empty_setting_beside_the_identity_form_keeps_the_function_from_starting(
    tmp_path: Path, azurite: Azurite
) -> None:
    """Which is why Flowlog's settings refuse it."""
    app = HeldApp(tmp_path)
    settings = app.environment | {
        "AzureWebJobsStorage": azurite.connection_string,
        "FlowLogs": "",
        "FlowLogs__blobServiceUri": "https://logs.blob.core.windows.net",
        "FlowLogs__queueServiceUri": "https://logs.queue.core.windows.net",
    }
    with running_host(PYTHONS[-1], app.folder, settings) as host:
        assert host.found(r"Function 'Functions\.hold' failed indexing and will be disabled")
