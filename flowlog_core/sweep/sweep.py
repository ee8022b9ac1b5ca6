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
passes leave out closed hours, which are most of the window; see `cursor`.

Where no events are sent (FLOWLOG_TRIGGER_SOURCE=Timer), a sweep runs every minute and forwards what
is behind in the youngest hours of every container first, for four fifths of its time. The pass over
the window has the rest: it finds what came late, and what did not fit.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime

from flowlog_core.blob import BlobRef
from flowlog_core.checkpoints.checkpoint import Checkpoint
from flowlog_core.errors import ClaimLost, FlowlogError, NotFound
from flowlog_core.ingest import Pipeline, ingest
from flowlog_core.source.listing import BlobLister, Listed, Step, flow_logs_since
from flowlog_core.sweep.behind import behind_with_checkpoints, bytes_behind, is_owed
from flowlog_core.sweep.cursor import (
    BEGINNING,
    Container,
    Cursor,
    CursorStore,
    HeldCursor,
    StoredCursor,
    hold,
    longest_waiting_first,
    next_cursor,
)
from flowlog_core.sweep.due import what_is_due
from flowlog_core.sweep.forward_each import ForwardEach
from flowlog_core.sweep.options import IngestOne, Runner, SweepOptions
from flowlog_core.sweep.report import SweepReport
from flowlog_core.sweep.unsettled import search_unsettled

log = logging.getLogger(__name__)

_UNSETTLED = 0.25
"""Part of the time after which no blob of a dead worker, or with an old failure, is begun."""
_YOUNG, _UNSETTLED_BESIDE_YOUNG = 0.8, 0.9
"""The same where the youngest hours come before, and when those end."""


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
        self._got_further = self._ended_early = False
        self._report = SweepReport()
        self._forward_each = ForwardEach(pipeline, parallel, self._report, ingest_one)
        self._young: set[BlobRef] = set()
        """What the pass over the youngest hours has counted, so that the other pass does not."""
        self._asked_for: list[Container] = []
        """Where another sweep came while this one was at work."""

    def run(self) -> SweepReport:
        """Carry on where the last sweep stopped, until all passes are over or the time is up.

        Blobs that fail are counted and named in the log; they keep no other blob from its turn.
        Raises a `FlowlogError` only if the cursors cannot be read or written.
        """
        containers = longest_waiting_first(self._cursors, self._options.containers)
        if self._options.young_hours:
            containers = [one for one in containers if self._in_turn(self._forward_young, *one)]
        self._forward_unsettled(containers)
        for container, stored in containers:
            if self._must_end():
                break
            self._in_turn(self._sweep, container, stored)
        if self._asked_for:
            self._started = self._pipeline.clock.monotonic()  # it is the run that another left out
        while self._asked_for and not self._is_past(_YOUNG):
            container = self._asked_for.pop()
            self._in_turn(self._forward_young, container, self._cursors.get(container))
        log.info("swept: %s", self._report)
        if self._report.archived:
            log.warning("%s", self._report.archived_warning)
        return self._report

    def _in_turn(
        self,
        look: Callable[[Container, StoredCursor], bool],
        container: Container,
        stored: StoredCursor,
    ) -> bool:
        """Let `look` have its turn; False if the container is left alone for this sweep."""
        try:
            return look(container, stored)
        except ClaimLost as error:
            log.warning("%s, because this one was suspended for too long", error)
            self._report.is_whole = False
            return False

    def look_at_all(self) -> SweepReport:
        """One pass over all hours from `since` on, without a memory and beside other sweeps."""
        for container in self._options.containers:
            if self._must_end():
                break
            now = self._cursors.get(container).server_time
            since = self._options.since or BEGINNING
            cursor = self._go_through(container, Cursor(now, since), now, held=None)
            if self._options.is_noted and cursor.last_whole is not None:
                try:
                    self._cursors.note_look(container, cursor.last_whole)
                except FlowlogError as error:  # only what `flowlog status` says depends on it
                    log.warning("cannot note the look at %s/%s: %s", *container, error)
        return self._report

    def _forward_unsettled(self, containers: Sequence[tuple[Container, StoredCursor]]) -> None:
        """Forward blobs with a claim that ran out or an old failure, while there is time for it."""
        pipeline, options = self._pipeline, self._options
        if not containers:
            return
        windows = {
            container: next_cursor(
                stored.cursor, stored.server_time, options.hours, options.since
            ).since
            for container, stored in containers
        }
        now = max(stored.server_time for _, stored in containers)

        def must_end() -> bool:
            part = _UNSETTLED_BESIDE_YOUNG if options.young_hours else _UNSETTLED
            return self._is_past(part)

        def forward(page: Sequence[Checkpoint]) -> bool:
            is_through = True

            def due() -> Iterator[BlobRef]:
                nonlocal is_through
                for checkpoint in page:
                    blob = BlobRef.parse(checkpoint.blob)
                    since = windows.get(Container.of(blob)) if blob else None
                    if blob is None or since is None or not is_owed(checkpoint, blob, since, now):
                        continue
                    if must_end():
                        is_through = False
                        return
                    self._report.count("behind", Container.of(blob))
                    yield blob

            self._forward_each(due(), now)
            return is_through

        try:
            search_unsettled(pipeline.checkpoints, self._cursors, now, forward, must_end)
        except FlowlogError as error:
            log.warning("cannot look for claims that ran out: %s", error)
            self._report.is_whole = False

    def _forward_young(self, container: Container, stored: StoredCursor) -> bool:
        """Hold the container's cursor, and forward what is behind in the youngest hours.

        Nothing is noted at the cursor: the pass over the window comes to these hours too. Returns
        False if the container cannot be listed, or if another sweep has it.
        """
        taken = self._hold(container, stored)
        if taken is None:
            return False
        held, cursor = taken
        now = held.now()
        is_listed = True
        try:
            young_since = self._options.young_since(now)
            for step in flow_logs_since(self._lister, *container, young_since):
                behind, _, _ = self._behind(step.listed, cursor, now)
                self._young.update(one.blob for one in step.listed)
                self._forward_each(self._while_young(behind, held, cursor), now)
                held.save_now_and_then(cursor)
                if self._is_past(_YOUNG):
                    break
        except NotFound:
            log.debug("%s/%s does not exist yet", *container)
        except ClaimLost:
            raise
        except FlowlogError as error:
            log.warning("cannot list %s/%s: %s", *container, error)
            self._report.count("failed", container)
            is_listed = False
        finally:
            with suppress(FlowlogError):  # it runs out by itself
                self._release(container, held)
        return is_listed

    def _while_young(
        self, behind: Sequence[Listed], held: HeldCursor, cursor: Cursor
    ) -> Iterator[BlobRef]:
        for one in behind:
            if self._is_past(_YOUNG):
                return
            held.save_now_and_then(cursor)
            self._report.count("behind", Container.of(one.blob))
            yield one.blob

    def _hold(self, container: Container, stored: StoredCursor) -> tuple[HeldCursor, Cursor] | None:
        """Hold the container's cursor; None if another sweep has it."""
        options = self._options
        taken = hold(
            self._cursors,
            container,
            stored,
            lambda last, now: next_cursor(last, now, options.hours, options.since),
            self._pipeline,
            rings=options.young_hours > 0,
        )
        if taken is None:
            log.info("another sweep of %s/%s is running", *container)
            self._report.is_whole = False
        return taken

    def _release(
        self, container: Container, held: HeldCursor, cursor: Cursor | None = None
    ) -> None:
        if held.release(cursor) and container not in self._asked_for:
            self._asked_for.append(container)

    def _sweep(self, container: Container, stored: StoredCursor) -> bool:
        """Hold the container's cursor and go on with its pass. False if another sweep has it."""
        if self._options.young_hours:  # this sweep has held it meanwhile
            stored = self._cursors.get(container)
        taken = self._hold(container, stored)
        if taken is None:
            return False
        held, cursor = taken
        try:
            cursor = self._go_through(container, cursor, held.now(), held)
        except BaseException:
            with suppress(FlowlogError):  # it runs out by itself
                held.release()
            raise
        self._release(container, held, cursor)
        return True

    def _go_through(
        self, container: Container, cursor: Cursor, now: datetime, held: HeldCursor | None
    ) -> Cursor:
        """From `cursor` to the end of the pass, or as far as the time allows."""
        all_listed = True
        try:
            until = self._options.until
            for step in flow_logs_since(
                self._lister, *container, cursor.since, cursor.done, until=until
            ):
                self._report.add_not_flow_logs(*container, step.others)
                behind, deadly, cursor = self._behind(step.listed, cursor, now)
                self._report.count("behind", container, len(behind) + len(deadly))
                cursor = self._forward(behind, cursor, now, held)
                if self._ended_early:
                    return cursor
                cursor = self._forward_alone(deadly, step, cursor, now, held)
                if step.done:
                    cursor = cursor.at(step.done)
                    self._got_further = True
                if held is not None:
                    (held.save if behind else held.save_now_and_then)(cursor)
                if self._must_end():
                    return cursor
        except NotFound:
            self._report.missing.append("/".join(container))
            log.debug("%s/%s does not exist yet", *container)
        except ClaimLost:
            raise
        except FlowlogError as error:
            log.warning("cannot list %s/%s: %s", *container, error)
            self._report.count("failed", container)
            cursor = cursor.with_unfinished(cursor.since)
            all_listed = False
        self._got_further = True
        ended = now if held is None else held.now()
        return cursor.over(ended if all_listed else None)

    def _is_past(self, part: float) -> bool:
        """Told to stop, or such a part of the time is over."""
        took_s = self._pipeline.clock.monotonic() - self._started
        return self._stop.is_set() or took_s >= self._options.max_s * part

    def _must_end(self) -> bool:
        """Told to stop, or out of time; but a sweep that never got further would never end."""
        is_late = self._got_further and self._is_past(1)
        if is_late or self._stop.is_set():
            self._ended_early, self._report.is_whole = True, False
        return self._ended_early

    def _forward(
        self, behind: Sequence[Listed], cursor: Cursor, now: datetime, held: HeldCursor | None
    ) -> Cursor:
        """Forward blobs until the time is up; the cursor then is at the last that was begun."""
        last_begun: Listed | None = None

        def in_time() -> Iterator[Listed]:
            nonlocal last_begun
            for one in behind:
                if self._must_end():
                    return
                if held is not None:
                    held.save_now_and_then(cursor)
                last_begun, self._got_further = one, True
                yield one

        for blob in self._forward_each((one.blob for one in in_time()), now):
            cursor = cursor.with_unfinished(blob.log.hour)
        return cursor if last_begun is None else cursor.at(last_begun.blob.name)

    def _forward_alone(
        self,
        deadly: Sequence[Listed],
        step: Step,
        cursor: Cursor,
        now: datetime,
        held: HeldCursor | None,
    ) -> Cursor:
        """Forward blobs at which workers keep ending, with the cursor saved behind them all."""
        if not deadly:
            return cursor
        for one in deadly:
            cursor = cursor.with_unfinished(one.blob.log.hour)
        cursor = cursor.at(step.done or step.listed[-1].blob.name)
        self._got_further = True
        for one in deadly:
            if self._must_end():
                break
            if held is not None:
                held.save(cursor)
            self._forward_each([one.blob], now)
        return cursor

    def _behind(
        self, listed: Sequence[Listed], cursor: Cursor, now: datetime
    ) -> tuple[list[Listed], list[Listed], Cursor]:
        """The blobs that are to be forwarded now; those left for later are noted as unfinished.

        Apart from the others come those at which workers keep ending.
        """
        report, options = self._report, self._options
        behind: list[Listed] = []
        deadly: list[Listed] = []
        wanted = [one for one in listed if options.only(one.blob)]
        if wanted:  # all of one container
            anew = sum(one.blob not in self._young for one in wanted)
            report.count("looked_at", Container.of(wanted[0].blob), anew)
        for one, checkpoint in behind_with_checkpoints(self._pipeline.checkpoints, wanted, now):
            is_anew = one.blob not in self._young
            match what_is_due(one, checkpoint, options, now):
                case "now":
                    behind.append(one)
                case "alone":
                    deadly.append(one)
                case "later":
                    cursor = cursor.with_unfinished(one.blob.log.hour)
                case "later, as it failed":
                    cursor = cursor.with_unfinished(one.blob.log.hour)
                    if is_anew:
                        report.count("backing_off", Container.of(one.blob))
                        report.add_still_behind(one.blob)
                case "never: archived":
                    if is_anew:
                        report.add_archived(one.blob)
                case "never: older":
                    report.add_older(one.blob, bytes_behind(one, checkpoint))
        return behind, deadly, cursor
