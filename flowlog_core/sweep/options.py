"""What a sweep is given: what it looks at, how long it may take, and what forwards a blob."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from flowlog_core.blob import BlobRef
from flowlog_core.outcome import Outcome
from flowlog_core.pipeline import Pipeline
from flowlog_core.sweep.cursor import Container

Runner = Callable[[Iterable[BlobRef], Callable[[BlobRef], object]], int]
"""Does something with each blob, several at a time or one after the other, and returns how many
there were: a `Parallel`. A blob is drawn when there is room for it."""


class IngestOne(Protocol):
    """What is done with a blob that is behind: `ingest`."""

    def __call__(
        self, blob: BlobRef, pipeline: Pipeline, *, final: bool, always_take_over: bool
    ) -> Outcome:
        """See `ingest`."""
        ...


@dataclass(frozen=True, slots=True)
class SweepOptions:
    """What a sweep looks at, and how long it may take."""

    containers: Sequence[Container]
    hours: int
    """How far back, in addition to the current hour."""
    since: datetime | None = None
    """Look back to here, once: until a pass has gone through all of it."""
    untouched_for_s: float = 120
    """Skip younger commits: their events are on the way."""
    waits_after_failures: bool = True
    """Skip failed blobs until `try_again_at`. Commands of operators do not."""
    max_s: float = 240
    """End after this time, but not before the sweep has made progress."""
    young_hours: int = 0
    """Forward first what is behind in hours that began less than so many hours ago."""
    until: datetime | None = None
    """Hours that begin after it are left out."""
    only: Callable[[BlobRef], bool] = lambda _: True
    """Which blobs are looked at."""
    forward_since: datetime | None = None
    """What is behind in older hours is counted, and not forwarded."""

    def young_since(self, now: datetime) -> datetime:
        """The first hour that began less than `young_hours` ago."""
        oldest = now - timedelta(hours=self.young_hours)
        return oldest.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
