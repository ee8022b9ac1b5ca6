"""Listing the flow logs of a container, from some hour on, in few calls. Pure but for its source.

Names begin with the resource and end with the hour, so no prefix finds one hour's blobs, and a
container holds the logs of weeks. Asking for a page costs the same whatever it holds; so a folder
that fits into one page is taken as it is, and only a larger one is entered, its folders of older
hours left out.
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


class Page(NamedTuple):
    """The first flow logs under a prefix, in the order of their names."""

    listed: Sequence[Listed]
    is_all: bool
    """Whether there is nothing more under the prefix, flow log or not."""


class BlobLister(Protocol):
    """Lists one container. All methods raise a `StorageError`, `NotFound` without a container."""

    def page(self, account: str, container: str, prefix: str) -> Page:
        """The first page of what is under `prefix`, folders ignored."""
        ...

    def folders(self, account: str, container: str, prefix: str) -> list[str]:
        """The folders right under `prefix`, each with its whole name and a `/` at its end."""
        ...


def flow_logs_since(
    lister: BlobLister, account: str, container: str, since: datetime, after: str = ""
) -> Iterator[Sequence[Listed]]:
    """The flow logs of hours from `since` on whose names come after `after`, in their order.

    Comes in batches, each from one page.
    """
    waiting = [_Folder("", may_fit=True)]
    while waiting:
        prefix, may_fit = waiting.pop()
        if _is_before(prefix, since) or (prefix < after and not after.startswith(prefix)):
            continue
        inner = [] if may_fit else lister.folders(account, container, prefix)
        if not inner:
            page = lister.page(account, container, prefix)
            if page.is_all:
                logs = [one for one in page.listed if one.blob.log.hour >= since]
                if found := [one for one in logs if one.blob.name > after]:
                    yield found
                continue
            inner = lister.folders(account, container, prefix)
        # A folder that is alone holds all that its parent held, which was too much for a page.
        waiting += [_Folder(name, may_fit=len(inner) > 1) for name in sorted(inner, reverse=True)]


class _Folder(NamedTuple):
    """A folder that is still to be listed."""

    prefix: str
    may_fit: bool
    """Whether all of it might fit into one page."""


def _is_before(prefix: str, since: datetime) -> bool:
    """Whether all hours under a folder are certainly before `since`."""
    match = _DATE.search(prefix)
    if match is None:
        return False
    # What the name leaves open is compared as if it were just as `since` has it.
    given = {unit: int(value) for unit, value in match.groupdict().items() if value is not None}
    start = datetime(since.year, since.month, since.day, since.hour, tzinfo=UTC)
    try:
        return start.replace(**given) < start  # type: ignore[arg-type]  # year, month, day, hour
    except ValueError:
        # No such date, or one that the day of `since` makes impossible: look inside.
        return False
