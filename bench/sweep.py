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
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from bench.harness.sweep_account import ACCOUNT, CONTAINER
from flowlog_core.blob import BlobRef, LogBlob
from flowlog_core.checkpoints.checkpoint import Checkpoint, Progress, checkpoint_key
from flowlog_core.config.settings import Settings
from flowlog_core.ingest import Pipeline
from flowlog_core.parallel import Parallel
from flowlog_core.service import Service
from flowlog_core.sweep.cursor import Container
from flowlog_core.sweep.options import SweepOptions
from flowlog_core.sweep.report import SweepReport
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

HOURS = 24
NOW_S = 40 * 24 * 3600.0
ROWS_A_PAGE = 1000


class PagedCheckpoints(MemoryCheckpoints):
    """Counts the pages that a table would send."""

    pages = 0

    def forwarded(self, partition: str, first: str, last: str) -> dict[str, str]:
        """See `CheckpointStore.forwarded`."""
        rows = super().forwarded(partition, first, last)
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
    counts: list[int] = []
    for _ in range(2):  # of the whole window, then without closed hours
        blobs.calls.clear()
        checkpoints.pages = 0
        report = Sweep(blobs, pipeline, cursors, options, parallel).run()
        if report.behind:
            raise SystemExit("something was behind: the figures would mean nothing")
        listings = blobs.calls["page"] + blobs.calls["folders"]
        counts += [report.looked_at, listings, checkpoints.pages]
    parallel.close()
    print(f"| {kind} | {interfaces * hours:,} | {' | '.join(f'{one:,}' for one in counts)} |")


@contextmanager
def account_of(resources: int, interfaces: int, hours: int) -> Iterator[Service]:
    """A service whose account and table are a stand-in's, with so many blobs."""
    sizes = map(str, (resources, interfaces, hours))
    command = [sys.executable, "-m", "bench.harness.sweep_account", *sizes]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            port = server.stdout.readline().strip() if server.stdout else ""
            at = f"http://127.0.0.1:{port}/{ACCOUNT}"
            text = (
                f"AccountName={ACCOUNT};AccountKey=Zm9v;"
                f"BlobEndpoint={at};QueueEndpoint={at};TableEndpoint={at}"
            )
            connections = {"FlowLogs": text, "AzureWebJobsStorage": text}
            hours_back = {"FLOWLOG_SWEEP_HOURS": str(hours - 1)}
            service = Service(Settings.from_environment(connections | hours_back))
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


def processor_s(work: Callable[[], object]) -> float:
    """Seconds of processor time of this process."""
    began = time.process_time()
    work()
    return time.process_time() - began


def measure_processor(interfaces: int) -> None:
    """Print the processor time of a sweep, whole and as eleven of twelve are."""
    with account_of(1, interfaces, HOURS) as service:
        blobs = interfaces * HOURS
        sdk_s = processor_s(lambda: by_the_sdk(service))
        reports: list[SweepReport] = []
        seconds = [processor_s(lambda: reports.append(service.sweep())) for _ in range(3)]
    if reports[0].looked_at != blobs or any(one.behind for one in reports):
        raise SystemExit(f"the figures would mean nothing: {reports}")
    usual_s = min(seconds[1:])
    hourly = (seconds[0] + 11 * usual_s) / 12
    print(f"\nOne network, {blobs:,} blobs of {HOURS} hours\n")
    print("| | looked at | processor s | us a blob of the window | part |\n|---|--:|--:|--:|--:|")
    for what, looked_at, took_s in (
        ("listing and query by the SDK", blobs, sdk_s),
        ("sweep of the whole window, once an hour", blobs, seconds[0]),
        ("sweep without closed hours", reports[1].looked_at, usual_s),
        ("mean of the twelve of an hour", "", hourly),
    ):
        print(
            f"| {what} | {looked_at} | {took_s:.2f} | {took_s / blobs * 1e6:.0f} "
            f"| {took_s / sdk_s:.3f} |"
        )
    print(f"\nMachine load {os.getloadavg()[0]:.1f}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--interfaces", type=int, default=1000)
    interfaces = parser.parse_args().interfaces
    print(
        "## The sweep\n\nNothing behind; the last 24 hours and the open one. Once an hour, then\n"
    )
    print("| layout | blobs in all | looked at | listings | table pages | looked at | ... | ... |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    for kind, number, hours in (
        ("one network", 400, 25),
        ("one network", 4000, 25),
        ("one network", 140, 720),
        ("a security group each", 400, 25),
        ("a security group each", 140, 720),
    ):
        measure(kind, number, hours, 24)
    measure_processor(interfaces)


if __name__ == "__main__":
    main()
