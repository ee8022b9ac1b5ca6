"""Forwarding all that is behind, whatever its age, in one pass: `flowlog run` and `backfill`."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from datetime import datetime

from flowlog_core.errors import FlowlogError
from flowlog_core.operate.passes import TablePasses
from flowlog_core.service import Service
from flowlog_core.source.listing import BlobLister
from flowlog_core.sweep.cursor import BEGINNING, Container, Cursor
from flowlog_core.sweep.lease import Pass
from flowlog_core.sweep.options import SweepOptions
from flowlog_core.sweep.report import SweepReport
from flowlog_core.sweep.sweep import Sweep

log = logging.getLogger(__name__)

_ADDED_UP = ("forwarded", "failed", "entries", "records", "dead_letters", "new_bytes")
_AS_FOUND_LAST = (
    *("looked_at", "left_to_others", "archived", "archived_example"),
    *("not_flow_logs", "not_flow_logs_example", "backing_off", "still_behind", "missing"),
    *("is_whole", "older", "older_bytes", "oldest", "by_container"),
)


class CatchUp(Sweep):
    """One pass over all hours from `since` on, without a memory and beside other sweeps."""

    def run(self, note: Callable[[Container, datetime], object] | None = None) -> SweepReport:
        """Go through each container once, until all passes are over or the time is up.

        `note` is told when a pass began that could list everything. Blobs that fail are counted and
        named in the log. Raises a `FlowlogError` only if not even the time could be read.
        """
        for container in self._options.containers:
            if self._must_end():
                break
            now = self._cursors.get(container).server_time
            look = Pass(Cursor(now, self._options.since or BEGINNING))
            self._go_through(container, look)
            if note is not None and look.cursor.last_whole is not None:
                try:
                    note(container, look.cursor.last_whole)
                except FlowlogError as error:  # only what `flowlog status` says depends on it
                    log.warning("cannot note the look at %s/%s: %s", *container, error)
        return self._report


def catch_up(
    service: Service,
    stop: threading.Event,
    forward_since: datetime | None = None,
    *,
    lister: BlobLister | None = None,
    look_since: datetime | None = None,
    waits_after_failures: bool = True,
    is_noted: bool = False,
) -> SweepReport:
    """Forward everything that is behind in the watched containers; `stop` ends it early.

    With `forward_since`, what is behind in older hours is only counted; with `look_since`, they are
    not looked at. A blob that failed waits, as in a sweep, if `waits_after_failures`. If
    `is_noted`, `flowlog status` tells it. `lister` takes the place of the service's.
    """
    options = SweepOptions(
        service.containers,
        0,
        since=look_since,
        untouched_for_s=0,
        waits_after_failures=waits_after_failures,
        max_s=math.inf,
        forward_since=forward_since,
    )
    one = CatchUp(
        lister or service.blobs,
        service.pipeline,
        service.cursors,
        options,
        service.blobs_at_a_time,
        stop,
    )
    return one.run(TablePasses.of(service).note_look if is_noted else None)


def add_up(total: SweepReport, later: SweepReport) -> None:
    """Add what a later sweep did; what it left undone replaces what the ones before left."""
    # What others hold is behind in each sweep again, and counts once.
    total.behind += later.behind - total.left_to_others
    add_work(total, later)
    for name in _AS_FOUND_LAST:
        setattr(total, name, getattr(later, name))


def add_work(total: SweepReport, later: SweepReport) -> None:
    """Add what a later look at some of the hours did, and not what it left undone."""
    for name in _ADDED_UP:
        setattr(total, name, getattr(total, name) + getattr(later, name))
