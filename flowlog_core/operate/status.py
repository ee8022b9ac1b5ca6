"""What one look at an installation found: is forwarding keeping up, and what is in the way.

Everything that could not be seen is named in `Status.unknown`, and the totals that depend on it are
None: a number that is too low would say that all is well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from flowlog_core.sinks.depth import QueueDepth
from flowlog_core.sweep.cursor import Container


class FailingBlob(NamedTuple):
    """A blob whose last attempt failed."""

    blob: str
    error: str
    attempts: int
    next_try: datetime
    """When the sweep tries it again; an event tries it at once."""


class ClaimHeld(NamedTuple):
    """A blob that a worker has claimed and not released."""

    blob: str
    until: datetime
    has_run_out: bool
    """Its worker ended, or is suspended."""


@dataclass(slots=True)
class ResourceStatus:
    """The flow logs of one resource in one container."""

    account: str
    container: str
    resource_id: str
    newest_hour: datetime
    blobs: int = 0
    blobs_behind: int = 0
    bytes_behind: int = 0
    lag_s: float = 0.0
    """The age of the oldest committed byte that is not forwarded: an upper bound, too long by less
    than the time between two commits. 0 if everything is forwarded."""
    archived: int = 0
    """Blobs that are behind and in the archive tier, where they cannot be read. Counted nowhere
    else."""
    dead_letters: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    """Of the dead letters whose reasons were read."""
    failing: list[FailingBlob] = field(default_factory=list)
    claims: list[ClaimHeld] = field(default_factory=list)
    dropped: int = 0
    """Tuples of these blobs that a rule dropped, since each was first read."""

    @property
    def is_troubled(self) -> bool:
        """Whether there is anything to look at."""
        return bool(self.blobs_behind or self.failing or self.dead_letters or self.archived)


@dataclass(frozen=True, slots=True)
class SweepStatus:
    """When all of one container was last looked at."""

    container: Container
    last_whole: datetime | None
    """When a pass of the sweep last ended that listed its whole window; None if none is known."""
    last_look: datetime | None = None
    """When `flowlog run` last began a pass that listed everything, noted once a minute."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over everything. None: it cannot be told."""

    blobs: int | None
    blobs_behind: int | None
    bytes_behind: int | None
    lag_s: float | None
    """The longest of any resource."""
    archived: int | None
    failing: int | None
    claims: int | None
    dead_letters: int | None
    queue_messages: int | None
    """0 where the sink is a table."""
    queue_oldest_s: float | None
    """None also where no message waits."""
    dropped: int | None
    """Tuples that a rule dropped."""

    @classmethod
    def of(
        cls,
        rows: Sequence[ResourceStatus],
        *,
        letters: int | None,
        queues: Sequence[QueueDepth] | None,
        sees_blobs: bool,
        sees_lag: bool,
    ) -> Totals:
        """Sums of `rows`, which may miss some blobs, or know nothing of checkpoints."""
        ages = [one.oldest_s for one in queues or () if one.oldest_s is not None]
        return cls(
            blobs=sum(row.blobs for row in rows) if sees_blobs else None,
            blobs_behind=sum(row.blobs_behind for row in rows) if sees_lag else None,
            bytes_behind=sum(row.bytes_behind for row in rows) if sees_lag else None,
            lag_s=max((row.lag_s for row in rows), default=0.0) if sees_lag else None,
            archived=sum(row.archived for row in rows) if sees_lag else None,
            failing=sum(len(row.failing) for row in rows) if sees_lag else None,
            claims=sum(len(row.claims) for row in rows) if sees_lag else None,
            dead_letters=letters,
            queue_messages=None if queues is None else sum(one.messages for one in queues),
            queue_oldest_s=max(ages, default=None),
            dropped=sum(row.dropped for row in rows) if sees_lag else None,
        )


@dataclass(frozen=True, slots=True)
class Status:
    """What one look found."""

    at: datetime
    """The end of the look, by the storage service's clock."""
    totals: Totals
    resources: Sequence[ResourceStatus]
    """Those with the most trouble first."""
    reasons: Counter[str]
    """Why input could not be read, of the newest dead letters."""
    queues: Sequence[QueueDepth]
    sweeps: Sequence[SweepStatus]
    sees_checkpoints: bool
    """Whether what `resources` say of lag, failures and claims is known."""
    unknown: Sequence[str]
    """What could not be seen, a sentence each."""
