"""What runs in Azure: the published zip, its own requirements, and Microsoft's Python worker."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from collector import running_collector
from ingestion import running_ingestion
from support import tuple_of
from test_service import HOUR, Account
from worker_process import PYTHONS, Worker, running_worker

from flowlog_core.demo.azurite import ACCOUNT
from flowlog_core.testing.generate import FlowLogGenerator, Interface
from flowlog_core.testing.network_watcher import LogWriter, NetworkWatcherWriter

NSG, VNET = "insights-logs-networksecuritygroupflowevent", "insights-logs-flowlogflowevent"
SETTINGS = {
    "FlowLogs": "UseDevelopmentStorage=true",
    "AzureWebJobsStorage": "UseDevelopmentStorage=true",
}


@pytest.fixture(scope="module", params=PYTHONS, ids=lambda path: path.parts[-3])
def python(request: pytest.FixtureRequest) -> Path:
    """One Python after the other that has the worker's library and the app's requirements."""
    path: Path = request.param
    return path


@pytest.fixture
def start(python: Path, app: Path) -> Iterator[Callable[[dict[str, str]], Worker]]:
    """Starts workers with the settings they are given; none has imported the app yet."""
    with ExitStack() as stack:
        yield lambda settings: stack.enter_context(running_worker(python, app, settings))


@pytest.fixture
def account(connection_string: str, unique: Callable[[str], str]) -> Iterator[Account]:
    account = Account(connection_string, unique, "queue")
    yield account
    account.close()


@dataclass
class Serving:
    """A worker with its functions loaded, the settings it has, and the account that they name."""

    worker: Worker
    account: Account
    settings: dict[str, str]

    def received(self, interface: Interface) -> list[str]:
        """The interface's tuples in the queue, which is emptied."""
        records = self.account.received()
        return [tuple_of(record) for record in records if record["mac"] == interface.mac]


@pytest.fixture(scope="module")
def serving(
    python: Path, app: Path, connection_string: str, unique: Callable[[str], str]
) -> Iterator[Serving]:
    """For tests of interfaces of their own: the start of a worker takes longer than such a test."""
    account = Account(connection_string, unique, "queue")
    settings = account.environment | {"PYTHON_THREADPOOL_THREAD_COUNT": "16"}
    with running_worker(python, app, settings) as worker:
        yield Serving(worker.load(), account, settings)
    account.close()


def event(worker: Worker, account: Account, interface: Interface, name: str = "") -> dict[str, Any]:
    """What the host's blob trigger says of the interface's blob, or of a blob of another name."""
    container, name = account.container_of(interface), name or interface.blob_name(HOUR)
    place = {"Connection": "FlowLogs", "ContainerName": container, "BlobName": name}
    reference = {
        "version": "1.0",
        "source": "AzureStorageBlobs",
        "content_type": "application/json",
        "content": json.dumps(place),
    }
    return {
        "function_id": worker.function_ids[f"{interface.kind}_FlowLogs"],
        "binding": reference,
        "metadata": {"BlobTrigger": f"{container}/{name}", "name": name},
    }


def written(account: Account, interface: Interface) -> LogWriter:
    """The interface's blob, with three entries in it."""
    writer, generator = account.writer(NetworkWatcherWriter, interface), FlowLogGenerator(1)
    for _ in range(3):
        form: Literal["nsg2", "vnet4"] = "nsg2" if interface.kind == "nsg" else "vnet4"
        writer.append(generator.entry(form, interface, HOUR, 40))
    return writer


def timer(schedule: str) -> list[Any]:
    """The one binding of a function that a timer starts."""
    fixed = {"type": "timerTrigger", "direction": "IN", "name": "timer", "useMonitor": True}
    return [fixed | {"schedule": schedule}]


TIMERS: dict[str, Any] = {"sweep": timer("0 */5 * * * *"), "cleanup": timer("0 17 3 * * *")}


def trigger(kind: str, connection: str, container: str, source: str) -> tuple[str, Any]:
    """A function as the worker reports it to the host: its name and its one binding."""
    return f"{kind}_{connection}", [
        {
            "type": "blobTrigger",
            "direction": "IN",
            "name": "blob",
            "path": f"{container}/{{name}}",
            "connection": connection,
            "source": source,
            "properties": {"SupportsDeferredBinding": True},
        }
    ]


def indexed(worker: Worker) -> dict[str, Any]:
    assert worker.now("init")["ok"]
    functions = worker.now("index")["functions"]
    return {each["name"]: [json.loads(raw) for raw in each["raw_bindings"]] for each in functions}


def test_make_setup_has_prepared_a_worker() -> None:
    assert PYTHONS, "there is no .venv-worker: run `make setup`"


@pytest.mark.parametrize("source", ["EventGrid", "LogsAndContainerScan"])
def test_both_containers_have_a_function_beside_the_timers(
    start: Callable[[dict[str, str]], Worker], source: str
) -> None:
    chosen = {} if source == "EventGrid" else {"FLOWLOG_TRIGGER_SOURCE": source}
    assert indexed(start(SETTINGS | chosen)) == TIMERS | dict(
        [trigger("nsg", "FlowLogs", NSG, source), trigger("vnet", "FlowLogs", VNET, source)]
    )


def test_an_event_queue_has_one_function_for_all_sources(
    start: Callable[[dict[str, str]], Worker],
) -> None:
    west = "https://made-up.blob.core.windows.net"
    sources = {"FLOWLOG_SOURCES": "FlowLogs,west", "west__blobServiceUri": west}
    chosen = {"FLOWLOG_TRIGGER_SOURCE": "EventQueue", "FLOWLOG_EVENT_QUEUE": "mine"}
    assert indexed(start(SETTINGS | sources | chosen)) == TIMERS | {
        "events": [
            {
                "type": "queueTrigger",
                "direction": "IN",
                "name": "message",
                "dataType": "BINARY",
                "queueName": "mine",
                "connection": "AzureWebJobsStorage",
            }
        ]
    }


def test_a_timer_alone_runs_every_minute(start: Callable[[dict[str, str]], Worker]) -> None:
    functions = indexed(start(SETTINGS | {"FLOWLOG_TRIGGER_SOURCE": "Timer"}))
    assert functions.keys() == TIMERS.keys()
    assert functions["sweep"][0]["schedule"] == "0 */1 * * * *"


def test_every_source_has_functions_of_its_own(start: Callable[[dict[str, str]], Worker]) -> None:
    settings = {
        "FLOWLOG_SOURCES": "eastus,westeurope",
        "FLOWLOG_NSG_CONTAINER": "mine",
        "eastus": SETTINGS["FlowLogs"],
        "westeurope__blobServiceUri": "https://made-up.blob.core.windows.net",
        "westeurope__queueServiceUri": "https://made-up.queue.core.windows.net",
        "AzureWebJobsStorage": SETTINGS["AzureWebJobsStorage"],
    }
    assert indexed(start(settings)) == TIMERS | dict(
        trigger(kind, connection, container, "EventGrid")
        for connection in ("eastus", "westeurope")
        for kind, container in (("nsg", "mine"), ("vnet", VNET))
    )


def test_what_is_wrong_in_the_settings_is_the_answer_to_indexing(
    start: Callable[[dict[str, str]], Worker],
) -> None:
    answer = start({"FlowLogs": "nonsense", "FLOWLOG_SNIK": "queue"}).now("init")
    assert not answer["ok"]
    told = re.findall(r"^  - (\w+): ", answer["error"], re.MULTILINE)
    assert told == ["FLOWLOG_SNIK", "FlowLogs", "AzureWebJobsStorage"]
    assert "Did you mean FLOWLOG_SINK?" in answer["error"]


def test_indexing_opens_no_connection_and_imports_only_what_is_published(
    start: Callable[[dict[str, str]], Worker],
) -> None:
    metrics_to = {
        "APPLICATIONINSIGHTS_CONNECTION_STRING": "InstrumentationKey=not looked at yet",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
    }
    traffic_to = {
        "FLOWLOG_TRAFFIC_ENDPOINT": "https://127.0.0.1:9",
        "FLOWLOG_TRAFFIC_RULE": "dcr-0",
    }
    answer = start(SETTINGS | metrics_to | traffic_to).now("init")
    assert answer["network"] == []
    later = ("opentelemetry", "azure.monitor.ingestion")
    assert [name for name in answer["modules"] if name.startswith(later)] == []
    ours = {name.split(".")[1] for name in answer["modules"] if name.startswith("flowlog_core.")}
    assert "service" in ours
    assert ours & {"cli", "demo", "testing", "__main__"} == set()


def test_our_modules_leave_azure_identity_until_it_is_needed(python: Path, app: Path) -> None:
    """The blob binding imports it in any case (1.1.2); nothing here adds to that."""
    code = "import sys; sys.path.insert(0, '.'); import flowlog_core.service; print(*sys.modules)"
    ran = subprocess.run(
        [python, "-I", "-c", code], cwd=app, stdout=subprocess.PIPE, text=True, check=True
    )
    assert "azure.data.tables" in ran.stdout.split()
    assert "azure.identity" not in ran.stdout.split()


@pytest.mark.parametrize("interface", [Interface.nsg(), Interface.vnet()], ids=["nsg", "vnet"])
def test_an_event_ends_as_messages_in_the_queue(serving: Serving, interface: Interface) -> None:
    worker, account = serving.worker, serving.account
    writer = written(account, interface)
    answer = worker.now("invoke", **event(worker, account, interface))
    assert answer["ok"], answer["error"]
    assert serving.received(interface) == writer.written


def test_an_event_leaves_one_line_in_the_log(serving: Serving) -> None:
    """The SDK would tell of every request and answer, which no level in host.json can stop."""
    worker, account, interface = serving.worker, serving.account, Interface.nsg(2)
    written(account, interface)
    before = len(worker.logs)
    worker.now("invoke", **event(worker, account, interface))
    by_app = [each for each in worker.logs[before:] if each["logger"] != "azure.functions"]
    assert [each["logger"] for each in by_app] == ["flowlog_core.observe.log"]


def test_metrics_of_an_event_are_exported_and_the_log_does_not_tell_of_it(
    start: Callable[[dict[str, str]], Worker], account: Account
) -> None:
    """At the latest when the worker is stopped."""
    with running_collector() as collector:
        exporters = collector.to_otlp | collector.to_application_insights
        worker, interface = start(account.environment | exporters).load(), Interface.nsg()
        written(account, interface)
        before = len(worker.logs)
        worker.now("invoke", **event(worker, account, interface))
        worker.stop()
    place = {"flowlog.account": "devstoreaccount1", "flowlog.container": account.nsg}
    entries = "flowlog.entries", frozenset(place.items())
    assert collector.otlp[entries] == (1, 3)
    assert dict(collector.application_insights)[entries] == (1, 3)
    loggers = {each["logger"].split(".")[0] for each in worker.logs[before:]}
    assert loggers == {"azure", "flowlog_core"}
    told = {each["logger"] for each in worker.logs if each["logger"].startswith("azure.")}
    assert told == {"azure.functions"}


def test_sums_of_an_events_traffic_are_sent_and_the_log_does_not_tell_of_it(
    start: Callable[[dict[str, str]], Worker], account: Account, tmp_path: Path
) -> None:
    """At the latest when the worker is stopped."""
    with running_ingestion(tmp_path) as ingestion:
        worker, interface = (
            start(account.environment | ingestion.environment).load(),
            Interface.vnet(),
        )
        written(account, interface)
        before = len(worker.logs)
        worker.now("invoke", **event(worker, account, interface))
        worker.stop()
    assert sum(row["records"] for row in ingestion.rows) == 120
    by_app = [each for each in worker.logs[before:] if each["logger"] != "azure.functions"]
    assert [each["logger"] for each in by_app] == ["flowlog_core.observe.log"]


def test_what_does_not_fit_is_told_once_at_the_first_use(
    start: Callable[[dict[str, str]], Worker], account: Account
) -> None:
    """And not while the functions are indexed, when the host would file it elsewhere."""
    worker = start(account.environment | {"FLOWLOG_TRIGGER_SOURCE": "EventGrid"}).load()
    assert worker.messages("flowlog_core.") == []
    for name in ("a/readme.txt", "b/readme.txt"):
        worker.now("invoke", **event(worker, account, Interface.nsg(), name))
    worker.now("invoke", function_id=worker.function_ids["sweep"])
    assert worker.messages("flowlog_core.config") == [
        "FLOWLOG_TRIGGER_SOURCE is EventGrid, but FlowLogs is a storage emulator, which sends no "
        "events. Set FLOWLOG_TRIGGER_SOURCE to LogsAndContainerScan"
    ]


@pytest.mark.parametrize("workers", [1, 2])
def test_sixteen_events_at_once_give_every_tuple_once(
    start: Callable[[dict[str, str]], Worker], serving: Serving, workers: int
) -> None:
    """In one worker, whose threads they share, and on two instances of the app."""
    account, interface = serving.account, Interface.vnet(2 + workers)
    started = [serving.worker, *(start(serving.settings).load() for _ in range(workers - 1))]
    writer = written(account, interface)
    asked: list[Future[dict[str, Any]]] = [
        started[number % workers].ask(
            "invoke", **event(started[number % workers], account, interface)
        )
        for number in range(16)
    ]
    wait(asked, 60)
    assert [answer.result()["error"] for answer in asked] == [None] * 16
    assert serving.received(interface) == writer.written


def test_storage_out_of_reach_fails_the_invocation_and_moves_nothing(
    start: Callable[[dict[str, str]], Worker], serving: Serving
) -> None:
    account, interface = serving.account, Interface.nsg(5)
    nowhere = re.sub(
        r"TableEndpoint=[^;]*", "TableEndpoint=http://127.0.0.1:9/x", account.connection_string
    )
    # The table sink, because the SDK gives up soonest there.
    sink = {"FLOWLOG_SINK": "table", "FLOWLOG_SINK_CONNECTION": "sink", "sink": nowhere}
    writer = written(account, interface)
    worker = start(account.environment | sink).load()
    answer = worker.now("invoke", **event(worker, account, interface))
    assert not answer["ok"]
    assert re.match(r"Unavailable: writing \d+ rows .*refused", answer["error"])
    assert serving.worker.now("invoke", **event(serving.worker, account, interface))["ok"]
    assert serving.received(interface) == writer.written


def test_a_blob_of_another_name_is_a_success_and_says_so(serving: Serving) -> None:
    worker, account, before = serving.worker, serving.account, len(serving.worker.logs)
    assert worker.now("invoke", **event(worker, account, Interface.nsg(), "a/readme.txt"))["ok"]
    assert worker.messages("flowlog_core.", before) == [
        "Events arrive for blobs that are not named like a flow log, such as "
        f"{ACCOUNT}/{account.nsg}/a/readme.txt. They are ignored. Set a filter (subject ends with "
        "PT1H.json) in the event subscription."
    ]


def test_the_timers_run_the_sweep_and_the_cleanup(
    start: Callable[[dict[str, str]], Worker], account: Account
) -> None:
    """The sweep finds the blob and leaves it alone so soon: its event may be on the way."""
    worker = start(account.environment | {"FLOWLOG_CATCH_UP_SINCE": f"{HOUR:%Y-%m-%d}"}).load()
    written(account, Interface.nsg())
    for name in ("sweep", "cleanup"):
        answer = worker.now("invoke", function_id=worker.function_ids[name])
        assert answer["ok"], answer["error"]
    swept, cleaned_up = worker.messages("flowlog_core.")
    assert swept.startswith("swept: 1 blobs looked at, 0 behind, 0 forwarded, 0 failed")
    assert cleaned_up == "removed 0 checkpoints of deleted blobs"
