"""What a sweep remembers from one time to the next: how far it came, and what it still owes.

A pass goes once through everything in its window; it may take several sweeps. The next pass begins
where the window must begin so that no hour is ever left out: some hours before the last pass began
(however long the app stood still since), or at the oldest hour that still fails.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

import orjson


@dataclass(frozen=True, slots=True)
class SweepPass:
    """The pass that is under way, and what the one before left."""

    began: datetime
    """In the storage service's time."""
    since: datetime
    """The first hour of the window."""
    account: str = ""
    container: str = ""
    name: str = ""
    """Up to this blob of this container everything was looked at; empty at the beginning."""
    oldest_failed: datetime | None = None
    """The earliest hour of a blob that failed or was left for later in this pass."""
    caught_up_since: datetime | None = None
    """What FLOWLOG_CATCH_UP_SINCE said when a pass last covered it."""
    is_over: bool = False

    @classmethod
    def continued(
        cls, note: str, now: datetime, hours: int, catch_up_since: datetime | None
    ) -> SweepPass:
        """The pass that `note` (as `to_note` gives it) left unfinished, or else the next one."""
        last = _from_note(note) if note else None
        if last is not None and not last.is_over:
            return last
        reach = timedelta(hours=hours)
        starts = [_hour(now) - reach]
        caught_up_since = None
        if last is not None:
            starts += [_hour(last.began) - reach, last.oldest_failed or now]
            caught_up_since = last.caught_up_since
        if catch_up_since is not None and catch_up_since != caught_up_since:
            starts.append(catch_up_since)
            caught_up_since = catch_up_since
        return cls(now, min(starts), caught_up_since=caught_up_since)

    def to_note(self) -> str:
        """For `Progress.note`."""
        return orjson.dumps(asdict(self)).decode()

    def at(self, account: str, container: str, name: str) -> SweepPass:
        """The same pass, come as far as `name`."""
        return replace(self, account=account, container=container, name=name)

    def owing(self, hour: datetime) -> SweepPass:
        """The same pass, with a blob of `hour` that is not done."""
        oldest = hour if self.oldest_failed is None else min(hour, self.oldest_failed)
        return replace(self, oldest_failed=oldest)

    def over(self) -> SweepPass:
        """The same pass, at its end."""
        return replace(self, account="", container="", name="", is_over=True)


def _from_note(note: str) -> SweepPass:
    stored = orjson.loads(note)
    for name in ("began", "since", "oldest_failed", "caught_up_since"):
        if stored[name] is not None:
            stored[name] = datetime.fromisoformat(stored[name])
    return SweepPass(**stored)


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
