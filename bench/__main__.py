"""All measurements, one after the other: `make bench`. What they print is Markdown."""

from __future__ import annotations

from bench import (
    bench_append,
    bench_event,
    bench_import,
    bench_ingest,
    bench_latency,
    bench_normalize,
    bench_parsing,
    bench_peers,
    bench_rules,
    bench_sweep,
)

# The small appends that most events bring, then parsing, then the rest. Left out is what takes more
# than some minutes or much disk: bench_analyze, bench_scale, bench_status, chaos, fuzz, memory.
MEASUREMENTS = (
    *(bench_append, bench_event, bench_peers, bench_parsing, bench_normalize, bench_rules),
    bench_ingest,
    *(bench_latency, bench_sweep, bench_import),
)

if __name__ == "__main__":
    for measurement in MEASUREMENTS:
        measurement.main()
        print()
