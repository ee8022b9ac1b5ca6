"""Forwarding what a sweep found behind, several blobs at a time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from datetime import datetime

from flowlog_core.blob import BlobRef
from flowlog_core.pipeline import Pipeline
from flowlog_core.sweep.behind import SETTLED_AFTER
from flowlog_core.sweep.cursor import Container
from flowlog_core.sweep.options import IngestOne, Runner
from flowlog_core.sweep.report import SweepReport

log = logging.getLogger(__name__)


def forward_each(
    pipeline: Pipeline,
    parallel: Runner,
    report: SweepReport,
    ingest_one: IngestOne,
    blobs: Iterable[BlobRef],
    now: datetime,
) -> tuple[int, list[BlobRef]]:
    """Forward blobs and count them in the report.

    Returns how many there were, and those that failed or that another worker has.
    """
    unfinished: list[BlobRef] = []
    lock = threading.Lock()

    def forward(blob: BlobRef) -> None:
        settled = now - blob.log.hour >= SETTLED_AFTER
        try:
            outcome = ingest_one(blob, pipeline, final=settled, always_take_over=True)
        except Exception:
            # Whatever it is, it must not keep the other blobs from their turn. `ingest` has
            # logged it; the blob's checkpoint counts the attempts and makes it wait.
            log.debug("failed %s", blob, exc_info=True)
            with lock:
                report.count("failed", Container.of(blob))
                report.add_still_behind(blob)
                unfinished.append(blob)
        else:
            with lock:
                report.add(Container.of(blob), outcome)
                if outcome.is_left_to_others:
                    unfinished.append(blob)

    return parallel(blobs, forward), unfinished
