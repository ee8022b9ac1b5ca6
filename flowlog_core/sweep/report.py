"""What a sweep looks at, and what it tells of what it did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from flowlog_core.blob import BlobRef
from flowlog_core.outcome import Outcome


class Place(NamedTuple):
    """A container of flow logs in a source account."""

    account: str
    container: str


@dataclass(frozen=True, slots=True)
class Scope:
    """What a sweep looks at, and how long it may take."""

    places: Sequence[Place]
    hours: int
    """How far back, beside the open hour."""
    since: datetime | None = None
    """Further back than that, once: until a sweep has gone through all of it."""
    untouched_for_s: float = 120
    """Leave younger commits alone: their events are on the way."""
    most_s: float = 240
    """No new blob is begun after this; the next sweep goes on from there."""


_AS_FOUND_LAST = (
    *("looked_at", "behind", "left_to_others", "archived", "archived_such_as"),
    *("failed", "backing_off", "is_whole"),
)


@dataclass(slots=True)
class Summary:
    """What a sweep found and did."""

    looked_at: int = 0
    behind: int = 0
    forwarded: int = 0
    left_to_others: int = 0
    """Another worker has them and was told, or took them on the way."""
    archived: int = 0
    """In the archive tier, where they cannot be read; left alone until they are rehydrated."""
    archived_such_as: str = ""
    """The first of these."""
    failed: int = 0
    backing_off: int = 0
    entries: int = 0
    records: int = 0
    dead_letters: int = 0
    new_bytes: int = 0
    is_whole: bool = True
    """False: the time was up, or another sweep is going on."""

    def add_archived(self, blob: BlobRef) -> None:
        """Count one that is behind and cannot be read."""
        self.archived += 1
        self.archived_such_as = self.archived_such_as or str(blob)

    @property
    def told_of_archived(self) -> str:
        """A sentence for the log, where there are some."""
        return (
            f"{self.archived} blobs are behind and in the archive tier, where they cannot be read: "
            f"{self.archived_such_as}"
        )

    def add(self, outcome: Outcome) -> None:
        """Count what one blob came to."""
        if outcome.how in ("handed_over", "claim_lost"):
            self.left_to_others += 1
        else:
            self.forwarded += 1
        self.entries += outcome.entries
        self.records += outcome.records
        self.dead_letters += outcome.dead_letters
        self.new_bytes += outcome.new_bytes

    def __iadd__(self, later: Summary) -> Summary:
        """Add up what was done; what is failing, or left, is as it was found last."""
        for name in ("forwarded", "entries", "records", "dead_letters", "new_bytes"):
            setattr(self, name, getattr(self, name) + getattr(later, name))
        for name in _AS_FOUND_LAST:
            setattr(self, name, getattr(later, name))
        return self

    def __str__(self) -> str:
        return (
            f"{self.looked_at} blobs looked at, {self.behind} behind, {self.forwarded} forwarded, "
            f"{self.failed} failed, {self.backing_off} left for later after failures, "
            f"{self.left_to_others} left to other workers, {self.archived} archived: "
            f"{self.entries} entries, {self.records} records, {self.dead_letters} dead letters, "
            f"{self.new_bytes} new bytes" + ("" if self.is_whole else "; to be continued")
        )
