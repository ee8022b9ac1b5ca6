"""What `ingest` works with, what it tells, and to whom."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol
from uuid import uuid4

from flowlog_core.appended import CHUNK_BYTES, LogReader
from flowlog_core.checkpoint import BlobRef, CheckpointStore
from flowlog_core.clock import Clock, SystemClock
from flowlog_core.dead_letter import DeadLetterStore
from flowlog_core.sinks import Sink

log = logging.getLogger(__name__)

Step = Literal["read", "normalize", "send", "checkpoint"]


@dataclass(slots=True)
class Outcome:
    """What one call of `ingest` did. The counts are of this call alone."""

    how: Literal["forwarded", "rung", "lost", "deleted"] = "forwarded"
    """`rung`: another worker has the blob and was told. `lost`: another took it on the way."""
    entries: int = 0
    records: int = 0
    parcels: int = 0
    dead_letters: int = 0
    new_bytes: int = 0
    rewrites: int = 0
    conflicts: int = field(default=0, compare=False)
    """Writes of the checkpoint that met a newer version of it."""
    backlog_bytes: int = field(default=0, compare=False)
    """How much of the blob was new at the first look."""
    lag_s: float | None = field(default=None, compare=False)
    """From the newest forwarded tuple's own time to the end of its sending; None without one."""
    seconds: defaultdict[Step, float] = field(
        default_factory=lambda: defaultdict(float), compare=False
    )
    """How long each step took."""


@dataclass(frozen=True, slots=True)
class Failed:
    """That a call of `ingest` raised."""

    offset: int
    """What is committed of the blob."""
    attempts: int | None
    """How often it failed since it last went well; None where that could not be stored."""
    error: BaseException


class Observer(Protocol):
    """Hears what became of every blob that was ingested, by an event or by the sweep.

    Called after everything is settled; must not raise.
    """

    def done(self, blob: BlobRef, outcome: Outcome) -> None:
        """`ingest` returned."""
        ...

    def failed(self, blob: BlobRef, failed: Failed) -> None:
        """`ingest` raised."""
        ...


class LogObserver:
    """One line a blob in the log."""

    def done(self, blob: BlobRef, outcome: Outcome) -> None:
        """See `Observer.done`."""
        log.info(
            "%s %s: %d entries, %d records in %d sends, %d dead letters, %d new bytes",
            outcome.how,
            blob,
            outcome.entries,
            outcome.records,
            outcome.parcels,
            outcome.dead_letters,
            outcome.new_bytes,
        )

    def failed(self, blob: BlobRef, failed: Failed) -> None:
        """See `Observer.failed`."""
        log.error(
            "failed %s at offset %d, attempt %s: %s",
            blob,
            failed.offset,
            failed.attempts or "unknown",
            str(failed.error) or type(failed.error).__name__,
        )


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Everything that `ingest` touches outside itself."""

    reader: LogReader
    checkpoints: CheckpointStore
    sink: Sink
    dead_letters: DeadLetterStore
    owned_for_s: float = 180
    clock: Clock = field(default_factory=SystemClock)
    new_owner: Callable[[], str] = lambda: uuid4().hex
    chunk_bytes: int = CHUNK_BYTES
    """How much is read and committed at a time; must be more than a seam's 64 bytes."""
    observer: Observer = field(default_factory=LogObserver)
