"""The list of metrics: name, kind, unit, meaning and attributes of each.

A test checks the table in docs/telemetry.md against `METRICS`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

_KIB, _MIB, _GIB = 1024, 1024**2, 1024**3
_LAG_S = (1, 2, 5, 10, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1200, 1800, 3600)
_STEP_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_SWEEP_S = (1, 2.5, 5, 10, 30, 60, 120, 180, 240, 300, 600)
_MESSAGES = (0, 10, 100, 1000, 10_000, 100_000, 1_000_000)
_AGE_S = (1, 10, 30, 60, 120, 300, 600, 900, 1800, 3600, 14_400, 86_400)
_SIZE_BY = (_KIB, 4 * _KIB, 16 * _KIB, 64 * _KIB, 256 * _KIB, _MIB, 4 * _MIB, 16 * _MIB,
            64 * _MIB, 256 * _MIB, _GIB)  # fmt: skip


PLACE = ("flowlog.account", "flowlog.container")
"""The attributes that every metric about blobs has."""


class Metric(NamedTuple):
    """One metric, as it is registered with OpenTelemetry. Units are UCUM's."""

    name: str
    unit: str
    meaning: str
    attributes: tuple[str, ...] = PLACE
    buckets: tuple[float, ...] = ()
    """Upper bounds of a histogram's buckets; a counter has none."""

    @property
    def kind(self) -> Literal["counter", "histogram"]:
        """A histogram if it has buckets."""
        return "histogram" if self.buckets else "counter"


METRICS: tuple[Metric, ...] = (
    Metric(
        "flowlog.ingests",
        "{ingest}",
        "attempts to forward a blob that ended without an error, whether or not anything was new",
        (*PLACE, "flowlog.outcome"),
    ),
    Metric(
        "flowlog.ingest.failures",
        "{failure}",
        "attempts to forward a blob that failed; the host or the sweep tries again",
        (*PLACE, "error.type"),
    ),
    Metric(
        "flowlog.events.ignored",
        "{event}",
        "events of a blob trigger or of the event queue that named no flow log of this app; the "
        "log says which",
        ("flowlog.reason",),
    ),
    Metric("flowlog.entries", "{entry}", "log entries forwarded"),
    Metric("flowlog.records", "{record}", "flow records forwarded"),
    Metric(
        "flowlog.dropped", "{record}", "flow records dropped by rule: FLOWLOG_KEEP, FLOWLOG_DROP"
    ),
    Metric("flowlog.read.size", "By", "bytes of flow logs read and forwarded"),
    Metric(
        "flowlog.messages",
        "{message}",
        "queue messages, or batches of table rows, that the sink accepted",
    ),
    Metric("flowlog.dead_letters", "{dead_letter}", "dead letters written"),
    Metric(
        "flowlog.checkpoint.conflicts", "{conflict}", "checkpoint writes that found a newer version"
    ),
    Metric(
        "flowlog.rewrites",
        "{rewrite}",
        "blobs that were rewritten and are read again from their beginning",
    ),
    Metric(
        "flowlog.lag",
        "s",
        "time from the newest forwarded tuple (its own time) to the end of sending it",
        buckets=_LAG_S,
    ),
    Metric(
        "flowlog.backlog",
        "By",
        "bytes of a blob that were new when a worker claimed it",
        buckets=_SIZE_BY,
    ),
    Metric(
        "flowlog.ingest.duration",
        "s",
        "time of each step of an attempt that ended without an error",
        (*PLACE, "flowlog.step"),
        _STEP_S,
    ),
    Metric(
        "flowlog.sweep.duration",
        "s",
        "time that a sweep took; the count is the number of sweeps",
        ("flowlog.outcome",),
        _SWEEP_S,
    ),
    Metric(
        "flowlog.sweep.looked_at", "{blob}", "blobs that sweeps compared with their checkpoints"
    ),
    Metric(
        "flowlog.sweep.behind",
        "{blob}",
        "blobs that sweeps found behind, because an event was missed or failed",
    ),
    Metric("flowlog.sweep.forwarded", "{blob}", "blobs that sweeps forwarded"),
    Metric(
        "flowlog.sweep.failed",
        "{blob}",
        "blobs that failed in a sweep, and containers that could not be listed",
    ),
    Metric(
        "flowlog.sweep.backing_off",
        "{blob}",
        "blobs that a sweep left for later, because they failed before",
    ),
    Metric(
        "flowlog.queue.messages",
        "{message}",
        "messages in a queue of records, or in the poison queue of the event queue, as each sweep "
        "finds them",
        ("flowlog.queue",),
        _MESSAGES,
    ),
    Metric(
        "flowlog.queue.age",
        "s",
        "age of the message at the front of a queue of records, as each sweep finds it; 0 if the "
        "queue is empty",
        ("flowlog.queue",),
        _AGE_S,
    ),
)
