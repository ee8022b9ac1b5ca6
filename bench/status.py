"""What a look of `flowlog status` costs: calls and processor time, beside the bare listing.

    python -m bench.status [--blobs 10000]

The blobs and their checkpoints are in Azurite, and everything is forwarded. The bare listing and
the look take turns in one run, so what is judged is their ratio.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from azure.core.pipeline.transport import HttpTransport

from flowlog_core.blob import BlobRef, LogBlob
from flowlog_core.checkpoints.checkpoint import Checkpoint, Progress, checkpoint_key
from flowlog_core.checkpoints.table import _checkpoint_entity
from flowlog_core.cli.status import sight_of
from flowlog_core.config.settings import Settings
from flowlog_core.demo.azurite import ACCOUNT, Azurite, running_azurite
from flowlog_core.operate.look import look
from flowlog_core.service import Service
from flowlog_core.storage.clients import Clients
from flowlog_core.storage.transport import make_transport
from flowlog_core.testing.interface import Interface

HOUR = datetime(2026, 1, 31, 9, tzinfo=UTC)
INTERFACES = 100
TURNS = 5


class Counting:
    """A transport that counts requests by method and service."""

    def __init__(self, inner: HttpTransport[Any, Any]) -> None:
        self._inner, self.calls = inner, Counter[str]()

    def send(self, request: Any, **options: Any) -> Any:
        """See `HttpTransport.send`."""
        port = request.url.split(":")[2].split("/")[0]
        self.calls[f"{request.method} {port}"] += 1
        return self._inner.send(request, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def written(azurite: Azurite, blobs: int) -> Service:
    """An installation with so many forwarded blobs."""
    name = uuid4().hex[:12]
    settings = {
        "FlowLogs": azurite.connection_string,
        "AzureWebJobsStorage": azurite.connection_string,
        "FLOWLOG_NSG_CONTAINER": f"nsg{name}",
        "FLOWLOG_VNET_CONTAINER": f"vnet{name}",
        "FLOWLOG_CHECKPOINT_TABLE": f"checkpoints{name}",
        "FLOWLOG_QUEUE": f"queue{name}",
    }
    parsed = Settings.from_environment(settings)
    transport: Any = Counting(make_transport(connect_s=5, call_s=30, max_connections=16))
    service = Service(parsed, Clients(parsed, transport=transport))
    container = service.clients.blobs(parsed.sources[0]).get_container_client(f"nsg{name}")
    container.create_container()
    table = service.clients.table(parsed.state, parsed.checkpoint_table)
    table.create_table()
    with ThreadPoolExecutor(8) as pool:

        def put(number: int) -> None:
            interface = Interface.nsg(number % INTERFACES + 1)
            log = LogBlob.parse(interface.blob_name(HOUR - timedelta(hours=number // INTERFACES)))
            if log is None:
                raise SystemExit("a name that is none")
            said = container.upload_blob(log.name, b'{"records":[]}').get_blob_properties()
            blob = BlobRef(ACCOUNT, f"nsg{name}", log)
            progress = Progress(
                offset=12, etag=str(said.etag), blob_last_modified=said.last_modified
            )
            table.create_entity(
                _checkpoint_entity(checkpoint_key(blob), Checkpoint(str(blob), progress))
            )

        list(pool.map(put, range(blobs)))
    return service


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of processor time, and seconds."""
    processor, clock = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - processor, time.perf_counter() - clock


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blobs", type=int, default=10_000)
    blobs = parser.parse_args().blobs
    with running_azurite() as azurite:
        began = time.perf_counter()
        service = written(azurite, blobs)
        print(f"## Status\n\n{blobs:,} blobs in {time.perf_counter() - began:.0f} s\n")
        sight = sight_of(service.settings, service)
        transport: Any = service.clients._transport

        def listing() -> None:
            """The calls that nobody can do without, by the SDK alone."""
            client = service.clients.blobs(service.settings.sources[0])
            for name in service.settings.containers:
                try:
                    pages = client.get_container_client(name).list_blobs(results_per_page=5000)
                    for _ in pages.by_page():
                        pass
                except Exception as error:
                    if "ContainerNotFound" not in str(error):
                        raise

        listings, looks = [], []
        for _ in range(TURNS):
            listings.append(timed(listing))
            transport.calls.clear()
            status = look(sight)
            if (status.totals.blobs, status.totals.lag_s) != (blobs, 0.0):
                raise SystemExit(f"the figures would mean nothing: {status.totals}")
            calls = dict(transport.calls)
            looks.append(timed(lambda: look(sight)))
        print("| | processor s | s |\n|---|--:|--:|")
        for what, times in (("listing alone", listings), ("status", looks)):
            each = [statistics.median(column) for column in zip(*times, strict=True)]
            print(f"| {what} | {each[0]:.2f} | {each[1]:.2f} |")
        ratios = [look[0] / one[0] for look, one in zip(looks, listings, strict=True)]
        print(f"\nProcessor time, ratio: {statistics.median(ratios):.1f}. Calls: {calls}")
        print(f"Machine load {os.getloadavg()[0]:.1f}")
        service.close()


if __name__ == "__main__":
    main()
