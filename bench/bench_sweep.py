"""How many storage calls a sweep makes if nothing is behind, for 10,000 and 100,000 blobs.

    python -m bench.bench_sweep

Storage is in memory and counts requests as an account would: a page of a listing holds 5,000 blobs,
a page of a query 1,000 checkpoints.
"""

from __future__ import annotations

import re
from datetime import timedelta

from flowlog_core.blob import BlobRef, LogBlob
from flowlog_core.checkpoints.checkpoint import Checkpoint, Progress, checkpoint_key
from flowlog_core.ingest import Pipeline
from flowlog_core.parallel import Parallel
from flowlog_core.sweep.cursor import Container
from flowlog_core.sweep.options import SweepOptions
from flowlog_core.sweep.sweep import Sweep
from flowlog_core.testing.generate import Interface
from flowlog_core.testing.memory import (
    EPOCH,
    ManualClock,
    MemoryBlobs,
    MemoryCheckpoints,
    MemoryCursors,
    MemoryDeadLetters,
    MemorySink,
)

NOW_S = 40 * 24 * 3600.0
ROWS_A_PAGE = 1000


class PagedCheckpoints(MemoryCheckpoints):
    """Counts the pages that a table would send."""

    pages = 0

    def between(self, partition: str, first: str, last: str) -> dict[str, Checkpoint]:
        """See `CheckpointStore.between`."""
        rows = super().between(partition, first, last)
        self.pages += max(1, -(-len(rows) // ROWS_A_PAGE))
        return rows


def measure(kind: str, interfaces: int, hours: int, swept_hours: int) -> None:
    """Print one line: so many interfaces, logs of so many hours in the account."""
    clock = ManualClock(NOW_S)
    blobs, checkpoints = MemoryBlobs(clock), PagedCheckpoints(clock)
    now = EPOCH + timedelta(seconds=NOW_S)
    network = Interface.vnet(1)
    for hour in range(hours):
        for number in range(interfaces):
            one = network if kind == "one network" else Interface.nsg(number + 1)
            name = one.blob_name(now - timedelta(hours=hour))
            if kind == "one network":
                name = re.sub("macAddress=[^/]*", f"macAddress=0022{number:08X}", name)
            log = LogBlob.parse(name)
            if log is None:
                raise SystemExit(f"cannot be read: {name}")
            blob = BlobRef("account", "logs", log)
            blobs.put(blob, b"{}")
            etag = blobs.read(blob, 0, 1, None).etag
            key = checkpoint_key(blob)
            checkpoints.create(key, Checkpoint(str(blob), Progress(offset=2, etag=etag)))
    pipeline = Pipeline(blobs, checkpoints, MemorySink(), MemoryDeadLetters(), 180, clock)
    parallel = Parallel(1)
    cursors = MemoryCursors(clock)
    options = SweepOptions([Container("account", "logs")], swept_hours, untouched_for_s=0)
    report = Sweep(blobs, pipeline, cursors, options, parallel).run()
    if report.behind:
        raise SystemExit("something was behind: the figures would mean nothing")
    blobs.calls.clear()
    checkpoints.pages = 0
    Sweep(blobs, pipeline, cursors, options, parallel).run()
    parallel.close()
    listings = blobs.calls["page"] + blobs.calls["folders"]
    print(
        f"| {kind} | {interfaces * hours:,} | {report.looked_at:,} | {listings:,} "
        f"| {checkpoints.pages:,} |"
    )


def main() -> None:
    """Print the table."""
    print("## The sweep\n\nNothing behind; the last 24 hours and the open one\n")
    print("| layout | blobs in all | looked at | listing calls | table pages |")
    print("|---|---|---|---|---|")
    for kind, interfaces, hours in (
        ("one network", 400, 25),
        ("one network", 4000, 25),
        ("one network", 140, 720),
        ("a security group each", 400, 25),
        ("a security group each", 140, 720),
    ):
        measure(kind, interfaces, hours, 24)


if __name__ == "__main__":
    main()
