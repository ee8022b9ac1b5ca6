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


class Metric(NamedTuple):
    """One metric, as it is registered with OpenTelemetry. Units are UCUM's."""

    name: str
    kind: Literal["counter", "histogram"]
    unit: str
    meaning: str
    attributes: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    """Upper bounds of a histogram's buckets."""


PLACE = ("flowlog.account", "flowlog.container")
"""The attributes that every metric about blobs has."""

METRICS: tuple[Metric, ...] = (
    Metric(
        "flowlog.ingests",
        "counter",
        "{ingest}",
        "attempts to forward a blob that ended without an error, whether or not anything was new",
        (*PLACE, "flowlog.outcome"),
    ),
    Metric(
        "flowlog.ingest.failures",
        "counter",
        "{failure}",
        "attempts to forward a blob that failed; the host or the sweep tries again",
        (*PLACE, "error.type"),
    ),
    Metric(
        "flowlog.events.ignored",
        "counter",
        "{event}",
        "events of a blob trigger or of the event queue that named no flow log of this app; the "
        "log says which",
        ("flowlog.reason",),
    ),
    Metric("flowlog.entries", "counter", "{entry}", "log entries forwarded", PLACE),
    Metric("flowlog.records", "counter", "{record}", "flow records forwarded", PLACE),
    Metric(
        "flowlog.dropped",
        "counter",
        "{record}",
        "flow records dropped by rule: FLOWLOG_KEEP, FLOWLOG_DROP",
        PLACE,
    ),
    Metric("flowlog.read.size", "counter", "By", "bytes of flow logs read and forwarded", PLACE),
    Metric(
        "flowlog.messages",
        "counter",
        "{message}",
        "queue messages, or batches of table rows, that the sink accepted",
        PLACE,
    ),
    Metric("flowlog.dead_letters", "counter", "{dead_letter}", "dead letters written", PLACE),
    Metric(
        "flowlog.checkpoint.conflicts",
        "counter",
        "{conflict}",
        "checkpoint writes that found a newer version",
        PLACE,
    ),
    Metric(
        "flowlog.rewrites",
        "counter",
        "{rewrite}",
        "blobs that were rewritten and are read again from their beginning",
        PLACE,
    ),
    Metric(
        "flowlog.lag",
        "histogram",
        "s",
        "time from the newest forwarded tuple (its own time) to the end of sending it",
        PLACE,
        _LAG_S,
    ),
    Metric(
        "flowlog.backlog",
        "histogram",
        "By",
        "bytes of a blob that were new when a worker claimed it",
        PLACE,
        _SIZE_BY,
    ),
    Metric(
        "flowlog.ingest.duration",
        "histogram",
        "s",
        "time of each step of an attempt that ended without an error",
        (*PLACE, "flowlog.step"),
        _STEP_S,
    ),
    Metric(
        "flowlog.sweep.duration",
        "histogram",
        "s",
        "time that a sweep took; the count is the number of sweeps",
        ("flowlog.outcome",),
        _SWEEP_S,
    ),
    Metric(
        "flowlog.sweep.looked_at",
        "counter",
        "{blob}",
        "blobs that sweeps compared with their checkpoints",
        PLACE,
    ),
    Metric(
        "flowlog.sweep.behind",
        "counter",
        "{blob}",
        "blobs that sweeps found behind, because an event was missed or failed",
        PLACE,
    ),
    Metric("flowlog.sweep.forwarded", "counter", "{blob}", "blobs that sweeps forwarded", PLACE),
    Metric(
        "flowlog.sweep.failed",
        "counter",
        "{blob}",
        "blobs that failed in a sweep, and containers that could not be listed",
        PLACE,
    ),
    Metric(
        "flowlog.sweep.backing_off",
        "counter",
        "{blob}",
        "blobs that a sweep left for later, because they failed before",
        PLACE,
    ),
    Metric(
        "flowlog.queue.messages",
        "histogram",
        "{message}",
        "messages in a queue of records, as each sweep finds them",
        ("flowlog.queue",),
        _MESSAGES,
    ),
    Metric(
        "flowlog.queue.age",
        "histogram",
        "s",
        "age of the message at the front of a queue of records, as each sweep finds it; 0 if the "
        "queue is empty",
        ("flowlog.queue",),
        _AGE_S,
    ),
)
