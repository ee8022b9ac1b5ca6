"""What a sweep remembers of one container: how far it came, and how far back the next must look.

A pass goes once through everything in its window; it may take several sweeps. The next window
begins some hours before the last pass began, however long the app did not run since, or with the
oldest hour that is unfinished. So no hour is ever left out.

    hours      20 21 22 23 00 01 02 03 04 05 06 07 08 09
    9:02       ------------------------------------------   a whole pass; all is forwarded
    9:07                                      ------------   closed hours are left out
    9:12                                      ------------
    9:17             --------------------------------------  ... so this one begins there
    10:02         ------------------------------------------ a whole pass, an hour later

Nobody appends to closed hours any more, and they are most of the window. So they are looked at once
an hour, as long as nothing in them is unfinished.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol

from flowlog_core.blob import BlobRef
from flowlog_core.errors import Conflict, NotFound
from flowlog_core.sweep.behind import SETTLED_AFTER

CLOSED_HOURS_EVERY = timedelta(hours=1)
"""How often hours are looked at that are closed: they began `SETTLED_AFTER` ago, or longer."""
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
"""Before any flow log."""


class Container(NamedTuple):
    """A container of flow logs in a source account."""

    account: str
    name: str

    @classmethod
    def of(cls, blob: BlobRef) -> Container:
        """The container that a blob is in."""
        return cls(blob.account, blob.container)


@dataclass(frozen=True, slots=True)
class Cursor:
    """The latest pass over one container. All times are the storage service's."""

    began: datetime
    since: datetime
    """The first hour of the pass's window."""
    done: str = ""
    """Up to here, a blob or a folder, the pass has come; see `listing.is_done`."""
    oldest_unfinished: datetime | None = None
    """The earliest hour of a blob that failed, or was left for later, in this pass."""
    caught_up_since: datetime | None = None
    """What FLOWLOG_CATCH_UP_SINCE was when a pass last covered it."""
    is_over: bool = False
    leaves_out_closed: bool = False
    """Whether closed hours are not in the window, because they were looked at within the hour."""
    closed_looked_at: datetime | None = None
    """When the latest pass that did not leave them out began, if it could list everything. None if
    there was none, and after a pass of an earlier release, which never leaves them out."""
    last_whole: datetime | None = None
    """When a pass last ended that could list all of its window. None if it is not known: earlier
    releases did not keep it."""
    saved: datetime | None = None
    """When a sweep of this container last wrote this."""
    owner: str = ""
    """The sweep that holds the cursor; empty if none does."""
    owned_until: datetime | None = None
    rings: int = 0
    """How many sweeps came while another held the cursor."""

    def at(self, done: str) -> Cursor:
        """The same pass, come as far as `done`."""
        return replace(self, done=done)

    def with_unfinished(self, hour: datetime) -> Cursor:
        """The same pass, with a blob of `hour` left to be done."""
        oldest = hour if self.oldest_unfinished is None else min(hour, self.oldest_unfinished)
        return replace(self, oldest_unfinished=oldest)

    def over(self, whole_at: datetime | None = None) -> Cursor:
        """The same pass, at its end; `whole_at` is when, if it could list everything."""
        over = replace(self, done="", is_over=True, last_whole=whole_at or self.last_whole)
        if whole_at is None or self.leaves_out_closed:
            return over
        return replace(over, closed_looked_at=self.began)


def next_cursor(
    last: Cursor | None, now: datetime, hours: int, catch_up_since: datetime | None
) -> Cursor:
    """The pass that `last` left unfinished, or the pass that follows it.

    A new window begins `hours` before the current hour, or further back where that is needed; or
    with the hours that are not closed, where the others were looked at within the hour.
    """
    if last is None:
        last = Cursor(now, now)
    elif not last.is_over:
        return last
    looked_at, back = last.closed_looked_at, timedelta(hours=hours)
    catch_up = catch_up_since if catch_up_since != last.caught_up_since else None
    leaves_out = catch_up is None and looked_at is not None and now - looked_at < CLOSED_HOURS_EVERY
    if leaves_out:
        starts = [_hour(now) - min(back, SETTLED_AFTER)]
    else:
        starts = [_hour(now) - back, _hour(looked_at or last.began) - back]
    starts += [one for one in (last.oldest_unfinished, catch_up) if one is not None]
    return Cursor(
        now,
        min(starts),
        leaves_out_closed=leaves_out,
        closed_looked_at=looked_at,
        caught_up_since=catch_up or last.caught_up_since,
        last_whole=last.last_whole,
    )


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


class StoredCursor(NamedTuple):
    """The store's answer. `cursor` is None, and `etag` empty, where there is none."""

    cursor: Cursor | None
    etag: str
    server_time: datetime


class CursorStore(Protocol):
    """Keeps one cursor for each container. All methods raise a `StorageError`."""

    def get(self, container: Container) -> StoredCursor:
        """The cursor as it is now."""
        ...

    def put(self, container: Container, cursor: Cursor, etag: str) -> StoredCursor:
        """Replace the cursor whose ETag is `etag`, or create it if `etag` is empty.

        Raises `Conflict` if the stored one is another.
        """
        ...

    def get_shared(self) -> StoredCursor:
        """The one cursor that Flowlog 0.1 kept for all containers together, without its `done`."""
        ...

    def remove_shared(self, etag: str) -> None:
        """Remove that cursor. Raises `Conflict` if its ETag is not `etag` any more."""
        ...


def longest_waiting_first(
    store: CursorStore, containers: Iterable[Container]
) -> dict[Container, StoredCursor]:
    """The cursors of containers; those that no sweep came to for longest come first.

    Raises a `StorageError`.
    """
    stored = {one: store.get(one) for one in containers}
    if any(one.cursor is None for one in stored.values()):
        shared = store.get_shared()
        if shared.cursor is not None:
            for container in [one for one in stored if stored[one].cursor is None]:
                stored[container] = store.put(container, shared.cursor, "")
            with suppress(Conflict, NotFound):  # an earlier version is still running
                store.remove_shared(shared.etag)

    def last_saved(one: tuple[Container, StoredCursor]) -> tuple[datetime, Container]:
        container, (cursor, *_) = one
        return (cursor and cursor.saved) or BEGINNING, container

    return dict(sorted(stored.items(), key=last_saved))
