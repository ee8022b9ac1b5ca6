"""All measurements, one after the other: `make bench`. What they print is Markdown."""

from __future__ import annotations

from bench import bench_import, bench_ingest, bench_latency, bench_normalize, bench_sweep

if __name__ == "__main__":
    for measurement in (bench_normalize, bench_ingest, bench_latency, bench_sweep, bench_import):
        measurement.main()
        print()
