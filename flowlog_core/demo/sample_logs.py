"""Sample flow logs under their real names, for an account that has none yet."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import chain

from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import BlobServiceClient

from flowlog_core.config.settings import Settings
from flowlog_core.demo.scenario import flow_logs
from flowlog_core.errors import storage_errors
from flowlog_core.testing.generate import FlowLogGenerator, document


def write_sample_logs(
    blobs: BlobServiceClient,
    settings: Settings,
    now: datetime,
    *,
    interfaces: int,
    hours: int,
    max_tuples: int,
    seed: int,
) -> tuple[list[str], list[str]]:
    """Write the logs of the last `hours` whole hours, one blob for each interface and hour.

    The containers are those that the settings name; they are created on first use. A blob that
    exists is left as it is. Returns the names that were written, and those that exist, each as
    container, `/` and blob name.

    Raises:
        StorageError: the account cannot be reached, or refuses the caller.
    """
    written: list[str] = []
    existing: list[str] = []
    last_hour = now.replace(minute=0, second=0, microsecond=0)
    for number, log in enumerate(flow_logs(interfaces)):
        is_vnet = log.interface.kind == "vnet"
        name_of_container = settings.vnet_container if is_vnet else settings.nsg_container
        container = blobs.get_container_client(name_of_container)
        for back in range(hours, 0, -1):
            hour = last_hour - timedelta(hours=back)
            generator = FlowLogGenerator(seed * 1000 + number * 100 + back)
            appends = log.appends(generator, hour, max_tuples)
            data = document(chain.from_iterable(entries for _, entries in appends))
            name = log.interface.blob_name(hour)
            with storage_errors(f"writing {name_of_container}/{name}"):
                if not container.exists():
                    container.create_container()
                try:
                    container.upload_blob(name, data)
                    written.append(f"{name_of_container}/{name}")
                except ResourceExistsError:
                    existing.append(f"{name_of_container}/{name}")
    return written, existing
