"""What `ingest` reports to observers: an `Outcome` if it returned, a `Failed` if it raised."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from flowlog_core.blob import BlobRef

if TYPE_CHECKING:
    from flowlog_core.observe.traffic import Traffic

Step = Literal["read", "normalize", "send", "checkpoint"]


@dataclass(slots=True)
class Outcome:
    """What one call of `ingest`, or one part of a chunk, forwarded.

    The counts of a call are those of its committed chunks only: what was sent and not committed
    is sent again, and counted then.
    """

    how: Literal["forwarded", "handed_over", "claim_lost", "deleted"] = "forwarded"
    """`handed_over`: another worker holds the claim and forwards the blob. `claim_lost`: another
    worker has taken over the claim. `deleted`: the blob no longer exists."""
    entries: int = 0
    records: int = 0
    dropped: int = field(default=0, kw_only=True)
    """Tuples that were not sent because of a rule: FLOWLOG_KEEP, FLOWLOG_DROP."""
    messages: int = 0
    """Storage calls of the sink: queue messages, or batches of table rows."""
    dead_letters: int = 0
    new_bytes: int = 0
    rewrites: int = 0
    conflicts: int = field(default=0, compare=False)
    """Checkpoint writes that found a newer version."""
    backlog_bytes: int = field(default=0, compare=False)
    """How much of the blob was new when it was first read."""
    lag_s: float | None = field(default=None, compare=False)
    """From the time of the newest forwarded tuple to the end of sending it; None without one."""
    seconds: defaultdict[Step, float] = field(
        default_factory=lambda: defaultdict(float), compare=False
    )
    """How long each step of the call took, committed or not; empty for a chunk."""
    traffic: Traffic | None = field(default=None, compare=False)
    """Summary of the forwarded records; None if there are none, or if summaries are off."""

    @property
    def is_left_to_others(self) -> bool:
        """Whether another worker holds the claim, so that the blob may still be behind."""
        return self.how in ("handed_over", "claim_lost")

    def __iadd__(self, chunk: Outcome) -> Outcome:
        """Add what a chunk forwarded. Call it once the chunk is committed."""
        self.entries += chunk.entries
        self.records += chunk.records
        self.dropped += chunk.dropped
        self.messages += chunk.messages
        self.dead_letters += chunk.dead_letters
        self.new_bytes += chunk.new_bytes
        if chunk.lag_s is not None:
            self.lag_s = chunk.lag_s
        if self.traffic is None:
            self.traffic = chunk.traffic
        elif chunk.traffic is not None:
            self.traffic.merge(chunk.traffic)
        return self


@dataclass(frozen=True, slots=True)
class Failed:
    """A call of `ingest` that raised."""

    offset: int
    """How much of the blob is committed, in bytes."""
    attempts: int | None
    """How often it failed since it last succeeded; None if that could not be stored."""
    error: BaseException
    outcome: Outcome = field(default_factory=Outcome, compare=False)
    """What was forwarded and committed before the failure."""


class Observer(Protocol):
    """Called once for every call of `ingest`, whether an event or the sweep made it.

    The call comes last, after the claim is released. Observers must not raise.
    """

    def done(self, blob: BlobRef, outcome: Outcome) -> None:
        """`ingest` returned."""
        ...

    def failed(self, blob: BlobRef, failed: Failed) -> None:
        """`ingest` raised."""
        ...


class Observers:
    """Several observers as one, called in order."""

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
