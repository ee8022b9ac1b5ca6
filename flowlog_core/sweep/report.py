"""What a sweep found and did."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from flowlog_core.blob import BlobRef
from flowlog_core.outcome import Outcome
from flowlog_core.source.listing import Others
from flowlog_core.sweep.cursor import Container

Counted = Literal["looked_at", "behind", "forwarded", "failed", "backing_off"]
"""What a report counts of each container."""

MAX_NAMED = 20
"""How many blobs that are still behind a report names."""


@dataclass(slots=True)
class SweepReport:
    """Counts of blobs, then of what was forwarded of them."""

    looked_at: int = 0
    behind: int = 0
    """Blobs that had something new and were due."""
    forwarded: int = 0
    left_to_others: int = 0
    """Another worker holds their claims, or took them in the meantime."""
    archived: int = 0
    """Behind, but in the archive tier, where they cannot be read; skipped until rehydrated."""
    archived_example: str = ""
    failed: int = 0
    """Blobs that failed, and containers that could not be listed."""
    backing_off: int = 0
    """Blobs that failed before and are not due again yet."""
    not_flow_logs: int = 0
    """Blobs, of those listed, that are not named like a flow log."""
    not_flow_logs_example: str = ""
    missing: list[str] = field(default_factory=list)
    """Containers that do not exist, as ACCOUNT/CONTAINER."""
    still_behind: list[BlobRef] = field(default_factory=list)
    """The first of those that failed or are not due again yet, at most `MAX_NAMED`."""
    older: int = 0
    """Behind, but of hours that were only looked at: see `SweepOptions.forward_since`."""
    older_bytes: int = 0
    """How many bytes of those are not forwarded."""
    oldest: datetime | None = None
    """The earliest hour among them."""
    entries: int = 0
    records: int = 0
    dead_letters: int = 0
    new_bytes: int = 0
    is_whole: bool = True
    """False if the sweep ended early: its time was up, or another sweep was running; or if it could
    not look for claims that ran out."""
    by_container: Counter[tuple[Container, Counted]] = field(default_factory=Counter)
    """What the latest sweep counted of each container."""

    def count(self, what: Counted, container: Container, blobs: int = 1) -> None:
        """Count blobs of a container."""
        if blobs:
            setattr(self, what, getattr(self, what) + blobs)
            self.by_container[container, what] += blobs

    def add_archived(self, blob: BlobRef) -> None:
        """Count a blob that is behind and cannot be read."""
        self.archived += 1
        self.archived_example = self.archived_example or str(blob)

    def add_still_behind(self, blob: BlobRef) -> None:
        """Name a blob that failed, or is not due again yet."""
        if len(self.still_behind) < MAX_NAMED:
            self.still_behind.append(blob)

    def add_not_flow_logs(self, account: str, container: str, others: Others) -> None:
        """Count blobs that are not named like a flow log."""
        self.not_flow_logs += others.blobs
        if others.blobs and not self.not_flow_logs_example:
            self.not_flow_logs_example = f"{account}/{container}/{others.example}"

    def add_older(self, blob: BlobRef, behind_bytes: int) -> None:
        """Count a blob that is behind, and too old to be forwarded now."""
        self.older += 1
        self.older_bytes += behind_bytes
        self.oldest = min(blob.log.hour, self.oldest or blob.log.hour)

    @property
    def archived_warning(self) -> str:
        """A sentence for the log if `archived` is not 0."""
        return (
            f"{self.archived} blobs have new data but are in the archive tier and cannot be read, "
            f"for example {self.archived_example}"
        )

    def add(self, container: Container, outcome: Outcome) -> None:
        """Count what one call of `ingest` did."""
        if outcome.is_left_to_others:
            self.left_to_others += 1
        else:
            self.count("forwarded", container)
        self.entries += outcome.entries
        self.records += outcome.records
        self.dead_letters += outcome.dead_letters
        self.new_bytes += outcome.new_bytes

    def __str__(self) -> str:
        return (
            f"{self.looked_at} blobs looked at, {self.behind} behind, {self.forwarded} forwarded, "
            f"{self.failed} failed, {self.backing_off} left for later after failures, "
            f"{self.left_to_others} left to other workers, {self.archived} archived: "
            f"{self.entries} entries, {self.records} records, {self.dead_letters} dead letters, "
            f"{self.new_bytes} new bytes" + ("" if self.is_whole else "; to be continued")
        )
