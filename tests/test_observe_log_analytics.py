"""Traffic summaries reach the workspace once a minute, and a failure costs no event."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import AzureError, HttpResponseError, ServiceRequestError
from azure.monitor.ingestion import LogsUploadError
from ingestion import RULE, Ingestion, running_ingestion
from support import run_alone
from test_observe_traffic import line, total, traffic_of
from test_service import Account

from flowlog_core.errors import Unavailable
from flowlog_core.observe.log_analytics import STREAM, TrafficObserver
from flowlog_core.observe.traffic import MAX_ROWS_SENT, Row
from flowlog_core.outcome import Failed, Outcome
from flowlog_core.testing.generate import FlowLogGenerator, Interface
from flowlog_core.testing.memory import some_blob
from flowlog_core.testing.network_watcher import NetworkWatcherWriter

ROOT = Path(__file__).resolve().parents[1]
BLOB = some_blob()
HOUR = datetime(2026, 1, 1, 7, tzinfo=UTC)
NEVER_S = 3600.0


def answer(status: int) -> HttpResponseError:
    error = HttpResponseError("said by a test, at https://made.up/?sig=c2VjcmV0")
    error.status_code = status
    return error


@dataclass
class FakeClient:
    """Keeps what it is given; the first uploads fail, each with the next of `errors`."""

    errors: list[Exception] = field(default_factory=list)
    uploads: list[list[Row]] = field(default_factory=list)
    uploaded: threading.Event = field(default_factory=threading.Event)
    is_closed: bool = False
    goes_through_rows: int = 0
    """How many rows of a failing upload go through, as if they had gone in a call before."""

    def upload(
        self, rule_id: str, stream_name: str, logs: list[Any], *, on_error: Callable[[Any], None]
    ) -> None:
        assert (rule_id, stream_name) == (RULE, STREAM)
        self.uploaded.set()
        if not self.errors:
            self.uploads.append(logs)
            return
        if self.goes_through_rows:
            self.uploads.append(logs[: self.goes_through_rows])
        on_error(LogsUploadError(self.errors.pop(0), logs[self.goes_through_rows :]))

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def observer(client: FakeClient) -> Iterator[TrafficObserver]:
    observer = TrafficObserver(RULE, lambda: client, NEVER_S)
    yield observer
    observer.close()


def outcome(*lines: str) -> Outcome:
    return Outcome(traffic=traffic_of(*lines))


def test_the_sums_of_all_blobs_go_together(observer: TrafficObserver, client: FakeClient) -> None:
    observer.done(BLOB, outcome(line()))
    observer.done(BLOB, outcome(line(), line(rule="another")))
    observer.send()
    observer.send()  # nothing new, no call
    assert client.uploads == [traffic_of(line(), line(), line(rule="another")).rows()]


def test_what_was_committed_before_a_failure_counts(
    observer: TrafficObserver, client: FakeClient
) -> None:
    observer.failed(BLOB, Failed(0, 1, Unavailable("busy"), outcome(line())))
    observer.failed(BLOB, Failed(0, None, Unavailable("busy")))
    observer.send()
    assert client.uploads == [traffic_of(line()).rows()]


def test_one_sending_has_so_many_rows_and_no_more(
    observer: TrafficObserver, client: FakeClient
) -> None:
    hosts = [f"10.0.{n >> 8}.{n & 255}" for n in range(MAX_ROWS_SENT + 100)]
    observer.done(BLOB, outcome(*(line(dst_ip=host) for host in hosts)))
    observer.send()
    (rows,) = client.uploads
    assert (len(rows), total(rows, "records")) == (MAX_ROWS_SENT, MAX_ROWS_SENT + 100)


@pytest.mark.parametrize(
    "error",
    [answer(403), answer(404), answer(429), answer(503), ServiceRequestError("no such host")],
    ids=["role missing", "rule missing", "too many", "service down", "out of reach"],
)
def test_what_fails_goes_with_the_next_sending_after_one_warning(
    observer: TrafficObserver,
    client: FakeClient,
    error: AzureError,
    caplog: pytest.LogCaptureFixture,
) -> None:
    client.errors = [error, error]
    for _ in range(3):
        observer.done(BLOB, outcome(line()))
        observer.send()
    assert client.uploads == [traffic_of(line(), line(), line()).rows()]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    told = caplog.records[0].getMessage()
    assert told.startswith("sending to the workspace: ")
    assert told.endswith("; 1 traffic summaries are sent with the next upload")
    assert "c2VjcmV0" not in told


def test_failures_of_two_kinds_in_turns_are_two_warnings(
    observer: TrafficObserver, client: FakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    client.errors = [answer(503), answer(403)] * 3
    for _ in range(6):
        observer.done(BLOB, outcome(line()))
        observer.send()
    assert len(caplog.records) == 2


def test_after_it_went_well_a_failure_is_told_of_again(
    observer: TrafficObserver, client: FakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    for errors in ([answer(503)], [], [answer(503)]):
        client.errors = [*errors]
        observer.done(BLOB, outcome(line()))
        observer.send()
    assert len(caplog.records) == 2


def test_rows_that_are_refused_for_what_they_are_do_not_stand_in_the_way(
    observer: TrafficObserver, client: FakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    client.errors = [answer(413)]
    observer.done(BLOB, outcome(line(rule="refused")))
    observer.send()
    observer.done(BLOB, outcome(line()))
    observer.send()
    assert client.uploads == [traffic_of(line()).rows()]
    assert caplog.records[0].getMessage().endswith("1 traffic summaries are dropped")


def test_of_a_sending_in_several_calls_only_what_failed_goes_again(
    observer: TrafficObserver, client: FakeClient
) -> None:
    client.errors, client.goes_through_rows = [answer(503)], 1
    observer.done(BLOB, outcome(line(rule="a"), line(rule="b")))
    observer.send()
    observer.send()
    assert client.uploads == [traffic_of(line(rule=rule)).rows() for rule in ("a", "b")]


def test_a_client_that_cannot_be_made_is_told_of_and_tried_again(
    client: FakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    """As without the package. One warning for each kind of failure, without secrets."""
    errors = [
        ImportError("No module named 'azure.monitor.ingestion'"),
        ValueError("no address: https://made.up/?sig=c2VjcmV0"),
    ]

    def open_client() -> FakeClient:
        if errors:
            raise errors.pop(0)
        return client

    observer = TrafficObserver(RULE, open_client, NEVER_S)
    observer.done(BLOB, outcome(line()))
    for _ in range(3):
        observer.send()
    observer.close()
    assert client.uploads == [traffic_of(line()).rows()]
    assert [record.getMessage().split("; ") for record in caplog.records] == [
        [told, "1 traffic summaries are sent with the next upload"]
        for told in (
            "No module named 'azure.monitor.ingestion'",
            "no address: https://made.up/?sig=REDACTED",
        )
    ]


def test_sums_are_sent_in_the_background(client: FakeClient) -> None:
    observer = TrafficObserver(RULE, lambda: client, every_s=0.001)
    observer.done(BLOB, outcome(line()))
    assert client.uploaded.wait(30)
    observer.close()
    assert client.uploads == [traffic_of(line()).rows()]


class Untold(Exception):
    """Cannot even be looked at."""

    @property
    def args(self) -> Any:  # type: ignore[override]  # what is tried here
        raise RuntimeError("no")


def test_the_thread_outlives_an_error_that_cannot_be_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = FakeClient([Untold()])
    observer = TrafficObserver(RULE, lambda: client, every_s=0.001)
    observer.done(BLOB, outcome(line()))
    assert client.uploaded.wait(30)
    observer.done(BLOB, outcome(line(rule="later")))
    observer.close()
    assert client.uploads[-1][-1]["rule"] == "later"
    assert [record.getMessage() for record in caplog.records] == ["traffic summaries were lost"]


def test_the_last_sums_are_sent_at_the_end_and_the_thread_ends(
    observer: TrafficObserver, client: FakeClient
) -> None:
    observer.done(BLOB, outcome(line()))
    observer.close()
    assert client.uploads == [traffic_of(line()).rows()]
    assert client.is_closed
    assert "flowlog-traffic" not in {thread.name for thread in threading.enumerate()}
    observer.done(BLOB, outcome(line()))  # no longer counted, and no error
    observer.close()
    assert len(client.uploads) == 1


def test_without_traffic_there_is_no_thread_and_no_client() -> None:
    observer = TrafficObserver(RULE, pytest.fail, NEVER_S)
    observer.done(BLOB, Outcome())
    assert "flowlog-traffic" not in {thread.name for thread in threading.enumerate()}
    observer.close()


# What follows sends with the real library, from processes whose environment is theirs alone.


@pytest.fixture
def ingestion(tmp_path: Path) -> Iterator[Ingestion]:
    with running_ingestion(tmp_path) as ingestion:
        yield ingestion


@pytest.fixture
def account(connection_string: str, unique: Callable[[str], str]) -> Iterator[Account]:
    account = Account(connection_string, unique, "queue")
    yield account
    account.close()


SERVICE = """
import logging, os, sys
logging.basicConfig(level=logging.WARNING, stream=sys.stdout, format="%(message)s")
from flowlog_core.service import Service
from flowlog_core.config.settings import Settings

def imported():
    observe = "flowlog_core.observe"
    ours = (f"{observe}.traffic", f"{observe}.log_analytics", "azure.monitor.ingestion")
    return [name for name in ours if name in sys.modules]

service = Service(Settings.from_environment(os.environ))
outcome = service.ingest_named("FlowLogs", sys.argv[1], sys.argv[2])
"""


def run(code: str, account: Account, interface: Interface, **environment: str) -> str:
    """Run `code` on the interface's blob with nothing else in its environment; what it printed."""
    return run_alone(
        f"{SERVICE}{code}",
        {**account.environment, **environment},
        *(account.container_of(interface), interface.blob_name(HOUR)),
    )


def written(account: Account, interface: Interface) -> None:
    writer = account.writer(NetworkWatcherWriter, interface)
    writer.append(FlowLogGenerator(1).entry("vnet4", interface, HOUR, 40))


def test_the_rows_of_a_blob_reach_the_logs_ingestion_api_as_it_wants_them(
    account: Account, ingestion: Ingestion
) -> None:
    """When the process ends, as nobody closes the service."""
    interface = Interface.vnet()
    written(account, interface)
    code = "import json; print(json.dumps([imported(), outcome.traffic.rows()]))"
    imported, rows = json.loads(run(code, account, interface, **ingestion.environment))
    # The library itself only when there is something to send.
    assert imported == ["flowlog_core.observe.traffic", "flowlog_core.observe.log_analytics"]
    (sent,) = ingestion.sent
    assert sent.path == f"/dataCollectionRules/{RULE}/streams/Custom-FlowlogTraffic"
    assert sent.query == {"api-version": ["2023-01-01"]}
    headers = ("Content-Type", "Content-Encoding", "Authorization")
    assert [sent.headers[name] for name in headers] == [
        "application/json",
        "gzip",
        "Bearer a-token",
    ]
    assert sent.rows == rows
    assert total(rows, "records") == 40
    assert [asked["resource"] for asked in ingestion.asked_for_token] == [
        ["https://monitor.azure.com"]
    ]


def test_the_identity_of_the_state_account_sends(account: Account, ingestion: Ingestion) -> None:
    """The one whose client id is set, as there may be several."""
    code = """
from flowlog_core.config.connections import Connection
from flowlog_core.observe.log_analytics import logs_client
client = logs_client(service.settings.traffic_endpoint, Connection("x", client_id="an-id"))
client.upload("dcr-0123456789abcdef0123456789abcdef", "s", [{}], on_error=print)
"""
    interface = Interface.vnet()
    run(code, account, interface, **ingestion.environment)
    assert [asked["client_id"] for asked in ingestion.asked_for_token] == [["an-id"]]


def test_what_azure_refuses_costs_no_event(account: Account, ingestion: Ingestion) -> None:
    interface = Interface.vnet()
    written(account, interface)
    ingestion.status = 403
    said = run(
        "print(outcome.records); service.close()", account, interface, **ingestion.environment
    )
    records, warning = said.splitlines()
    assert records == "40"
    assert warning.startswith("sending to the workspace: 403 ")
    assert "said by a stand-in" in warning


def test_nothing_is_imported_or_summed_up_where_nobody_asked(account: Account) -> None:
    interface = Interface.vnet()
    written(account, interface)
    said = run("print(imported(), outcome.traffic, outcome.records)", account, interface)
    assert said == "[] None 40\n"
