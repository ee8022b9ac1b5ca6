"""What thousands of interfaces need: measures an event and a listed blob, then simulates the rest.

    python -m bench.scale [appends]       # some minutes; on a machine at rest

Measured, on Azurite: processor time, calls and bytes of an event, and the processor time of a blob
that a sweep looks at. They go into bench/scale/measured.json, from which infra/cost.py reckons and
`bench.scale.docs` writes every table of docs/scaling.md, docs/ways-in.md and infra/README.md.
Assumed: a storage call takes 5 ms in Azure; instances have one core each and are there from the
beginning. Limits and prices are Microsoft's. Not in it: Event Grid, the processor time of the host
and its worker, failing calls.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from bench.harness.figures import machine
from bench.scale.event_cost import Kind, measure
from bench.scale.listed_blob import listed_s
from bench.scale.timer import max_interfaces
from flowlog_core.demo.azurite import running_azurite
from flowlog_core.testing.generate import Format

MEASURED_JSON = Path(__file__).with_name("measured.json")
LISTED = 400  # interfaces
EVENTS: tuple[tuple[Format, Kind, int], ...] = (
    ("nsg2", "queue", 1),
    ("vnet4", "queue", 1),
    ("vnet4", "gzip", 1),
    ("vnet4", "table", 4),  # a fourth of the appends: the more rows, the slower Azurite
)


def main(count: int = 120) -> None:
    """Measure, and have the docs written."""
    logging.disable(logging.WARNING)  # each blob that is started over is said to be rewritten
    busy = os.getloadavg()[0]
    with running_azurite() as azurite:
        connection = azurite.connection_string
        costs = [measure(connection, form, sink, count // part) for form, sink, part in EVENTS]
        looked_at_s = listed_s(connection, LISTED)
    (gzip,) = (one for one in costs if one.sink == "gzip")
    found = {
        "day": f"{datetime.now(UTC):%-d %B %Y}",
        "machine": machine()
        + ("" if busy < 1 else f", busy with other work (a load of {busy:.0f})")
        + "; Azurite on the same machine",
        "events": {one.name: asdict(one) for one in costs},
        "listed_s": looked_at_s,
        "timer_interfaces": max_interfaces(gzip.processor_s, looked_at_s),
    }
    MEASURED_JSON.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    # In a process of its own, since what reckons with the figures reads them when it is imported.
    subprocess.run([sys.executable, "-m", "bench.scale.docs"], check=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
