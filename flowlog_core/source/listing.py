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
from datetime import datetime
from functools import partial, reduce
from typing import NamedTuple, Protocol

from flowlog_core.blob import BlobRef

_DATE = re.compile(
    r"/y=([0-9]{4})/(?:m=([0-9]{2})/(?:d=([0-9]{2})/(?:h=([0-9]{2})/.*)?)?)?$",
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


def all_pages(
    lister: BlobLister,
    account: str,
    container: str,
    folder: str = "",
    *,
    by_folder: bool,
    since: datetime | None = None,
) -> Iterator[Page]:
    """Each page of what is under a folder. Takes and raises what `BlobLister.page` does."""
    marker = ""
    while True:
        page = lister.page(
            account, container, folder, marker=marker, by_folder=by_folder, since=since
        )
        yield page
        marker = page.marker
        if not marker:
            return


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
    pages = partial(all_pages, lister, account, container, since=since)

    def steps_under(folder: str, *, may_fit: bool) -> Iterator[Step]:
        """`may_fit` says whether all of the folder might fit into one page."""
        if _is_before(folder, since) or _is_after(folder, until):
            return
        if folder and is_done(folder, done):
            return
        found: list[Page] = []
        is_of_one_hour = len(_date_in(folder)) == len(_hour_of(since))
        if may_fit or is_of_one_hour:
            for page in pages(folder, by_folder=False):
                found.append(page)
                yield Step()
                if not is_of_one_hour:
                    break  # where there is more, entering the folder leaves out older hours
        if not found or found[-1].marker:
            found.clear()
            for page in pages(folder, by_folder=True):
                found.append(page)
                yield Step()
        folders = {name for page in found for name in page.folders}
        others = reduce(Others.plus, (page.others for page in found))
        listed = [
            one
            for page in found
            for one in page.listed
            if (until is None or one.blob.log.hour <= until) and not is_done(one.blob.name, done)
        ]
        if not folders:
            yield Step(sorted(listed, key=_name_of), folder, others)
            return
        if others.blobs:
            yield Step(others=others)
        parts: list[Listed | str] = [*listed, *folders]
        for part in sorted(parts, key=_name_of):
            if isinstance(part, Listed):
                yield Step([part], part.blob.name)
            else:
                # A folder that is alone holds all that its parent held: too much for a page.
                yield from steps_under(part, may_fit=len(folders) > 1)

    return steps_under(prefix, may_fit=True)


def _name_of(part: Listed | str) -> str:
    return part if isinstance(part, str) else part.blob.name


def _is_before(prefix: str, since: datetime) -> bool:
    """Whether all hours under a folder are certainly before `since`."""
    date = _date_in(prefix)
    return date < _hour_of(since)[: len(date)]


def _is_after(prefix: str, until: datetime | None) -> bool:
    """Whether all hours under a folder are certainly after `until`."""
    date = _date_in(prefix)
    return until is not None and date > _hour_of(until)[: len(date)]


def _date_in(prefix: str) -> tuple[int, ...]:
    """Year, month, day and hour, as far as a folder's name ends in them."""
    match = _DATE.search(prefix)
    return tuple(int(part) for part in match.groups() if part) if match else ()


def _hour_of(moment: datetime) -> tuple[int, ...]:
    return moment.year, moment.month, moment.day, moment.hour
