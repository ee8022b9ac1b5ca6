"""Finding blobs that are ahead of their checkpoints, and forwarding them.

The sweep makes good what events cannot: events that were lost, workers that died with their
claims, and blobs that failed until the host gave up. A blob costs its share of a listing page and
of a page of checkpoints; only a blob that is behind costs more.

    names, in order      a b c d e f g h i j k l m n o p
    first sweep          ------------> time is up, the cursor is saved
    next sweep                        -----------------> end; the one after begins at a again

A sweep begins with the blobs whose workers ended without releasing their claims, and with those
that failed and are older than its window; the table of checkpoints names both. A blob at which
workers keep ending is forwarded alone, once the cursor is saved behind it, so that each sweep gets
past it.

Each container has a cursor of its own. The container that has waited longest comes first. Most
passes leave out closed hours, which are most of the window; see `cursor`. A sweep holds the cursor
meanwhile; see `lease`.

Where no events are sent (FLOWLOG_TRIGGER_SOURCE=Timer), a sweep runs every minute and forwards what
is behind in the youngest hours of every container first, for four fifths of its time. The pass over
the window has the rest: it finds what came late, and what did not fit.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from datetime import datetime
from functools import partial

from flowlog_core.blob import BlobRef
from flowlog_core.errors import ClaimLost, FlowlogError, NotFound
from flowlog_core.ingest import Pipeline, ingest
from flowlog_core.source.listing import BlobLister, Listed, flow_logs_since
from flowlog_core.sweep.behind import behind_with_checkpoints, bytes_behind, is_owed
from flowlog_core.sweep.cursor import (
    Container,
    Cursor,
    CursorStore,
    StoredCursor,
    longest_waiting_first,
    next_cursor,
)
from flowlog_core.sweep.due import Due, what_is_due
from flowlog_core.sweep.forward_each import forward_each
from flowlog_core.sweep.lease import HeldCursor, Pass, hold
from flowlog_core.sweep.options import IngestOne, Runner, SweepOptions
from flowlog_core.sweep.report import SweepReport
from flowlog_core.sweep.unsettled import unsettled_pages

log = logging.getLogger(__name__)

_UNSETTLED = 0.25
"""Share of the time in which blobs of dead workers and with old failures are begun."""
_YOUNG, _UNSETTLED_BESIDE_YOUNG = 0.8, 0.9
"""When a sweep begins with the youngest hours: the shares at which they and those end."""


class Sweep:
    """One sweep. `stop` ends it early, between two calls of a listing or two blobs."""

    def __init__(
        self,
        lister: BlobLister,
        pipeline: Pipeline,
        cursors: CursorStore,
        options: SweepOptions,
        parallel: Runner,
        stop: threading.Event | None = None,
        ingest_one: IngestOne = ingest,
    ) -> None:
        self._lister, self._pipeline, self._cursors = lister, pipeline, cursors
        self._options, self._stop = options, stop or threading.Event()
        self._started = pipeline.clock.monotonic()
        self._got_further = False
        """Whether the passes over the windows have made progress yet."""
        self._report = SweepReport()
        self._forward_each = partial(forward_each, pipeline, parallel, self._report, ingest_one)
        self._young: set[BlobRef] = set()
        """What the pass over the youngest hours has counted, so that the other pass does not."""
        self._asked_for: list[Container] = []
        """Where another sweep came while this one was at work."""

    def run(self) -> SweepReport:
        """Carry on where the last sweep stopped, until all passes are over or the time is up.

        Blobs that fail are counted and named in the log; they do not delay other blobs.
        Raises a `FlowlogError` only if the cursors cannot be read or written.
        """
        cursors = longest_waiting_first(self._cursors, self._options.containers)
        if self._options.young_hours:
            cursors = {
                c: one for c, one in cursors.items() if self._in_turn(self._forward_young, c)
            }
        self._forward_unsettled(cursors)
        self._got_further = False
        for container in cursors:
            if self._must_end():
                break
            self._in_turn(self._go_through, container)
        if self._asked_for:
            self._started = self._pipeline.clock.monotonic()  # it is the run that another left out
        while self._asked_for and not self._is_past(_YOUNG):
            self._in_turn(self._forward_young, self._asked_for.pop())
        log.info("swept: %s", self._report)
        if self._report.archived:
            log.warning("%s", self._report.archived_warning)
        return self._report

    def _in_turn(self, look: Callable[[Container, HeldCursor], bool], container: Container) -> bool:
        """Hold the container's cursor while `look` has its turn, and return what that returns.

        False if the container is left alone for this sweep: another sweep has the cursor, or took
        it.
        """
        try:
            held = hold(self._cursors, container, self._options, self._pipeline)
            if held is None:
                log.info("another sweep of %s/%s is running", *container)
                self._report.is_whole = False
                return False
            try:
                is_done = look(container, held)
            except BaseException:
                with suppress(FlowlogError):  # it runs out by itself
                    held.release()
                raise
            if held.release() and container not in self._asked_for:
                self._asked_for.append(container)
        except ClaimLost as error:
            log.warning("%s, because this one was suspended for too long", error)
            self._report.is_whole = False
            return False
        return is_done

    def _go_through(self, container: Container, look: Pass) -> bool:
        """Continue a pass to its end, or as far as the time allows. False if it cannot list."""
        report, all_listed = self._report, True
        since, done = look.cursor.since, look.cursor.done
        steps = flow_logs_since(self._lister, *container, since, done, until=self._options.until)
        try:
            for step in steps:
                report.add_not_flow_logs(*container, step.others)
                due = self._due(step.listed, look.now())
                report.count("behind", container, len(due["now"]) + len(due["alone"]))
                look.leave(due["later"] + due["later, as it failed"])
                if not self._forward_in_order(due["now"], look):
                    return True
                if due["alone"]:
                    self._forward_alone(due["alone"], step.done or step.listed[-1].blob.name, look)
                if step.done:
                    look.cursor = look.cursor.at(step.done)
                    self._got_further = True
                if due["now"]:
                    look.save()
                else:
                    look.renew()
                if self._must_end():
                    return True
        except NotFound:
            report.missing.append("/".join(container))
            log.debug("%s/%s does not exist yet", *container)
        except ClaimLost:
            raise
        except FlowlogError as error:
            self._count_unlisted(container, error)
            look.cursor = look.cursor.with_unfinished(look.cursor.since)
            all_listed = False
        self._got_further = True
        look.cursor = look.cursor.over(look.now() if all_listed else None)
        return all_listed

    def _forward_in_order(self, blobs: Sequence[BlobRef], look: Pass) -> bool:
        """Forward blobs until the time is up; the cursor then is at the last that was begun.

        Returns whether all were begun.
        """
        begun, unfinished = self._forward(blobs, look, self._must_end)
        look.leave(unfinished)
        if begun:
            look.cursor = look.cursor.at(blobs[begun - 1].name)
        return begun == len(blobs)

    def _forward_alone(self, blobs: Sequence[BlobRef], done: str, look: Pass) -> None:
        """Forward blobs at which workers keep ending, with the cursor saved behind them all."""
        look.leave(blobs)
        look.cursor = look.cursor.at(done)
        self._got_further = True
        for blob in blobs:
            if self._must_end():
                break
            look.save()
            self._forward_each([blob], look.now())

    def _forward_young(self, container: Container, held: HeldCursor) -> bool:
        """Forward what is behind in the youngest hours. False if the container cannot be listed.

        Nothing is noted at the cursor: the pass over the window comes to these hours too.
        """
        must_end = partial(self._is_past, _YOUNG)
        now = held.now()
        try:
            for step in flow_logs_since(self._lister, *container, self._options.young_since(now)):
                behind = self._due(step.listed, now)["now"]
                self._young.update(one.blob for one in step.listed)
                begun, _ = self._forward(behind, held, must_end)
                self._report.count("behind", container, begun)
                held.renew()
                if must_end():
                    break
        except NotFound:
            log.debug("%s/%s does not exist yet", *container)
        except ClaimLost:
            raise
        except FlowlogError as error:
            self._count_unlisted(container, error)
            return False
        return True

    def _forward_unsettled(self, cursors: Mapping[Container, StoredCursor]) -> None:
        """Forward blobs with a claim that ran out or an old failure, while there is time for it."""
        if not cursors:
            return
        options = self._options
        windows = {
            container: next_cursor(cursor, server_time, options.hours, options.since).since
            for container, (cursor, _, server_time) in cursors.items()
        }
        now = max(stored.server_time for stored in cursors.values())
        part = _UNSETTLED_BESIDE_YOUNG if options.young_hours else _UNSETTLED
        must_end = partial(self._is_past, part)
        search = unsettled_pages(self._pipeline.checkpoints, self._cursors, now, must_end)
        try:
            with closing(search):
                for page in search:
                    owed = [
                        blob
                        for one in page
                        if (blob := BlobRef.parse(one.blob)) is not None
                        and (since := windows.get(Container.of(blob))) is not None
                        and is_owed(one, blob, since, now)
                    ]
                    begun, _ = self._forward(owed, Pass(Cursor(now, now)), must_end)
                    for blob in owed[:begun]:
                        self._report.count("behind", Container.of(blob))
                    if begun < len(owed):
                        break
        except FlowlogError as error:
            log.warning("cannot look for claims that ran out: %s", error)
            self._report.is_whole = False

    def _forward(
        self, blobs: Sequence[BlobRef], look: Pass, must_end: Callable[[], bool]
    ) -> tuple[int, list[BlobRef]]:
        """Forward blobs until `must_end`: how many were begun, and which of them are unfinished."""

        def in_time() -> Iterator[BlobRef]:
            for blob in blobs:
                if must_end():
                    return
                look.renew()
                self._got_further = True
                yield blob

        return self._forward_each(in_time(), look.now())

    def _due(self, listed: Sequence[Listed], now: datetime) -> defaultdict[Due, list[BlobRef]]:
        """The blobs of a listing that are behind, by what to do with them. Counts them."""
        report, options = self._report, self._options
        wanted = [one for one in listed if options.only(one.blob)]
        if wanted:  # all of one container
            anew = sum(one.blob not in self._young for one in wanted)
            report.count("looked_at", Container.of(wanted[0].blob), anew)
        blobs_by_due: defaultdict[Due, list[BlobRef]] = defaultdict(list)
        for one, checkpoint in behind_with_checkpoints(self._pipeline.checkpoints, wanted, now):
            due = what_is_due(one, checkpoint, options, now)
            blobs_by_due[due].append(one.blob)
            is_anew = one.blob not in self._young
            if due == "never: older":
                report.add_older(one.blob, bytes_behind(one, checkpoint))
            elif due == "never: archived" and is_anew:
                report.add_archived(one.blob)
            elif due == "later, as it failed" and is_anew:
                report.count("backing_off", Container.of(one.blob))
                report.add_still_behind(one.blob)
        return blobs_by_due

    def _count_unlisted(self, container: Container, error: FlowlogError) -> None:
        log.warning("cannot list %s/%s: %s", *container, error)
        self._report.count("failed", container)

    def _is_past(self, part: float) -> bool:
        """Whether to stop, or such a share of the time is over."""
        took_s = self._pipeline.clock.monotonic() - self._started
        return self._stop.is_set() or took_s >= self._options.max_s * part

    def _must_end(self) -> bool:
        """Whether to stop, or the time is up; but not before the sweep has made progress."""
        must_end = self._is_past(1) if self._got_further else self._stop.is_set()
        if must_end:
            self._report.is_whole = False
        return must_end
