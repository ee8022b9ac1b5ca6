"""The metrics one by one: what each is called, counts and carries.

The table in docs/telemetry.md is held against `METRICS` by a test.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

_KIB, _MIB, _GIB = 1024, 1024**2, 1024**3
_LAG_S = (1, 2, 5, 10, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1200, 1800, 3600)
_STEP_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_SWEEP_S = (1, 2.5, 5, 10, 30, 60, 120, 180, 240, 300, 600)
_SIZE_BY = (_KIB, 4 * _KIB, 16 * _KIB, 64 * _KIB, 256 * _KIB, _MIB, 4 * _MIB, 16 * _MIB,
            64 * _MIB, 256 * _MIB, _GIB)  # fmt: skip


class Metric(NamedTuple):
    """One metric as OpenTelemetry is told of it. Units are those of UCUM."""

    name: str
    kind: Literal["counter", "histogram"]
    unit: str
    meaning: str
    attributes: tuple[str, ...] = ()
    """Beside these, everything about a blob has PLACE's."""
    buckets: tuple[float, ...] = ()


PLACE = ("flowlog.account", "flowlog.container")

METRICS: tuple[Metric, ...] = (
    Metric(
        "flowlog.ingests",
        "counter",
        "{ingest}",
        "looks at a blob that ended without an error, whether or not anything was new",
        (*PLACE, "flowlog.outcome"),
    ),
    Metric(
        "flowlog.ingest.failures",
        "counter",
        "{failure}",
        "looks at a blob that ended with an error; the host or the sweep tries again",
        (*PLACE, "error.type"),
    ),
    Metric("flowlog.entries", "counter", "{entry}", "log entries forwarded", PLACE),
    Metric("flowlog.records", "counter", "{record}", "flow records forwarded", PLACE),
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
        "writes of a checkpoint that met a newer version of it",
        PLACE,
    ),
    Metric(
        "flowlog.rewrites",
        "counter",
        "{rewrite}",
        "blobs found rewritten and read again from their beginning",
        PLACE,
    ),
    Metric(
        "flowlog.lag",
        "histogram",
        "s",
        "from the newest forwarded tuple's own time to the end of its sending",
        PLACE,
        _LAG_S,
    ),
    Metric(
        "flowlog.backlog",
        "histogram",
        "By",
        "how much of a blob was new when a worker took it",
        PLACE,
        _SIZE_BY,
    ),
    Metric(
        "flowlog.ingest.duration",
        "histogram",
        "s",
        "how long one step took of a look at a blob that ended without an error",
        (*PLACE, "flowlog.step"),
        _STEP_S,
    ),
    Metric(
        "flowlog.sweep.duration",
        "histogram",
        "s",
        "how long a sweep took; its count is the number of sweeps",
        ("flowlog.outcome",),
        _SWEEP_S,
    ),
    Metric("flowlog.sweep.looked_at", "counter", "{blob}", "blobs that sweeps looked at"),
    Metric(
        "flowlog.sweep.behind",
        "counter",
        "{blob}",
        "blobs that sweeps found ahead of their checkpoint, as an event was missed or failed",
    ),
    Metric("flowlog.sweep.forwarded", "counter", "{blob}", "blobs that sweeps forwarded"),
    Metric(
        "flowlog.sweep.failed",
        "counter",
        "{blob}",
        "blobs that failed in a sweep, and containers that could not be listed",
    ),
    Metric(
        "flowlog.sweep.backing_off",
        "counter",
        "{blob}",
        "blobs that a sweep left for later, as they failed before",
    ),
)
