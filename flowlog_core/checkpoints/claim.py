"""The right to forward one blob: take it or ring, keep it, commit, finish.

    worker A   get  claim ........ read  send  commit . read  send   finish: rung, so commit
    worker B              get ring (leaves: its event is A's now)            A reads again ...

- Every write is conditional on the ETag of the version last seen. Of two who write at once, one
  gets `Conflict`, reads and decides again; so no ring, commit or claim is ever overwritten.
- A ring is a counter. The owner notes it before it looks at the blob, and may only let go while
  the counter is unchanged: an event that came after the look makes it look again.
- A conflict may also be the owner's own write, made by a call whose answer got lost. An owner id
  belongs to one invocation, so reading the checkpoint shows: mine, another's, or released.
- A process claims what it released last without reading it: If-Match with the ETag that the
  release's own answer brought. A conflict means that somebody else came: read and decide again.
- A claim that its owner has not released is taken over once it has run out, or at once if its
  process is known to be gone. That is decided after the read whose ETag the takeover carries: what
  the dead process wrote before the read is seen, and what arrives later meets a newer ETag.
- The blob itself may be what ends the process. So an event takes a blob over once in ten minutes
  and otherwise leaves it to the sweep, and a takeover counts as a failed attempt.
- Time is the storage service's, from the `Date` of its answers. A claim ends on the owner's clock
  `owned_until` less the `Date` of the answer to its write, counted from when that was asked, so a
  machine that was frozen before does not overrate it. `Date` has whole seconds, so it ends one
  second earlier; the others wait the full time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from flowlog_core.checkpoints.checkpoint import (
    Answer,
    Checkpoint,
    CheckpointKey,
    CheckpointStore,
    Failure,
    Progress,
    Refusal,
)
from flowlog_core.checkpoints.failures import MAX_REFUSALS, failed_again, refused_again
from flowlog_core.checkpoints.released import Released
from flowlog_core.checkpoints.timed import TimedStore
from flowlog_core.clock import Clock
from flowlog_core.errors import (
    AlreadyForwarded,
    ClaimLost,
    Conflict,
    Contention,
    ItemRefused,
    NotFound,
    Refused,
    Unavailable,
)
from flowlog_core.storage.timeouts import CALLS_A_CLAIM

log = logging.getLogger(__name__)

TAKEN_OVER = "the worker that held the claim ended, or was suspended, before it released the claim"
"""The error of a takeover."""
_EVENTS_TAKE_OVER_EVERY = timedelta(minutes=10)
_MAX_ERROR_CHARACTERS = 1000
_MAX_TRIES = 64
"""Each conflict means that another worker made progress, so this many in a row are a fault."""


def take_or_ring(  # noqa: PLR0913 - all that a claim depends on, injected
    store: CheckpointStore,
    key: CheckpointKey,
    blob: str,
    owner: str,
    owned_for_s: float,
    clock: Clock,
    released: Released | None = None,
    *,
    is_gone: Callable[[str], bool] = lambda _: False,
    always_take_over: bool = False,
    etag: str = "",
) -> Claim | None:
    """Claim the blob, or tell its present owner that there is something new (then: None).

    `owner` must never be used for another call. What this process `released` last is claimed
    without reading it first. `is_gone` says whether the process of an owner has certainly ended.

    None means that an owner alive at that moment will look at the blob after this call began: the
    event is in its hands. Or that the blob was taken over from an owner that did not release it,
    and again not released, within ten minutes: it is left to the sweep, which calls with
    `always_take_over`.

    Raises `AlreadyForwarded` if the version `etag` of the blob was read to its end and committed,
    no matter which worker holds the claim. Raises `Contention` or a `StorageError`; then the event
    is not in anybody's hands.
    """
    released = released or Released()
    timed = TimedStore(store, key, clock, owned_for_s, released)
    seen, is_remembered = released.first_look(key, clock.monotonic(), timed.get)
    first: Checkpoint | None = None
    unanswered = False
    for tries in range(_MAX_TRIES):
        timed.pause(tries)
        if tries:
            seen, is_remembered = timed.get(), False
        now = seen.checkpoint or Checkpoint(blob)
        if now.progress.has_read(etag):
            raise AlreadyForwarded(f"{blob}: {etag} was forwarded before")
        is_left = now.owner not in ("", owner)
        has_died = is_left and is_gone(now.owner)
        if (now.owned_by_another(owner, seen.server_time) and not has_died) or (
            is_left and not always_take_over and _was_just_taken_over(now, seen.server_time)
        ):
            if first is not None and (first.owner, first.rings) != (now.owner, now.rings):
                # It was rung or taken since this call began: the owner's look covers us.
                return None
            first = first or now
            with suppress(Conflict):
                timed.replace(replace(now, rings=now.rings + 1), seen.etag)
                return None
            continue
        wanted = replace(now, owner=owner)
        if is_left:
            log.warning("%s is taken over from %s: %s", blob, now.owner, TAKEN_OVER)
            # The time of this write, not of the look before it, which may be minutes ago.
            at = seen.server_time + timedelta(seconds=clock.monotonic() - seen.asked)
            failure = failed_again(now.failure, at, TAKEN_OVER)
            wanted = replace(
                wanted, failure=failure, deaths=now.deaths + has_died, taken_over_at=at
            )
        try:
            claimed, runs_out = timed.own(seen, wanted)
        except (Conflict, NotFound):
            # Changed or removed since: read it and decide again.
            if is_remembered:
                released.held(False)
        except Unavailable:
            # It may be ours; then leaving would turn away the next attempt.
            if unanswered:
                raise
            unanswered = True
        else:
            if is_remembered:
                released.held(True)
            return Claim(timed, claimed, owner, runs_out)
    raise Contention(f"{blob}: {_MAX_TRIES} attempts to take it met a newer checkpoint")


def _was_just_taken_over(now: Checkpoint, server_time: datetime) -> bool:
    last = now.taken_over_at
    return last is not None and server_time - last < _EVENTS_TAKE_OVER_EVERY


class Claim:
    """A claim that was won. Use `take_or_ring`; every method may raise a `StorageError`."""

    def __init__(self, store: TimedStore, seen: Answer, owner: str, runs_out: float) -> None:
        self._store, self._seen, self._owner = store, seen, owner
        self._runs_out = runs_out  # on the clock's scale
        self._rings_at_look = self._checkpoint.rings

    @property
    def _checkpoint(self) -> Checkpoint:
        assert self._seen.checkpoint is not None  # noqa: S101 - for the type checker
        return self._seen.checkpoint

    @property
    def progress(self) -> Progress:
        """What is committed."""
        return self._checkpoint.progress

    @property
    def deaths(self) -> int:
        """How many processes have ended at this offset, each while it owned the blob."""
        return self._checkpoint.deaths

    @property
    def refusal(self) -> Refusal | None:
        """The entry ahead that a service refused for what it is; None if there is none."""
        failure = self._checkpoint.failure
        refusal = failure.refusal if failure is not None else None
        return refusal if refusal is not None and refusal.is_ahead_of(self.progress) else None

    @property
    def conflicts(self) -> int:
        """How many writes met a newer version of the checkpoint so far."""
        return self._store.conflicts

    def now(self) -> datetime:
        """The service's time, at most one second and the length of a call too early."""
        return self._store.now(self._seen)

    def gives_up(self, refused: ItemRefused) -> bool:
        """Whether this refusal is the last, so that the entry becomes a dead letter."""
        return refused_again(self.refusal, refused.entry_id, self.now()).count >= MAX_REFUSALS

    def look(self) -> None:
        """Call before reading the blob: the read covers all rings so far."""
        self._rings_at_look = self._checkpoint.rings

    def keep(self) -> None:
        """Call before every send: renews the claim in its last third, or after it ran out.

        Raises `ClaimLost` if somebody else has taken the blob; then nothing more may be sent.
        """
        renewed_for_s = self._store.owned_for_s / CALLS_A_CLAIM
        for _ in range(_MAX_TRIES):
            if self._store.clock.monotonic() < self._runs_out - renewed_for_s:
                return
            # Looked at again afterwards: the answer may take longer to come than the claim lasts.
            self._write()
        raise Contention(f"{self._checkpoint.blob}: the claim runs out as fast as it is renewed")

    def commit(self, progress: Progress) -> None:
        """Store `progress` and renew the claim. Raises `ClaimLost`."""
        has_moved = progress.offset != self.progress.offset
        self._write(progress=progress, deaths=0 if has_moved else self.deaths)

    def finish(self, progress: Progress) -> bool:
        """Store `progress` and release the claim, in one write. Raises `ClaimLost`.

        Returns False if somebody rang since the last look. Then `progress` is stored, the claim is
        still held, and the blob must be read again.
        """
        if self._let_go(progress=progress, failure=None, deaths=0, taken_over_at=None):
            return True
        # Without the ETag, as something new is known of. Else an event of that version would count
        # as done if it returns after this worker's death, and the ring would be lost.
        self.commit(replace(progress, etag=""))
        return False

    def abandon(self, error: BaseException) -> Failure:
        """Release the claim after a failure, so that the next attempt can claim the blob.

        Counts and stores the failure; returns it. What was committed stays.
        """
        failure = self._failure(error)
        with suppress(ClaimLost):
            self.look()
            while not self._let_go(failure=failure):
                self.look()
        return failure

    def _failure(self, error: BaseException) -> Failure:
        at = self._seen.server_time
        text = (str(error) or type(error).__name__)[:_MAX_ERROR_CHARACTERS]
        refusal = self.refusal
        if isinstance(error, ItemRefused):
            refusal = refused_again(refusal, error.entry_id, at)
        counted = failed_again(self._checkpoint.failure, at, text)
        return replace(counted, is_refused=isinstance(error, Refused), refusal=refusal)

    def _let_go(self, **changes: Any) -> bool:
        """Change and release in one write, unless somebody rang since the last look: False."""
        while self._checkpoint.rings == self._rings_at_look:
            released = replace(self._checkpoint, owner="", owned_until=None, **changes)
            try:
                self._store.release(released, self._seen.etag)
            except Conflict:
                if not self._still_mine(released):
                    return True
            else:
                return True
        return False

    def _write(self, **changes: Any) -> None:
        for tries in range(_MAX_TRIES):
            self._store.pause(tries)
            wanted = replace(self._checkpoint, **changes)
            try:
                self._seen, self._runs_out = self._store.own(self._seen, wanted)
            except Conflict:
                self._still_mine(None)
            else:
                return
        raise Contention(f"{self._checkpoint.blob}: {_MAX_TRIES} writes met a newer checkpoint")

    def _still_mine(self, released: Checkpoint | None) -> bool:
        """Read again after a conflict. False if the release was made and only its answer lost."""
        seen = self._store.get()
        if seen.checkpoint is not None and seen.checkpoint.owner == self._owner:
            self._seen = seen
            return True
        if released is not None and seen.checkpoint == released:
            return False
        raise ClaimLost(f"{self._checkpoint.blob}: another worker has taken it")
