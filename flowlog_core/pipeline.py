"""What `ingest` works with, what it tells, and to whom."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol
from uuid import uuid4

import orjson

from flowlog_core.appended import CHUNK_BYTES, LogReader
from flowlog_core.checkpoint import BlobRef, CheckpointStore
from flowlog_core.clock import Clock, SystemClock
from flowlog_core.dead_letter import DeadLetterStore
from flowlog_core.sinks import Sink

if TYPE_CHECKING:
    from flowlog_core.traffic import Traffic

log = logging.getLogger(__name__)

Step = Literal["read", "normalize", "send", "checkpoint"]


@dataclass(slots=True)
class Outcome:
    """What one call of `ingest` did, and committed. The counts are of this call alone."""

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
    traffic: Traffic | None = field(default=None, compare=False)
    """The sums of what was forwarded; None where nothing was, or nobody wants to know."""

    def take_traffic(self, traffic: Traffic | None) -> None:
        """Count the sums of what is now forwarded too."""
        if self.traffic is None:
            self.traffic = traffic
        elif traffic is not None:
            self.traffic.merge(traffic)


@dataclass(frozen=True, slots=True)
class Failed:
    """That a call of `ingest` raised."""

    offset: int
    """What is committed of the blob."""
    attempts: int | None
    """How often it failed since it last went well; None where that could not be stored."""
    error: BaseException
    outcome: Outcome = field(default_factory=Outcome, compare=False)
    """What was done, and committed, before that."""


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
    """One line a blob in the log: what became of it, its name, then `key=value` fields.

    The Functions host is handed the text of a line and nothing else, so whatever is to be queried
    stands in the text. The same fields are the record's attribute `fields`, beside the blob's
    account, container and name, for a log that is written as JSON.
    """

    def done(self, blob: BlobRef, outcome: Outcome) -> None:
        """See `Observer.done`."""
        fields = {
            "entries": outcome.entries,
            "records": outcome.records,
            "messages": outcome.parcels,
            "dead_letters": outcome.dead_letters,
            "new_bytes": outcome.new_bytes,
            "backlog_bytes": outcome.backlog_bytes,
            "rewrites": outcome.rewrites,
            "conflicts": outcome.conflicts,
            "lag_s": outcome.lag_s,
        }
        self._tell(
            logging.INFO,
            outcome.how,
            blob,
            fields | {f"{step}_s": took_s for step, took_s in outcome.seconds.items()},
        )

    def failed(self, blob: BlobRef, failed: Failed) -> None:
        """See `Observer.failed`."""
        fields = {
            "offset": failed.offset,
            "attempt": failed.attempts,
            "error_type": type(failed.error).__name__,
            "error": str(failed.error),
        }
        self._tell(logging.ERROR, "failed", blob, fields)

    @staticmethod
    def _tell(level: int, how: str, blob: BlobRef, fields: dict[str, Any]) -> None:
        text = " ".join(f"{k}={_text(v)}" for k, v in fields.items() if v is not None)
        place = {"account": blob.account, "container": blob.container, "blob": blob.name}
        extra = {"fields": {"how": how, **place, **fields}}
        log.log(level, "%s %s: %s", how, blob, text, extra=extra)


def _text(value: object) -> str:
    """A field's value: to the millisecond, or in quotes where it could hold spaces."""
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, str) and not value.isidentifier():
        return orjson.dumps(value).decode()
    return str(value)


class Observers:
    """Several observers as one; each hears of everything, in order."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def done(self, blob: BlobRef, outcome: Outcome) -> None:
        """See `Observer.done`."""
        for observer in self._observers:
            observer.done(blob, outcome)

    def failed(self, blob: BlobRef, failed: Failed) -> None:
        """See `Observer.failed`."""
        for observer in self._observers:
            observer.failed(blob, failed)


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
    new_traffic: Callable[[], Traffic | None] = lambda: None
    """Makes what sums up flow records, for an observer that wants the `traffic` of an outcome."""
