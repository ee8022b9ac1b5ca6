"""What is measured, where it is sent, and that nothing is where nobody asked for it."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.queue import QueueClient
from collector import Collector, Point, Series, running_collector
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from support import run_alone

from flowlog_core.config.settings import Settings
from flowlog_core.errors import NotFound, Unavailable
from flowlog_core.observe.metrics import METRICS, PLACE
from flowlog_core.observe.otel import MetricsObserver
from flowlog_core.outcome import Failed, Outcome
from flowlog_core.service import Service
from flowlog_core.sinks.depth import QueueDepth
from flowlog_core.sweep.cursor import Container
from flowlog_core.sweep.report import SweepReport
from flowlog_core.testing.memory import some_blob

ROOT = Path(__file__).resolve().parents[1]
BLOB = some_blob()
HERE = Container.of(BLOB)
WHERE = dict(zip(PLACE, HERE, strict=True))


def series(name: str, **attributes: str) -> Series:
    """`outcome="lost"` means the attribute `flowlog.outcome`."""
    ours = {f"flowlog.{short}": value for short, value in attributes.items()}
    return name, frozenset(ours.items())


def of_blob(name: str, **attributes: str) -> Series:
    of, rest = series(name, **attributes)
    return of, rest.union(WHERE.items())


def some_outcome() -> Outcome:
    outcome = Outcome(
        "forwarded", 1, 20, 3, 4, 5000, 6, conflicts=7, backlog_bytes=8000, lag_s=9, dropped=8
    )
    outcome.seconds.update({"read": 0.5, "checkpoint": 0.25})
    return outcome


def some_sweep() -> SweepReport:
    report = SweepReport()
    report.count("looked_at", HERE, 9)
    report.count("behind", HERE, 4)
    report.count("forwarded", HERE, 3)
    report.count("failed", HERE)
    report.count("backing_off", HERE, 2)
    return report


OF_SOME_OUTCOME = {
    of_blob("flowlog.entries"): Point(1, 1),
    of_blob("flowlog.records"): Point(1, 20),
    of_blob("flowlog.dropped"): Point(1, 8),
    of_blob("flowlog.messages"): Point(1, 3),
    of_blob("flowlog.dead_letters"): Point(1, 4),
    of_blob("flowlog.read.size"): Point(1, 5000),
    of_blob("flowlog.rewrites"): Point(1, 6),
    of_blob("flowlog.checkpoint.conflicts"): Point(1, 7),
}


@pytest.fixture
def reader() -> InMemoryMetricReader:
    return InMemoryMetricReader()


@pytest.fixture
def observer(reader: InMemoryMetricReader) -> Iterator[MetricsObserver]:
    observer = MetricsObserver(lambda: reader)
    yield observer
    observer.close()


def metrics_in(reader: InMemoryMetricReader) -> list[Any]:
    data = reader.get_metrics_data()
    if data is None:
        return []
    return [
        metric
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    ]


def measured(reader: InMemoryMetricReader) -> dict[Series, Point]:
    return {
        (metric.name, frozenset(point.attributes.items())): (
            Point(point.count, point.sum)
            if isinstance(point, HistogramDataPoint)
            else Point(1, point.value)
        )
        for metric in metrics_in(reader)
        for point in metric.data.data_points
    }


def test_what_was_done_is_counted_and_how_long_it_took_is_measured(
    observer: MetricsObserver, reader: InMemoryMetricReader
) -> None:
    observer.done(BLOB, some_outcome())
    assert measured(reader) == OF_SOME_OUTCOME | {
        of_blob("flowlog.ingests", outcome="forwarded"): Point(1, 1),
        of_blob("flowlog.lag"): Point(1, 9),
        of_blob("flowlog.backlog"): Point(1, 8000),
        of_blob("flowlog.ingest.duration", step="read"): Point(1, 0.5),
        of_blob("flowlog.ingest.duration", step="checkpoint"): Point(1, 0.25),
    }


def test_a_failure_is_counted_by_its_kind_and_so_is_what_was_done_before_it(
    observer: MetricsObserver, reader: InMemoryMetricReader
) -> None:
    observer.failed(BLOB, Failed(0, 1, Unavailable("busy"), some_outcome()))
    observer.failed(BLOB, Failed(0, None, NotFound("gone")))
    failures = {
        ("flowlog.ingest.failures", frozenset({*WHERE.items(), ("error.type", kind)})): Point(1, 1)
        for kind in ("Unavailable", "NotFound")
    }
    assert measured(reader) == OF_SOME_OUTCOME | failures


def test_an_event_that_had_nothing_to_do_is_one_ingest(
    observer: MetricsObserver, reader: InMemoryMetricReader
) -> None:
    """A worker that hands over has not read the blob, so it records no backlog."""
    observer.done(BLOB, Outcome("handed_over"))
    assert measured(reader) == {of_blob("flowlog.ingests", outcome="handed_over"): Point(1, 1)}


def test_a_tuple_from_the_future_is_not_late(
    observer: MetricsObserver, reader: InMemoryMetricReader
) -> None:
    """Its time is that of another clock."""
    observer.done(BLOB, Outcome("claim_lost", lag_s=-0.5))
    assert measured(reader)[of_blob("flowlog.lag")] == Point(1, 0)


def test_sweeps_are_counted_with_what_they_found(
    observer: MetricsObserver, reader: InMemoryMetricReader
) -> None:
    """Of each container apart: an account without events must not hide behind another."""
    report = some_sweep()
    report.count("looked_at", Container("another", "logs"), 5)
    observer.swept(report, 1.5)
    later = SweepReport(is_whole=False)
    later.count("looked_at", HERE)
    observer.swept(later, 2.0)
    observer.swept(None, 3.0)
    assert measured(reader) == {
        series("flowlog.sweep.duration", outcome="whole"): Point(1, 1.5),
        series("flowlog.sweep.duration", outcome="unfinished"): Point(1, 2.0),
        series("flowlog.sweep.duration", outcome="failed"): Point(1, 3.0),
        of_blob("flowlog.sweep.looked_at"): Point(1, 10),
        series("flowlog.sweep.looked_at", account="another", container="logs"): Point(1, 5),
        of_blob("flowlog.sweep.behind"): Point(1, 4),
        of_blob("flowlog.sweep.forwarded"): Point(1, 3),
        of_blob("flowlog.sweep.failed"): Point(1, 1),
        of_blob("flowlog.sweep.backing_off"): Point(1, 2),
    }


def test_what_waits_in_each_queue_is_measured_as_it_is_seen(
    observer: MetricsObserver, reader: InMemoryMetricReader
) -> None:
    for depth in (
        QueueDepth("records-00", 7, 95.0),
        QueueDepth("records-00", 0, None),
        QueueDepth("records-01", 3, None),  # a consumer has taken all of them
    ):
        observer.queue_seen(depth)
    assert measured(reader) == {
        series("flowlog.queue.messages", queue="records-00"): Point(2, 7),
        series("flowlog.queue.age", queue="records-00"): Point(2, 95.0),
        series("flowlog.queue.messages", queue="records-01"): Point(1, 3),
    }


def test_every_metric_of_the_table_is_measured_as_the_table_says(
    observer: MetricsObserver, reader: InMemoryMetricReader
) -> None:
    observer.done(BLOB, some_outcome())
    observer.failed(BLOB, Failed(0, 1, Unavailable("busy")))
    observer.event_ignored("unknown_account")
    observer.swept(some_sweep(), 1.5)
    observer.queue_seen(QueueDepth("records", 7, 95.0))
    told = {}
    for metric in metrics_in(reader):
        first = metric.data.data_points[0]
        is_histogram = isinstance(first, HistogramDataPoint)
        told[metric.name] = (
            "histogram" if is_histogram else "counter",
            metric.unit,
            metric.description,
            set(first.attributes),
            tuple(first.explicit_bounds) if is_histogram else (),
        )
    assert told == {
        one.name: (one.kind, one.unit, one.meaning, set(one.attributes), one.buckets)
        for one in METRICS
    }


def test_the_documented_table_is_the_one_in_the_code() -> None:
    document = (ROOT / "docs" / "telemetry.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| `(flowlog\.\S+)` \| (\w+) \| `(\S+)` \| (.+?) \| (.*?) \|$", document, re.MULTILINE
    )
    documented = [
        (name, kind, unit, meaning, tuple(re.findall(r"`(\S+?)`", attributes)))
        for name, kind, unit, meaning, attributes in rows
    ]
    assert documented == [
        (one.name, one.kind, one.unit, one.meaning, one.attributes) for one in METRICS
    ]


def test_events_that_the_host_gave_up_on_are_counted_with_an_event_queue(
    connection_string: str,
    unique: Callable[[str], str],
    observer: MetricsObserver,
    reader: InMemoryMetricReader,
) -> None:
    environment = {
        "FlowLogs": connection_string,
        "AzureWebJobsStorage": connection_string,
        "FLOWLOG_CHECKPOINT_TABLE": unique("checkpoints"),
        "FLOWLOG_TRIGGER_SOURCE": "EventQueue",
        "FLOWLOG_EVENT_QUEUE": unique("events"),
        "FLOWLOG_SINK": "table",
    }
    service = Service(Settings.from_environment(environment), metrics=observer)
    poison = f"{environment['FLOWLOG_EVENT_QUEUE']}-poison"
    with QueueClient.from_connection_string(connection_string, poison) as client:
        client.create_queue()
        client.send_message("{}")
        service.sweep()
    assert measured(reader)[series("flowlog.queue.messages", queue=poison)] == Point(1, 1)
    assert series("flowlog.queue.age", queue=poison) not in measured(reader)
    service.close()


def test_the_services_sweep_is_measured(
    connection_string: str,
    unique: Callable[[str], str],
    observer: MetricsObserver,
    reader: InMemoryMetricReader,
) -> None:
    environment = {
        "FlowLogs": connection_string,
        "AzureWebJobsStorage": connection_string,
        "FLOWLOG_CHECKPOINT_TABLE": unique("checkpoints"),
        "FLOWLOG_QUEUE": unique("queue"),
    }
    service = Service(Settings.from_environment(environment), metrics=observer)
    service.sweep()
    queue = environment["FLOWLOG_QUEUE"]
    assert list(measured(reader)) == [
        series("flowlog.sweep.duration", outcome="whole"),
        series("flowlog.queue.messages", queue=queue),
        series("flowlog.queue.age", queue=queue),
    ]
    client = QueueClient.from_connection_string(connection_string, queue)
    with pytest.raises(ResourceNotFoundError):  # looking has created nothing
        client.get_queue_properties()
    client.create_queue()
    client.send_message("unread")
    time.sleep(1.1)
    service.sweep()
    assert measured(reader)[series("flowlog.queue.messages", queue=queue)] == Point(2, 1)
    assert measured(reader)[series("flowlog.queue.age", queue=queue)].total >= 1
    (message,) = client.receive_messages()
    assert message.dequeue_count == 1
    client.close()
    service.close()


def test_a_queue_that_may_not_be_looked_at_is_told_of_once_and_fails_no_sweep(
    connection_string: str,
    unique: Callable[[str], str],
    observer: MetricsObserver,
    reader: InMemoryMetricReader,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As with the role Storage Queue Data Message Sender."""
    wrong_key = re.sub("AccountKey=[^;]*", "AccountKey=eA==", connection_string)
    environment = {
        "FlowLogs": connection_string,
        "AzureWebJobsStorage": connection_string,
        "Elsewhere": wrong_key,
        "FLOWLOG_SINK_CONNECTION": "Elsewhere",
        "FLOWLOG_CHECKPOINT_TABLE": unique("checkpoints"),
    }
    service = Service(Settings.from_environment(environment), metrics=observer)
    for _ in range(2):
        assert service.sweep().is_whole
    service.close()
    assert [name for name, _ in measured(reader) if name.startswith("flowlog.queue")] == []
    told = [one for one in caplog.records if "cannot measure what waits" in one.getMessage()]
    assert [one.levelname for one in told if one.levelno >= logging.INFO] == ["WARNING"]


def test_a_reader_that_cannot_be_made_is_told_of_and_keeps_no_other_from_its_metrics(
    reader: InMemoryMetricReader, caplog: pytest.LogCaptureFixture
) -> None:
    def nowhere() -> InMemoryMetricReader:
        raise ValueError("no such place")

    observer = MetricsObserver(nowhere, lambda: reader)
    for _ in range(2):
        observer.done(BLOB, Outcome("handed_over"))
    assert measured(reader) == {of_blob("flowlog.ingests", outcome="handed_over"): Point(1, 2)}
    assert [(r.levelno, r.getMessage()) for r in caplog.records] == [
        (logging.WARNING, "metrics cannot be exported to nowhere: no such place")
    ]
    observer.close()
    observer.done(BLOB, Outcome("handed_over"))  # no longer counted, and no error


# What follows runs in processes of their own, whose environment and imports are theirs alone.

INGEST = """
import os, sys
from dataclasses import replace
from datetime import timedelta
from flowlog_core.ingest import Pipeline, ingest
from flowlog_core.observe.otel import MetricsObserver
from flowlog_core.testing.generate import FlowLogGenerator, Interface, document
from flowlog_core.testing.memory import *

def imported():
    return [name for name, module in sys.modules.items() if "opentelemetry" in name and module]

metrics = MetricsObserver.from_environment(os.environ)
clock = ManualClock(1000.0)
blobs, sink = MemoryBlobs(clock), MemorySink()
pipeline = Pipeline(blobs, MemoryCheckpoints(clock), sink, MemoryDeadLetters(), clock=clock,
                    observer=metrics)
entry = FlowLogGenerator(1).entry("nsg1", Interface.nsg(), EPOCH, 7)
content = document([entry])
blobs.put(some_blob(), content)
assert imported() == [], imported()
outcome = ingest(some_blob(), pipeline)
assert (outcome.entries, outcome.records) == (1, 7)
"""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with running_collector() as collector:
        yield collector


def test_nothing_is_imported_where_no_exporter_is_configured() -> None:
    assert run_alone(f"{INGEST}\nmetrics.close(); print(imported())", {}) == "[]\n"


def test_the_metrics_of_an_ingest_reach_both_exporters_when_the_process_ends(
    collector: Collector,
) -> None:
    """The blob's entry and its seven tuples, and as many bytes as were read."""
    environment = collector.to_otlp | collector.to_application_insights
    content_bytes = int(run_alone(f"{INGEST}\nprint(len(content))", environment))
    counted = {
        of_blob("flowlog.ingests", outcome="forwarded"): Point(1, 1),
        of_blob("flowlog.entries"): Point(1, 1),
        of_blob("flowlog.records"): Point(1, 7),
        of_blob("flowlog.messages"): Point(1, 1),
        of_blob("flowlog.read.size"): Point(1, content_bytes),
        of_blob("flowlog.backlog"): Point(1, content_bytes),
    }
    assert collector.roles == {"flowlog"}
    for received in (collector.otlp, dict(collector.application_insights)):
        assert {name: received.get(name) for name in counted} == counted
        assert {name for name, _ in received} == {name for name, _ in counted} | {
            "flowlog.lag",
            "flowlog.ingest.duration",
        }


def test_application_insights_is_told_what_is_new_and_a_collector_the_total(
    collector: Collector,
) -> None:
    """An export a second time must neither count twice nor forget."""
    again = (
        "metrics._provider.force_flush(); blobs.put(some_blob(), document([entry, entry]))\n"
        "ingest(some_blob(), pipeline); metrics.close()"
    )
    run_alone(f"{INGEST}\n{again}", collector.to_otlp | collector.to_application_insights)
    entries = of_blob("flowlog.entries")
    assert collector.otlp[entries] == Point(1, 2)
    assert [point for name, point in collector.application_insights if name == entries] == [
        Point(1, 1),
        Point(1, 1),
    ]


@pytest.mark.parametrize(
    ("environment", "service"),
    [
        ({"WEBSITE_SITE_NAME": "my-app"}, "my-app"),
        ({"WEBSITE_SITE_NAME": "my-app", "OTEL_SERVICE_NAME": "mine"}, "mine"),
    ],
)
def test_metrics_say_which_app_they_are_of(
    collector: Collector, environment: dict[str, str], service: str
) -> None:
    run_alone(INGEST, environment | collector.to_otlp | collector.to_application_insights)
    assert [told["service.name"] for told in collector.otlp_resources] == [service]
    assert collector.roles == {service}


def test_a_wrong_connection_string_is_one_warning_and_the_other_exporter_goes_on(
    collector: Collector,
) -> None:
    wrong = {"APPLICATIONINSIGHTS_CONNECTION_STRING": "InstrumentationKey=mine"}
    said = run_alone(f"{INGEST}\nmetrics.done(some_blob(), outcome)", wrong | collector.to_otlp)
    assert said == (
        "metrics cannot be exported to application_insights: "
        "Invalid instrumentation key. It should be a valid UUID.\n"
    )
    assert collector.otlp[of_blob("flowlog.entries")] == Point(1, 2)


def test_a_setting_that_opentelemetry_refuses_costs_no_event(collector: Collector) -> None:
    refused = {"OTEL_METRICS_EXEMPLAR_FILTER": "sometimes"}
    said = run_alone(INGEST, refused | collector.to_otlp)
    assert said == "metrics are off: Unknown exemplar filter 'sometimes'.\n"
    assert collector.otlp == {}


@pytest.mark.parametrize("missing", ["azure.monitor", "opentelemetry.exporter"])
def test_a_package_that_is_not_installed_is_named(collector: Collector, missing: str) -> None:
    """The warning names the missing extra `telemetry`."""
    block = f"import sys; sys.modules[{missing!r}] = None"
    said = run_alone(f"{block}\n{INGEST}", collector.to_otlp | collector.to_application_insights)
    assert f"No module named '{missing}." in said


def test_exporters_out_of_reach_cost_no_event(collector: Collector) -> None:
    """The process still ends well, and says what it could not export."""
    collector.server.server_close()
    environment = collector.to_otlp | {"OTEL_EXPORTER_OTLP_METRICS_TIMEOUT": "1"}
    said = run_alone(f"{INGEST}\nmetrics.close()", environment | collector.to_application_insights)
    assert said.startswith("Retrying due to server re")  # a request or a response error
    assert "Failed to export metrics batch" in said
