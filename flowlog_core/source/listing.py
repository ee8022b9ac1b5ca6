"""Finding the flow logs of a container, from some hour on, in few calls. Pure but for its lister.

Names begin with the resource and end with the hour, so no prefix finds one hour's blobs, and a
container holds the logs of weeks. A call costs the same whatever its page holds. So a folder that
fits into one page is listed as it is, and only a larger one is entered, without its older hours.

Names come in the order of their code points, whatever order the service lists them in: with a
hierarchical namespace it lists `WEB/…` before `WEB-2/…`, since there `/` sorts before every other
character. All of a folder's pages are read before its parts are put into order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from flowlog_core.blob import BlobRef

_DATE = re.compile(
    r"/y=(?P<year>[0-9]{4})/(?:m=(?P<month>[0-9]{2})/(?:d=(?P<day>[0-9]{2})/"
    r"(?:h=(?P<hour>[0-9]{2})/.*)?)?)?$",
    re.IGNORECASE | re.ASCII,
)


class Listed(NamedTuple):
    """A flow log blob as a listing shows it."""

    blob: BlobRef
    etag: str
    blob_bytes: int
    last_modified: datetime
    """Aware UTC."""
    is_archived: bool = False
    """It is in the archive tier, where it cannot be read."""


class Others(NamedTuple):
    """Blobs that are not named like a flow log."""

    blobs: int = 0
    example: str = ""
    """The name of one; empty if there are none."""

    def plus(self, more: Others) -> Others:
        """Both together."""
        return Others(self.blobs + more.blobs, self.example or more.example)


class Page(NamedTuple):
    """One page of a listing. It may be short, or empty, and still not be the last one."""

    listed: Sequence[Listed]
    """The flow logs on it. In any order."""
    folders: Sequence[str] = ()
    """Whole names, each with a `/` at its end. In any order."""
    marker: str = ""
    """Leads to the next page; empty on the last one."""
    others: Others = Others()


class BlobLister(Protocol):
    """Lists the blobs of one container.

    Raises a `StorageError`; `NotFound` if the container does not exist.
    """

    def page(
        self,
        account: str,
        container: str,
        prefix: str,
        *,
        marker: str = "",
        by_folder: bool,
        since: datetime | None = None,
    ) -> Page:
        """The page at `marker` of what is under `prefix`.

        Without the flow logs of hours before `since`. With `by_folder`, only what is directly under
        it: blobs, and folders unopened.
        """
        ...


class Step(NamedTuple):
    """What one call of a listing brought."""

    listed: Sequence[Listed] = ()
    """The next flow logs, in the order of their names."""
    done: str = ""
    """Up to here, a folder or a blob, all is listed. Empty if the call brought no end nearer."""
    others: Others = Others()


def is_done(name: str, done: str) -> bool:
    """Whether a listing that came as far as `done` is through with `name`.

    Both are names of blobs, or of folders with a `/` at their ends.
    """
    if name.endswith("/") and done.startswith(name) and name != done:
        return False  # it stopped inside that folder
    return name <= done or (done.endswith("/") and name.startswith(done))


def flow_logs_since(
    lister: BlobLister,
    account: str,
    container: str,
    since: datetime,
    done: str = "",
    *,
    until: datetime | None = None,
    prefix: str = "",
) -> Iterator[Step]:
    """The flow logs of hours from `since` on, except those that a listing up to `done` is through.

    With `until`, none of an hour that begins after it; only names that begin with `prefix`.

    Yields a `Step` after every call, even one that brings nothing, so that the caller may stop
    there. Carries on from the `done` of a step, or from the name of any of its flow logs.
    Raises as `BlobLister.page` does.
    """

    def pages(folder: str, *, by_folder: bool) -> Iterator[Page]:
        marker, is_first = "", True
        while marker or is_first:
            page = lister.page(
                account, container, folder, marker=marker, by_folder=by_folder, since=since
            )
            yield page
            marker, is_first = page.marker, False

    waiting: list[Listed | _Folder] = [_Folder(prefix, may_fit=True)]
    while waiting:
        part = waiting.pop()
        if isinstance(part, Listed):
            yield Step([part], part.blob.name)
            continue
        folder = part.prefix
        if _is_before(folder, since) or _is_after(folder, until):
            continue
        if folder and is_done(folder, done):
            continue
        listed: list[Listed] = []
        others = Others()
        folders: set[str] = set()
        is_whole = False
        is_of_one_hour = _is_of_one_hour(folder)
        if part.may_fit or is_of_one_hour:
            for page in pages(folder, by_folder=False):
                listed += page.listed
                others = others.plus(page.others)
                is_whole = not page.marker
                yield Step()
                if not is_of_one_hour:
                    break  # where there is more, entering the folder leaves out older hours
        if not is_whole:
            listed.clear()
            others = Others()
            for page in pages(folder, by_folder=True):
                listed += page.listed
                others = others.plus(page.others)
                folders.update(page.folders)
                yield Step()
        listed = [
            one
            for one in listed
            if (until is None or one.blob.log.hour <= until) and not is_done(one.blob.name, done)
        ]
        if folders:
            if others.blobs:
                yield Step(others=others)
            # A folder that is alone holds all that its parent held, which was too much for a page.
            waiting += listed
            waiting += (_Folder(name, may_fit=len(folders) > 1) for name in folders)
            waiting.sort(key=_name_of, reverse=True)
        else:
            yield Step(sorted(listed, key=_name_of), folder, others)


class _Folder(NamedTuple):
    """A folder that is still to be listed."""

    prefix: str
    may_fit: bool
    """Whether all of it might fit into one page."""


def _name_of(part: Listed | _Folder) -> str:
    return part.prefix if isinstance(part, _Folder) else part.blob.name


def _is_of_one_hour(prefix: str) -> bool:
    return "hour" in _date_in(prefix)


def _date_in(prefix: str) -> dict[str, int]:
    """The parts of the date that a folder's name ends in; empty if it ends in none."""
    match = _DATE.search(prefix)
    parts = match.groupdict() if match else {}
    return {unit: int(value) for unit, value in parts.items() if value is not None}


def _is_before(prefix: str, since: datetime) -> bool:
    """Whether all hours under a folder are certainly before `since`."""
    given = _date_in(prefix)  # what the name leaves open is taken from `since`
    if not given:
        return False
    start = datetime(since.year, since.month, since.day, since.hour, tzinfo=UTC)
    try:
        return start.replace(**given) < start  # type: ignore[arg-type]  # year, month, day, hour
    except ValueError:
        # No such date, or one that the day of `since` makes impossible: look inside.
        return False


def _is_after(prefix: str, until: datetime | None) -> bool:
    """Whether all hours under a folder are certainly after `until`."""
    given = _date_in(prefix)
    if not given or until is None:
        return False
    try:
        return datetime(1, 1, 1, tzinfo=UTC).replace(**given) > until  # type: ignore[arg-type]
    except ValueError:
        return False  # no such date: look inside
