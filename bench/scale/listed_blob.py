"""What a sweep spends on a blob that is not behind, measured with the real service on Azurite."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from statistics import median

from bench.harness.azurite import service_of
from bench.harness.logs import blob_of, entries_of, one_of
from flowlog_core.operate.catch_up import catch_up

ROUNDS = 3


def listed_s(connection: str, interfaces: int) -> float:
    """Processor seconds a blob: its share of a page of the listing and of one of checkpoints."""
    service = service_of(connection, FLOWLOG_CHECKPOINT_TABLE="checkpointslisted")
    settings = service.settings
    blobs = service.clients.blobs(settings.sources[0])
    container = blobs.get_container_client(settings.vnet_container)
    if not container.exists():
        container.create_container()
    (entry,) = entries_of("vnet4", 1, 1)
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    for number in range(interfaces):
        container.upload_blob(one_of(9, number).blob_name(now), blob_of([entry]))
    catch_up(service, threading.Event())
    took_s = []
    for _ in range(ROUNDS):
        started_s = time.process_time()
        report = service.sweep()
        took_s.append((time.process_time() - started_s) / report.looked_at)
        if report.behind or report.looked_at < interfaces:
            raise SystemExit(f"not the sweep that was to be measured: {report}")
    service.close()
    return median(took_s)
