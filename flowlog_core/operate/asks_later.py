"""Listing several accounts, one of which may give no answer."""

from __future__ import annotations

from datetime import datetime

from flowlog_core.clock import Clock
from flowlog_core.errors import Unavailable
from flowlog_core.source.listing import BlobLister, Page

_TIMES = 5
"""An account that gives no answer is left alone for so many times as long as it took to give none,
so that it takes a sixth of the time of the others at most."""


class AsksLater:
    """A `BlobLister` that leaves an account alone for a while after it gave no answer.

    Each try waits for all retries, and the accounts behind it wait as long. Meanwhile the same
    error is raised again.
    """

    def __init__(self, lister: BlobLister, clock: Clock) -> None:
        self._lister, self._clock = lister, clock
        self._silent: dict[str, tuple[float, Unavailable]] = {}
        """By account, until when it is left alone, and why."""

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
        """See `BlobLister.page`."""
        began = self._clock.monotonic()
        until, why = self._silent.get(account, (began, None))
        if why is not None and began < until:
            raise why
        try:
            return self._lister.page(
                account, container, prefix, marker=marker, by_folder=by_folder, since=since
            )
        except Unavailable as error:
            now = self._clock.monotonic()
            self._silent[account] = now + _TIMES * (now - began), error
            raise
