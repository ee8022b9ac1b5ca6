"""All measurements, one after the other: `make bench`. What they print is Markdown."""

from __future__ import annotations

from bench import append, event, ingest, latency, parsing, peers, rules, starting, sweep

# In the order of docs/performance.md. Left out is what takes more than some minutes or much disk,
# and what a decision measured once.
MEASUREMENTS = (append, event, peers, parsing, rules, ingest, latency, sweep, starting)

if __name__ == "__main__":
    for measurement in MEASUREMENTS:
        measurement.main()
        print()
