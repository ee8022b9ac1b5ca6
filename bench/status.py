"""What a look of `flowlog status` costs: calls and processor time, beside the bare listing.

    python -m bench.status [--blobs 10000]

The blobs and their checkpoints are in Azurite, and everything is forwarded. The bare listing and
the look take turns in one run, so what is judged is their ratio.
"""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from statistics import median

from azure.storage.blob import ContainerClient

from bench.harness.azurite import CountingTransport, service_of
from bench.harness.figures import markdown, timed
from bench.harness.logs import HOUR, blob_ref
from flowlog_core.checkpoints.checkpoint import Checkpoint, Progress, checkpoint_key
from flowlog_core.cli.status import sight_of
from flowlog_core.demo.azurite import ACCOUNT, running_azurite
from flowlog_core.operate.look import look
from flowlog_core.service import Service
from flowlog_core.testing.interface import Interface

INTERFACES = 100
TURNS = 5


def write_all(service: Service, container: ContainerClient, blobs: int) -> None:
    """So many forwarded blobs."""
    container.create_container()

    def write(number: int) -> None:
        interface = Interface.nsg(number % INTERFACES + 1)
        blob = blob_ref(interface, HOUR - timedelta(hours=number // INTERFACES), ACCOUNT)
        said = container.upload_blob(blob.name, b'{"records":[]}').get_blob_properties()
        progress = Progress(offset=12, etag=str(said.etag), blob_last_modified=said.last_modified)
        service.pipeline.checkpoints.create(checkpoint_key(blob), Checkpoint(str(blob), progress))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(blobs)))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blobs", type=int, default=10_000)
    blobs = parser.parse_args().blobs
    with running_azurite() as azurite:
        transport = CountingTransport()
        service = service_of(azurite.connection_string, transport)
        settings = service.settings
        account = service.clients.blobs(settings.sources[0])
        container = account.get_container_client(settings.nsg_container)
        write_all(service, container, blobs)
        sight = sight_of(settings, service)

        def listing() -> None:
            """The calls that nobody can do without, by the SDK alone."""
            for _ in container.list_blobs(results_per_page=5000).by_page():
                pass

        listings, looks = [], []
        for _ in range(TURNS):
            listings.append(timed(listing))
            transport.start_over()
            status = look(sight)
            if (status.totals.blobs, status.totals.lag_s) != (blobs, 0.0):
                raise SystemExit(f"the figures would mean nothing: {status.totals}")
            calls = transport.requests.total()
            looks.append(timed(lambda: look(sight)))
        rows = [
            (what, *(f"{median(column):.2f}" for column in zip(*times, strict=True)))
            for what, times in (("listing alone", listings), ("status", looks))
        ]
        print(f"## Status\n\n{blobs:,} blobs\n")
        print(markdown(" | processor s | s", rows))
        ratio = median(a.processor_s / b.processor_s for a, b in zip(looks, listings, strict=True))
        print(f"\nProcessor time, ratio: {ratio:.1f}. Calls: {calls}")
        print(f"Machine load {os.getloadavg()[0]:.1f}")
        service.close()


if __name__ == "__main__":
    main()
