"""Finding blobs that are ahead of their checkpoints, and forwarding them.

It makes good what events cannot: those that were lost, those whose worker died with its claim, and
those that failed until the host gave up. Per blob it costs its share of a listing page and of a
page of checkpoints; only what is behind costs more.

    names, in order      a b c d e f g h i j k l m n o p
    first sweep          ------------> time is up, the cursor is kept
    next sweep                        -----------------> end; the one after begins at a again

Only one sweep runs at a time: it claims a checkpoint of its own, which also keeps its cursor.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from flowlog_core.blob import BlobRef
from flowlog_core.checkpoint import Checkpoint, CheckpointKey, Failure, checkpoint_key
from flowlog_core.claim import take_or_ring
from flowlog_core.errors import ClaimLost, FlowlogError, NotFound
from flowlog_core.ingest import Outcome, Pipeline, ingest
from flowlog_core.source.listing import BlobLister, Listed, flow_logs_since
from flowlog_core.sweep.cursor import SweepPass
from flowlog_core.sweep.report import Place, Scope, Summary

__all__ = ["SWEEP_KEY", "Place", "Scope", "Summary", "Sweep", "is_behind", "try_again_at"]

log = logging.getLogger(__name__)

SWEEP_KEY = CheckpointKey("sweep", "cursor")
SETTLED_AFTER = timedelta(hours=3)
"""How long after its hour has begun nobody appends to a blob any more: one hour to write it, the
rest for a late Network Watcher. What makes no entry by then never will."""
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_BACKOFF_S, _MOST_BACKOFF_S = 60, 6 * 3600


class Runner(Protocol):
    """Runs several things at a time, or one after the other: a `Parallel`."""

    def __call__(self, items: Iterable[Listed], do: Callable[[Listed], object]) -> int:
        """Do all; an item is drawn when there is room for it."""
        ...


class IngestOne(Protocol):
    """What is done with a blob that is behind: `ingest`."""

    def __call__(self, blob: BlobRef, pipeline: Pipeline, *, final: bool) -> Outcome:
        """See `ingest`."""
        ...


class Sweep:
    """Sweeps as often as `run` is called; `stop` ends it early, as the end of its time does."""

    def __init__(
        self,
        lister: BlobLister,
        pipeline: Pipeline,
        scope: Scope,
        parallel: Runner,
        stop: threading.Event | None = None,
        ingest_one: IngestOne = ingest,
    ) -> None:
        self._lister, self._pipeline, self._scope = lister, pipeline, scope
        self._parallel, self._stop = parallel, stop or threading.Event()
        self._ingest_one = ingest_one
        self._lock = threading.Lock()

    def run(self) -> Summary:
        """Carry on where the last sweep stopped, until the end of the pass or of the time.

        Blobs that fail are counted and named in the log; they keep no other blob from its turn.
        Raises a `FlowlogError` only where the sweep's own checkpoint cannot be used.
        """
        pipeline = self._pipeline
        claim = take_or_ring(
            pipeline.checkpoints,
            SWEEP_KEY,
            "the sweep",
            pipeline.new_owner(),
            pipeline.owned_for_s,
            pipeline.clock,
        )
        if claim is None:
            log.info("another sweep is going on")
            return Summary(is_whole=False)
        try:
            going = SweepPass.continued(
                claim.progress.note, claim.now(), self._scope.hours, self._scope.since
            )

            def save(come_this_far: SweepPass) -> None:
                claim.commit(replace(claim.progress, note=come_this_far.to_note()))

            summary, going = self._go_on(going, claim.now(), save, claim.keep)
            while not claim.finish(replace(claim.progress, note=going.to_note())):
                claim.look()  # another sweep has rung and left: it would have found the same
        except ClaimLost:
            log.warning("another sweep took over, as this one stood still for too long")
            return Summary(is_whole=False)
        except BaseException as error:
            claim.abandon(str(error) or type(error).__name__)
            raise
        log.info("swept: %s", summary)
        if summary.archived:
            log.warning("%s", summary.told_of_archived)
        return summary

    def look_at_all(self) -> Summary:
        """One pass over every hour there is, without a memory and beside other sweeps."""
        now = self._pipeline.checkpoints.get(SWEEP_KEY).server_time
        return self._go_on(SweepPass(now, _BEGINNING), now, _nothing, _nothing)[0]

    def _go_on(
        self,
        going: SweepPass,
        now: datetime,
        save: Callable[[SweepPass], None],
        keep: Callable[[], None],
    ) -> tuple[Summary, SweepPass]:
        """From where `going` stands to the end of the pass, or of the time."""
        started, summary = self._pipeline.clock.monotonic(), Summary()

        def may_begin_another() -> bool:
            keep()
            took_s = self._pipeline.clock.monotonic() - started
            return took_s < self._scope.most_s and not self._stop.is_set()

        for place in sorted(self._scope.places):
            if place < (going.account, going.container):
                continue
            if place != (going.account, going.container):
                going = going.at(*place, "")
            try:
                batches = flow_logs_since(self._lister, *place, going.since, going.name)
                for batch in batches:
                    going = self._batch(batch, going, now, summary, may_begin_another)
                    if not summary.is_whole:
                        return summary, going
                    save(going)
            except NotFound:
                log.debug("%s/%s does not exist yet", *place)
            except ClaimLost:
                raise
            except FlowlogError as error:
                log.warning("cannot look for what is behind in %s/%s: %s", *place, error)
                summary.failed += 1
                going = going.owing(going.since)
        return summary, going.over()

    def _batch(
        self,
        batch: Sequence[Listed],
        going: SweepPass,
        now: datetime,
        summary: Summary,
        may_begin_another: Callable[[], bool],
    ) -> SweepPass:
        """Forward what is behind in one batch; the pass as far as that came."""
        owing: list[Listed] = []
        reached = batch[-1].blob.name
        behind = list(self._behind(batch, now, summary, owing))
        summary.looked_at += len(batch)
        summary.behind += len(behind)

        def in_time() -> Iterator[Listed]:
            nonlocal reached
            for number, one in enumerate(behind):
                if not may_begin_another():
                    # Back to the last that was begun, or to where this batch began.
                    reached = behind[number - 1].blob.name if number else going.name
                    summary.is_whole = False
                    return
                yield one

        def take(one: Listed) -> None:
            settled = now - one.blob.log.hour >= SETTLED_AFTER
            try:
                outcome = self._ingest_one(one.blob, self._pipeline, final=settled)
            except Exception:
                # Whatever it is, it must not keep the other blobs from their turn. `ingest` has
                # told the log; the blob's checkpoint counts the attempts and makes it wait.
                log.debug("failed %s", one.blob, exc_info=True)
                with self._lock:
                    summary.failed += 1
                    owing.append(one)
            else:
                with self._lock:
                    summary.add(outcome)

        self._parallel(in_time(), take)
        for one in owing:
            going = going.owing(one.blob.log.hour)
        return going.at(going.account, going.container, reached)

    def _behind(
        self, batch: Sequence[Listed], now: datetime, summary: Summary, owing: list[Listed]
    ) -> Iterator[Listed]:
        rows: dict[str, list[str]] = defaultdict(list)
        keys = [checkpoint_key(one.blob) for one in batch]
        for key in keys:
            rows[key.partition].append(key.row)
        stored = {
            partition: self._pipeline.checkpoints.between(partition, min(found), max(found))
            for partition, found in rows.items()
        }
        for one, key in zip(batch, keys, strict=True):
            checkpoint = stored[key.partition].get(key.row)
            if not is_behind(one, checkpoint, now):
                continue
            if one.is_archived:
                # Not owed: no later pass could read it either. Who rehydrates it asks for it anew.
                summary.add_archived(one.blob)
            elif (now - one.last_modified).total_seconds() < self._scope.untouched_for_s:
                owing.append(one)  # its event is on the way, and may yet be lost
            elif checkpoint and checkpoint.failure and now < try_again_at(checkpoint.failure):
                summary.backing_off += 1
                owing.append(one)
            else:
                yield one


def _nothing(*_: object) -> None:
    """For a sweep that has no claim to keep and no cursor to save."""


def is_behind(one: Listed, checkpoint: Checkpoint | None, now: datetime) -> bool:
    """Whether a blob has something that its checkpoint does not know to be forwarded."""
    if one.blob_bytes == 0:
        return False
    if checkpoint is None or checkpoint.progress.etag != one.etag:
        return True
    return checkpoint.progress.pending_bytes > 0 and now - one.blob.log.hour >= SETTLED_AFTER


def try_again_at(failure: Failure) -> datetime:
    """When the sweep gives a failing blob its next turn: a minute, doubled each time, at most 6 h.

    Events of the blob are not held up by this; they are the host's to deliver.
    """
    wait_s = min(_FIRST_BACKOFF_S * 2 ** min(failure.attempts - 1, 20), _MOST_BACKOFF_S)
    return failure.at + timedelta(seconds=wait_s)
