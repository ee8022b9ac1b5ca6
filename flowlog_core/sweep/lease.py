"""Holding a container's cursor, so that one sweep at a time goes through the container.

The lease is in the cursor's own entity. Nothing depends on it but cost, since every blob has a
claim of its own. A sweep by the timer that finds the lease taken rings, as at a blob's claim, and
returns: the holder looks once more at the youngest hours before its run ends. So nothing waits for
a minute because two runs met.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from flowlog_core.blob import BlobRef
from flowlog_core.errors import ClaimLost, Conflict, Contention
from flowlog_core.pipeline import Pipeline
from flowlog_core.sweep.cursor import Container, Cursor, CursorStore, StoredCursor, next_cursor
from flowlog_core.sweep.options import SweepOptions

_MAX_TRIES = 16
"""A conflict means that another sweep wrote; there are few of them."""


class Pass:
    """A pass whose progress is not stored: it shares no cursor with other sweeps."""

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        """How far the pass has come."""

    def leave(self, blobs: Iterable[BlobRef]) -> None:
        """Note that blobs are left to be done."""
        for blob in blobs:
            self.cursor = self.cursor.with_unfinished(blob.log.hour)

    def now(self) -> datetime:
        """The service's time, or an earlier one."""
        return self.cursor.began

    def save(self) -> None:
        """Store the cursor."""

    def renew(self) -> None:
        """Store it if the lease should be renewed."""


class HeldCursor(Pass):
    """A pass by a stored cursor that one sweep holds. Use `hold`.

    All methods but `now` raise a `StorageError`, and `ClaimLost` if another sweep took the cursor.
    """

    def __init__(
        self,
        store: CursorStore,
        container: Container,
        stored: StoredCursor,
        options: SweepOptions,
        pipeline: Pipeline,
    ) -> None:
        self._store, self._container = store, container
        self._clock, self._owned_for_s = pipeline.clock, pipeline.owned_for_s
        self._owner = pipeline.new_owner()
        self._stored, self._answered = stored, self._clock.monotonic()
        self._rings_at_hold = self._rings
        super().__init__(next_cursor(stored.cursor, self.now(), options.hours, options.since))

    @property
    def _rings(self) -> int:
        return self._stored.cursor.rings if self._stored.cursor else 0

    def now(self) -> datetime:
        """The service's time."""
        passed_s = self._clock.monotonic() - self._answered
        return self._stored.server_time + timedelta(seconds=passed_s)

    def save(self) -> None:
        """Store the cursor and renew the lease."""
        until = self.now() + timedelta(seconds=self._owned_for_s)
        self._put(replace(self.cursor, owner=self._owner, owned_until=until))

    def renew(self) -> None:
        """`save` if the last time is so long ago that the lease should be renewed."""
        if self._clock.monotonic() - self._answered >= self._owned_for_s / 6:
            self.save()

    def release(self) -> bool:
        """Store the cursor and end the lease. Returns whether another sweep rang meanwhile."""
        self._put(replace(self.cursor, owner="", owned_until=None))
        return self._rings != self._rings_at_hold

    def _put(self, cursor: Cursor) -> None:
        for _ in range(_MAX_TRIES):
            wanted = replace(cursor, saved=self.now(), rings=self._rings)
            try:
                stored = self._store.put(self._container, wanted, self._stored.etag)
            except Conflict:
                # Perhaps with a write of this sweep's own, whose answer was lost; or with a ring.
                stored = self._store.get(self._container)
            is_written = stored.cursor == wanted
            if not is_written and (stored.cursor is None or stored.cursor.owner != self._owner):
                raise ClaimLost(f"another sweep took over {'/'.join(self._container)}")
            self._stored, self._answered = stored, self._clock.monotonic()
            if is_written:
                return
        raise _contention(self._container)


def hold(
    store: CursorStore, container: Container, options: SweepOptions, pipeline: Pipeline
) -> HeldCursor | None:
    """Take the lease on a container's cursor, to continue its pass; None if another sweep has it.

    A sweep by the timer rings then: the holder learns of it when it releases the cursor, or before.
    Raises a `StorageError` or `Contention`.
    """
    for _ in range(_MAX_TRIES):
        stored = store.get(container)
        cursor = stored.cursor
        is_held = cursor and cursor.owned_until and stored.server_time < cursor.owned_until
        if cursor and is_held and not pipeline.is_gone(cursor.owner):
            if not options.young_hours:
                return None
            with suppress(Conflict):
                store.put(container, replace(cursor, rings=cursor.rings + 1), stored.etag)
                return None
        else:
            held = HeldCursor(store, container, stored, options, pipeline)
            with suppress(ClaimLost):
                held.save()
                return held
    raise _contention(container)


def _contention(container: Container) -> Contention:
    return Contention(f"{'/'.join(container)}: {_MAX_TRIES} writes met a newer cursor")
