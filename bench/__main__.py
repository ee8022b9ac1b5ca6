"""All measurements, one after the other: `make bench`. What they print is Markdown."""

from __future__ import annotations

from bench import (
    bench_event,
    bench_import,
    bench_ingest,
    bench_latency,
    bench_normalize,
    bench_parsing,
    bench_rules,
    bench_sweep,
)

MEASUREMENTS = (
    *(bench_parsing, bench_normalize, bench_rules, bench_ingest, bench_event),
    *(bench_latency, bench_sweep, bench_import),
)

if __name__ == "__main__":
    for measurement in MEASUREMENTS:
        measurement.main()
        print()
