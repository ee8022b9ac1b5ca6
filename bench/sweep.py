"""What a sweep costs if nothing is behind: storage calls, and processor time.

    python -m bench.sweep [--interfaces 1000]

For the calls, storage is in memory and counts requests as an account would: a page of a listing
holds 5,000 blobs, a page of a query 1,000 checkpoints. For the processor time, a stand-in for the
account answers from another process (harness/sweep_account.py). The yardstick, in the same run, is
the SDK's own listing and query of the same blobs, which is what a sweep did until decision 0024.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from bench.harness.azurite import service_of
from bench.harness.figures import markdown, timed
from bench.harness.logs import blob_ref, one_of
from bench.harness.sweep_account import ACCOUNT, CONTAINER
from flowlog_core.blob import BlobRef
from flowlog_core.checkpoints.checkpoint import Checkpoint, Progress, checkpoint_key
from flowlog_core.ingest import Pipeline
from flowlog_core.parallel import Parallel
from flowlog_core.service import Service
from flowlog_core.sweep.cursor import Container
from flowlog_core.sweep.options import SweepOptions
from flowlog_core.sweep.report import SweepReport
from flowlog_core.sweep.sweep import Sweep
from flowlog_core.testing.generate import Interface
from flowlog_core.testing.memory import (
    ManualClock,
    MemoryBlobs,
    MemoryCheckpoints,
    MemoryCursors,
    MemoryDeadLetters,
    MemorySink,
    service_time,
)

HOURS = 24
NOW_S = 40 * 24 * 3600.0


def one_network(number: int) -> Interface:
    """Its interfaces share a folder."""
    return one_of(1, number)


def group_each(number: int) -> Interface:
    """Each has a folder of its own, the worst layout for any listing."""
    return Interface.nsg(number + 1)


LAYOUTS = (
    ("one network", one_network, 400, 25),
    ("one network", one_network, 4000, 25),
    ("one network", one_network, 140, 720),
    ("a security group each", group_each, 400, 25),
    ("a security group each", group_each, 140, 720),
)


def calls(interface: Callable[[int], Interface], interfaces: int, hours: int) -> list[str]:
    """Cells: with logs of so many hours, a sweep of 24 whole hours, then one without closed hours.

    Each has how many blobs it looked at, its listing calls and its pages of checkpoints.
    """
    clock = ManualClock(NOW_S)
    blobs, checkpoints = MemoryBlobs(clock), MemoryCheckpoints(clock)
    for hour in range(hours):
        for number in range(interfaces):
            blob = blob_ref(interface(number), service_time(clock) - timedelta(hours=hour))
            blobs.put(blob, b"{}")
            progress = Progress(offset=2, etag=blobs.read(blob, 0, 1, None).etag)
            checkpoints.create(checkpoint_key(blob), Checkpoint(str(blob), progress))
    pipeline = Pipeline(blobs, checkpoints, MemorySink(), MemoryDeadLetters(), 180, clock)
    parallel = Parallel(1)
    cursors = MemoryCursors(clock)
    container = Container("account", interface(0).container)
    options = SweepOptions([container], HOURS, untouched_for_s=0)
    counts: list[int] = []
    for _ in range(2):
        blobs.calls.clear()
        checkpoints.calls.clear()
        report = Sweep(blobs, pipeline, cursors, options, parallel).run()
        if report.behind:
            raise SystemExit("something was behind: the figures would mean nothing")
        listings = blobs.calls["page"] + blobs.calls["folders"]
        counts += [report.looked_at, listings, checkpoints.calls["forwarded"]]
    parallel.close()
    return [f"{one:,}" for one in (interfaces * hours, *counts)]


@contextmanager
def account_of(interfaces: int) -> Iterator[Service]:
    """A service whose account and table are a stand-in's, with logs of so many interfaces."""
    sizes = map(str, (interfaces, HOURS))
    command = [sys.executable, "-m", "bench.harness.sweep_account", *sizes]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            port = server.stdout.readline().strip() if server.stdout else ""
            at = f"http://127.0.0.1:{port}/{ACCOUNT}"
            text = (
                f"AccountName={ACCOUNT};AccountKey=Zm9v;"
                f"BlobEndpoint={at};QueueEndpoint={at};TableEndpoint={at}"
            )
            service = service_of(text, FLOWLOG_SWEEP_HOURS=str(HOURS - 1))
            yield service
            service.close()
        finally:
            server.kill()


def by_the_sdk(service: Service) -> None:
    """List all blobs of one network and query its checkpoints, with the SDK's models."""
    blobs = service.clients.blobs(service.settings.sources[0])
    listed = list(blobs.get_container_client(CONTAINER).list_blobs(results_per_page=5000))
    blob = BlobRef.parse(f"{ACCOUNT}/{CONTAINER}/{listed[0].name}")
    if blob is None:
        raise SystemExit(f"cannot be read: {listed[0].name}")
    table = service.clients.table(service.settings.state, service.settings.checkpoint_table)
    query = "PartitionKey eq @partition and RowKey ge '' and RowKey le '~'"
    partition = {"partition": checkpoint_key(blob).partition}
    if len(list(table.query_entities(query, parameters=partition))) != len(listed):
        raise SystemExit("not every blob has its checkpoint: the figures would mean nothing")


def measure_processor(interfaces: int) -> None:
    """Print the processor time of a sweep, whole and as eleven of twelve are."""
    with account_of(interfaces) as service:
        blobs = interfaces * HOURS
        sdk_s = timed(lambda: by_the_sdk(service)).processor_s
        reports: list[SweepReport] = []
        seconds = [timed(lambda: reports.append(service.sweep())).processor_s for _ in range(3)]
    if reports[0].looked_at != blobs or any(one.behind for one in reports):
        raise SystemExit(f"the figures would mean nothing: {reports}")
    usual_s = min(seconds[1:])
    hourly_s = (seconds[0] + 11 * usual_s) / 12
    print(f"\nOne network, {blobs:,} blobs of {HOURS} hours\n")
    rows = [
        (what, looked_at, f"{s:.2f}", f"{s / blobs * 1e6:.0f}", f"{s / sdk_s:.3f}")
        for what, looked_at, s in (
            ("listing and query by the SDK", blobs, sdk_s),
            ("sweep of the whole window, once an hour", blobs, seconds[0]),
            ("sweep without closed hours", reports[1].looked_at, usual_s),
            ("mean of the twelve of an hour", "", hourly_s),
        )
    ]
    print(markdown(" | looked at | processor s | µs a blob of the window | part", rows))
    print(f"\nMachine load {os.getloadavg()[0]:.1f}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--interfaces", type=int, default=1000)
    interfaces = parser.parse_args().interfaces
    print(
        "## The sweep\n\nNothing behind; the last 24 hours and the open one. Once an hour, then\n"
    )
    each = "looked at | listings | table pages"
    rows = [(layout, *calls(of, number, hours)) for layout, of, number, hours in LAYOUTS]
    print(markdown(f"layout | blobs in all | {each} | {each}", rows))
    measure_processor(interfaces)


if __name__ == "__main__":
    main()
