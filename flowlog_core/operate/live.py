"""What the commands that forward use of the live service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from flowlog_core.pipeline import Pipeline
from flowlog_core.source.listing import BlobLister
from flowlog_core.sweep.cursor import Container, CursorStore
from flowlog_core.sweep.options import Runner


@dataclass(frozen=True, slots=True)
class Live:
    """The live service's storage. Tests replace it with fakes."""

    lister: BlobLister
    pipeline: Pipeline
    cursors: CursorStore
    containers: Sequence[Container]
    parallel: Runner
    """Works on several blobs at a time."""

    def now(self) -> datetime:
        """The storage service's time. Raises a `StorageError`."""
        return self.cursors.get(self.containers[0]).server_time
