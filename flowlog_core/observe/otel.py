"""Exports Flowlog's metrics with OpenTelemetry.

They go to Application Insights if APPLICATIONINSIGHTS_CONNECTION_STRING is set, and to a collector
if OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_METRICS_ENDPOINT is set. OpenTelemetry is
imported after the first event was forwarded, and never if none of them is set.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from flowlog_core import __version__
from flowlog_core.blob import BlobRef
from flowlog_core.observe.metrics import METRICS, PLACE, Metric
from flowlog_core.outcome import Failed, Outcome

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricExporter, MetricReader
    from opentelemetry.sdk.resources import Resource

    from flowlog_core.sinks.depth import QueueDepth
    from flowlog_core.sweep.report import SweepReport

log = logging.getLogger(__name__)

EXPORT_EVERY_MS = 30_000
_CLOSE_WITHIN_MS = 5_000


class MetricsObserver:
    """Counts the results of blobs and sweeps for the readers, which export them.

    The readers are created, and OpenTelemetry is imported, when the first blob or sweep is done:
    not while the host indexes the functions, and not before the first event is forwarded. If a
    reader cannot be created, one warning says so and it is left out. No method raises.
    """

    def __init__(self, *readers: Callable[[], MetricReader]) -> None:
        self._readers = readers
        self._lock = threading.Lock()
        self._provider: MeterProvider | None = None
        self._instruments: dict[str, Any] | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> MetricsObserver:
        """An observer for the receivers that `environment` names; without any it does nothing."""
        readers = []
        if environment.get("APPLICATIONINSIGHTS_CONNECTION_STRING"):
            readers.append(application_insights)
        if environment.get("OTEL_EXPORTER_OTLP_ENDPOINT") or environment.get(
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"
        ):
            readers.append(otlp)
        return cls(*readers)

    def done(self, blob: BlobRef, outcome: Outcome) -> None:
        """See `Observer.done`."""
        where = _place(blob)
        self._add("flowlog.ingests", 1, {**where, "flowlog.outcome": outcome.how})
        self._count(outcome, where)
        if outcome.how != "handed_over":
            self._record("flowlog.backlog", outcome.backlog_bytes, where)
        if outcome.lag_s is not None:
            self._record("flowlog.lag", outcome.lag_s, where)
        for step, took_s in outcome.seconds.items():
            self._record("flowlog.ingest.duration", took_s, {**where, "flowlog.step": step})

    def failed(self, blob: BlobRef, failed: Failed) -> None:
        """See `Observer.failed`."""
        where, kind = _place(blob), type(failed.error).__name__
        self._add("flowlog.ingest.failures", 1, {**where, "error.type": kind})
        self._count(failed.outcome, where)

    def event_ignored(self, reason: str) -> None:
        """An event led to no flow log."""
        self._add("flowlog.events.ignored", 1, {"flowlog.reason": reason})

    def swept(self, report: SweepReport | None, took_s: float) -> None:
        """A sweep returned its report, or raised and has none."""
        outcome = "failed" if report is None else "whole" if report.is_whole else "unfinished"
        self._record("flowlog.sweep.duration", took_s, {"flowlog.outcome": outcome})
        for (container, what), blobs in report.by_container.items() if report else ():
            where = dict(zip(PLACE, container, strict=True))
            self._add(f"flowlog.sweep.{what}", blobs, where)

    @property
    def is_on(self) -> bool:
        """Whether anything is exported."""
        return bool(self._readers)

    def queue_seen(self, depth: QueueDepth, *, is_consumed: bool = True) -> None:
        """A sweep looked at a queue. Its age is recorded if a consumer takes messages from it."""
        where = {"flowlog.queue": depth.queue}
        self._record("flowlog.queue.messages", depth.messages, where)
        if not is_consumed:
            return
        # A consumer may hold all messages: then the front cannot be seen.
        age_s = depth.oldest_s if depth.messages else 0.0
        if age_s is not None:
            self._record("flowlog.queue.age", age_s, where)

    def close(self) -> None:
        """Export what is not exported yet, within seconds. Later results are not counted.

        A process that ends normally also exports without this call.
        """
        with self._lock:
            provider, self._provider, self._instruments = self._provider, None, {}
        if provider is not None:
            try:
                provider.shutdown(timeout_millis=_CLOSE_WITHIN_MS)
            except Exception as error:  # noqa: BLE001 - the SDK raises nothing more specific
                log.warning("the last metrics may not have been exported: %s", error)

    def _count(self, outcome: Outcome, where: dict[str, str]) -> None:
        self._add("flowlog.entries", outcome.entries, where)
        self._add("flowlog.records", outcome.records, where)
        self._add("flowlog.dropped", outcome.dropped, where)
        self._add("flowlog.read.size", outcome.new_bytes, where)
        self._add("flowlog.messages", outcome.messages, where)
        self._add("flowlog.dead_letters", outcome.dead_letters, where)
        self._add("flowlog.checkpoint.conflicts", outcome.conflicts, where)
        self._add("flowlog.rewrites", outcome.rewrites, where)

    def _add(self, name: str, amount: int, attributes: dict[str, str]) -> None:
        # A time series of zeros would cost a row in every export.
        if amount and (instrument := self._instrument(name)):
            instrument.add(amount, attributes)

    def _record(self, name: str, value: float, attributes: dict[str, str]) -> None:
        if instrument := self._instrument(name):
            # Clocks of two machines, or rounding, can give a slightly negative duration.
            instrument.record(max(0.0, value), attributes)

    def _instrument(self, name: str) -> Any:
        if self._instruments is None:
            with self._lock:
                if self._instruments is None:
                    self._instruments = self._begin()
        return self._instruments.get(name)

    def _begin(self) -> dict[str, Any]:
        """Create the readers. Returns the instruments by name, or none if there is no reader."""
        readers = []
        for make in self._readers:
            try:
                readers.append(make())
            except Exception as error:  # noqa: BLE001 - no error here may stop the flows
                reason = str(error) or type(error).__name__
                log.warning("metrics cannot be exported to %s: %s", make.__name__, reason)
        try:
            return self._made_for(readers) if readers else {}
        except Exception as error:  # noqa: BLE001 - such as an OTEL_ setting that the SDK rejects
            log.warning("metrics are off: %s", error)
            return {}

    def _made_for(self, readers: list[MetricReader]) -> dict[str, Any]:
        from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415 - see the module

        # Not the process's global provider, which other code may configure.
        self._provider = MeterProvider(readers, _resource())
        meter = self._provider.get_meter("flowlog", __version__)
        return {one.name: _created(meter, one) for one in METRICS}


def _created(meter: Meter, one: Metric) -> Any:
    if one.kind == "counter":
        return meter.create_counter(one.name, one.unit, one.meaning)
    return meter.create_histogram(
        one.name, one.unit, one.meaning, explicit_bucket_boundaries_advisory=one.buckets
    )


def application_insights() -> MetricReader:
    """Exports to the Application Insights of APPLICATIONINSIGHTS_CONNECTION_STRING.

    The exporter itself reads APPLICATIONINSIGHTS_AUTHENTICATION_STRING and uses an identity if it
    says so. Raises `ValueError` if the connection string is invalid.
    """
    # By default the exporter reports its use to Microsoft, fetches settings from there, and writes
    # metrics about its own exports to the user's Application Insights.
    for unasked in ("STATSBEAT_DISABLED_ALL", "CONTROLPLANE_DISABLED", "SDKSTATS_DISABLED"):
        os.environ.setdefault(f"APPLICATIONINSIGHTS_{unasked}", "true")
    from azure.monitor.opentelemetry.exporter import (  # noqa: PLC0415 - see the module
        AzureMonitorMetricExporter,
    )

    # Few retries and nothing on disk: the next export carries what was counted in the meantime.
    return _every_so_often(AzureMonitorMetricExporter(disable_offline_storage=True, retry_total=3))


def otlp() -> MetricReader:
    """Exports to a collector, OTLP over HTTP as JSON, configured by OTEL_EXPORTER_OTLP_*."""
    from opentelemetry.exporter.otlp.json.http.metric_exporter import (  # noqa: PLC0415 - see above
        OTLPMetricExporter,
    )

    return _every_so_often(OTLPMetricExporter())


def _every_so_often(exporter: MetricExporter) -> MetricReader:
    from opentelemetry.sdk.metrics.export import (  # noqa: PLC0415 - see the module
        PeriodicExportingMetricReader,
    )

    said = "OTEL_METRIC_EXPORT_INTERVAL" in os.environ
    return PeriodicExportingMetricReader(exporter, None if said else EXPORT_EVERY_MS)


def _resource() -> Resource:
    """The resource. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES override its values."""
    from opentelemetry.sdk.resources import (  # noqa: PLC0415 - see the module
        OTELResourceDetector,
        Resource,
    )

    ours = {
        "service.name": os.environ.get("WEBSITE_SITE_NAME", "flowlog"),
        "service.version": __version__,
        # One for each process, so that the totals of two processes do not mix.
        "service.instance.id": uuid4().hex,
    }
    if instance := os.environ.get("WEBSITE_INSTANCE_ID"):
        ours["faas.instance"] = instance
    return Resource.create(ours).merge(OTELResourceDetector().detect())


def _place(blob: BlobRef) -> dict[str, str]:
    return dict(zip(PLACE, (blob.account, blob.container), strict=True))
