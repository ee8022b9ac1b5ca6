"""The right to forward one blob: take it or ring, keep it, commit, finish.

    worker A   get  claim ........ read  send  commit . read  send   finish: rung, so commit
    worker B              get ring (leaves: its event is A's now)            A reads again ...

- Every write is conditional on the ETag of the version last seen. Of two who write at once, one
  gets `Conflict`, reads again and decides anew; so no ring, commit or claim is ever overwritten.
- A ring is a counter. The owner notes it before it looks at the blob, and may only let go while
  it still stands where it stood: an event that came after the look makes it look again.
- A conflict may also be the owner's own write, made by a call whose answer got lost. The owner
  name belongs to one invocation alone, so what stands there tells: mine, another's, or done.
- What this process released last it claims again without reading it: If-Match with the ETag that
  the release's own answer brought. A conflict means that somebody else came: read, decide anew.
- A claim that its owner has not released is taken over once it has run out, or at once where its
  process is known to be gone. That is judged after the read whose ETag the takeover carries: what
  the dead process still wrote before then is seen, and what arrives later meets a newer ETag.
- A blob may itself be what ends its process. So an event takes a blob over once in ten minutes and
  otherwise leaves it to the sweep, and a takeover counts as a failed attempt.
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

from flowlog_core.checkpoints.checkpoint import (
    Answer,
    Checkpoint,
    CheckpointKey,
    CheckpointStore,
    Failure,
    Progress,
    Refusal,
)
from flowlog_core.checkpoints.released import Released, Seen
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

_DATE_RESOLUTION_S = 1.0
_MAX_ERROR_CHARACTERS = 1000
_ONE_ATTEMPT = timedelta(minutes=1)
"""Tries that follow each other sooner are one attempt: the host repeats a failed call at once."""
MAX_REFUSALS = 3
"""After so many, the entry that a service refuses for what it is becomes a dead letter."""
_REFUSALS_APART = timedelta(minutes=10)
"""Those that follow each other sooner are one: a wrong release may be taken back meanwhile."""
TAKEN_OVER = "the worker that held the claim ended, or stood still, before it released the claim"
"""The error of a takeover."""
_EVENTS_TAKE_OVER_EVERY = timedelta(minutes=10)
_MAX_TRIES = 64
"""A conflict means that somebody else got on, so this many in a row are a fault, not bad luck."""
_MAX_PAUSE_S = 0.1  # so that all tries together are shorter than the shortest claim by far


class _TimedStore:
    """The store, noting for every answer when it was asked for."""

    def __init__(
        self,
        store: CheckpointStore,
        key: CheckpointKey,
        clock: Clock,
        released: Released | None = None,
    ) -> None:
        self._store, self._key, self.clock, self._released = store, key, clock, released
        self.conflicts = 0

    def get(self) -> Seen:
        return self._timed(lambda: self._store.get(self._key))

    def create(self, checkpoint: Checkpoint) -> Seen:
        return self._timed(lambda: self._store.create(self._key, checkpoint))

    def replace(self, checkpoint: Checkpoint, etag: str) -> Seen:
        return self._timed(lambda: self._store.replace(self._key, checkpoint, etag))

    def release(self, checkpoint: Checkpoint, etag: str) -> None:
        seen = self.replace(checkpoint, etag)
        if self._released is not None:
            self._released.remember(self._key, seen)

    def _timed(self, call: Callable[[], Answer]) -> Seen:
        asked = self.clock.monotonic()
        try:
            answer = call()
        except Conflict:
            self.conflicts += 1
            raise
        return Seen(answer, asked, self.clock.monotonic())


class Claim:
    """A claim that was won. Use `take_or_ring`; every method may raise a `StorageError`."""

    def __init__(
        self, store: _TimedStore, seen: Seen, owner: str, owned_for_s: float, runs_out: float
    ) -> None:
        self._store, self._seen, self._owner, self._owned_for_s = store, seen, owner, owned_for_s
        self._runs_out = runs_out  # on the clock's scale
        self._rings_at_look = self._checkpoint.rings

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

    def gives_up(self, refused: ItemRefused) -> bool:
        """Whether this refusal of an entry is one too many, so that the entry is set aside."""
        counted = _counted(self.refusal, refused, self.now())
        return counted.count >= MAX_REFUSALS

    @property
    def conflicts(self) -> int:
        """How many writes met a newer version of the checkpoint so far."""
        return self._store.conflicts

    def now(self) -> datetime:
        """The service's time, at most one second and the length of a call too early."""
        passed_s = self._store.clock.monotonic() - self._seen.answered
        return self._seen.answer.server_time + timedelta(seconds=passed_s)

    @property
    def _checkpoint(self) -> Checkpoint:
        assert self._seen.answer.checkpoint is not None  # noqa: S101 - for the type checker
        return self._seen.answer.checkpoint

    def look(self) -> None:
        """Call before reading the blob: rings up to here are answered by that reading."""
        self._rings_at_look = self._checkpoint.rings

    def keep(self) -> None:
        """Call before every send: renews the claim in its last third, or after it ran out.

        Raises `ClaimLost` if somebody else has taken the blob; then nothing more may be sent.
        """
        for _ in range(_MAX_TRIES):
            if self._store.clock.monotonic() < self._runs_out - self._owned_for_s / CALLS_A_CLAIM:
                return
            # Looked at again afterwards: the answer may take longer to come than the claim lasts.
            self._write(lambda now: now)
        raise Contention(f"{self._checkpoint.blob}: the claim runs out as fast as it is renewed")

    def commit(self, progress: Progress) -> None:
        """Store `progress` and renew the claim. Raises `ClaimLost`."""
        self._write(
            lambda now: replace(
                now,
                progress=progress,
                deaths=now.deaths if progress.offset == now.progress.offset else 0,
            )
        )

    def finish(self, progress: Progress) -> bool:
        """Store `progress` and let go, in one write. True: let go. Raises `ClaimLost`.

        False: somebody rang since the last look; `progress` is stored, the claim is still held,
        and the blob must be read again.
        """
        if self._let_go(
            lambda now: replace(now, progress=progress, failure=None, deaths=0, taken_over_at=None)
        ):
            return True
        # Without the ETag, as something new is known of. Else an event of that version would count
        # as done when it returns after this worker's death, and the ring with it.
        self.commit(replace(progress, etag=""))
        return False

    def abandon(self, error: BaseException) -> Failure:
        """Let go without getting further, so that whoever tries again is not turned away.

        Counts and keeps the failure; returns it. What was committed stays.
        """
        with suppress(ClaimLost):
            self.look()
            while not self._let_go(lambda now: replace(now, failure=self._failure(error))):
                self.look()
        return self._failure(error)

    def _failure(self, error: BaseException) -> Failure:
        at = self._seen.answer.server_time
        text = (str(error) or type(error).__name__)[:_MAX_ERROR_CHARACTERS]
        counted = _one_more(self._checkpoint.failure, at, text)
        refusal = self.refusal
        if isinstance(error, ItemRefused):
            refusal = _counted(refusal, error, at)
        return replace(counted, is_refused=isinstance(error, Refused), refusal=refusal)

    def _let_go(self, change: Callable[[Checkpoint], Checkpoint]) -> bool:
        """Change and release in one write, unless somebody rang since the last look: False."""
        while self._checkpoint.rings == self._rings_at_look:
            released = replace(change(self._checkpoint), owner="", owned_until=None)
            try:
                self._store.release(released, self._seen.answer.etag)
            except Conflict:
                if not self._still_mine(released):
                    return True
            else:
                return True
        return False

    def _write(self, change: Callable[[Checkpoint], Checkpoint]) -> None:
        for tries in range(_MAX_TRIES):
            _pause(self._store.clock, tries)
            until = _until(self._seen, self._store.clock, self._owned_for_s)
            wanted = replace(change(self._checkpoint), owned_until=until)
            try:
                self._seen = self._store.replace(wanted, self._seen.answer.etag)
            except Conflict:
                self._still_mine(None)
            else:
                self._runs_out = _runs_out(self._seen, until)
                return
        raise Contention(f"{self._checkpoint.blob}: {_MAX_TRIES} writes met a newer checkpoint")

    def _still_mine(self, released: Checkpoint | None) -> bool:
        """Read again after a conflict. False: the release went through, its answer got lost."""
        seen = self._store.get()
        now = seen.answer.checkpoint
        if now is not None and now.owner == self._owner:
            self._seen = seen
            return True
        if released is not None and now is not None and now == released:
            return False
        raise ClaimLost(f"{self._checkpoint.blob}: another worker has taken it")


def _pause(clock: Clock, tries: int) -> None:
    """Wait before another try: two workers meet by chance, but not time and again."""
    if tries > 1:
        clock.sleep(min(0.005 * tries, _MAX_PAUSE_S))


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
    """Take the blob, or tell its present owner that there is something new (then: None).

    `owner` must never be used for another call. What this process `released`
    is claimed without reading it first. `is_gone` says whether the process of an owner has
    certainly ended. Where None is returned, an owner alive at that moment is going to look at the
    blob after this call began: the event is in its hands. Or the blob was taken over from an owner
    that did not release it, and again not released, within ten minutes: then it is left to the
    sweep, which calls with `always_take_over`.

    Raises `AlreadyForwarded` if the version `etag` of the blob was read to its end and committed,
    whoever holds the claim now. Raises `Contention` or a `StorageError`; then the event is not in
    anybody's hands.
    """
    released = released or Released()
    timed = _TimedStore(store, key, clock, released)
    seen, is_remembered = released.first_look(key, clock.monotonic(), timed.get)
    first: Checkpoint | None = None
    unanswered = False
    for tries in range(_MAX_TRIES):
        _pause(clock, tries)
        if tries:
            seen, is_remembered = timed.get(), False
        now, server_time = seen.answer.checkpoint, seen.answer.server_time
        if now is not None and now.progress.has_read(etag):
            raise AlreadyForwarded(f"{blob}: {etag} was forwarded before")
        is_left = now is not None and now.owner not in ("", owner)
        has_died = now is not None and is_left and is_gone(now.owner)
        if now is not None and (
            (now.owned_by_another(owner, server_time) and not has_died)
            or (is_left and not always_take_over and _was_just_taken_over(now, server_time))
        ):
            if first is not None and (first.owner, first.rings) != (now.owner, now.rings):
                return None  # since this call began it was rung or taken: that look covers us
            first = first or now
            with suppress(Conflict):
                timed.replace(replace(now, rings=now.rings + 1), seen.answer.etag)
                return None
            continue
        until = _until(seen, clock, owned_for_s)
        wanted = replace(now or Checkpoint(blob), owner=owner, owned_until=until)
        if now is not None and is_left:
            log.warning("%s is taken over from %s: %s", blob, now.owner, TAKEN_OVER)
            # The time of this write, not of the look before it, which may be minutes ago.
            at = server_time + timedelta(seconds=clock.monotonic() - seen.asked)
            wanted = replace(
                wanted,
                failure=_one_more(now.failure, at, TAKEN_OVER),
                deaths=now.deaths + has_died,
                taken_over_at=at,
            )
        try:
            claimed = (
                timed.create(wanted) if now is None else timed.replace(wanted, seen.answer.etag)
            )
            if is_remembered:
                released.held(True)
            return Claim(timed, claimed, owner, owned_for_s, _runs_out(claimed, until))
        except (Conflict, NotFound):
            # Changed or removed since: read it and decide anew.
            if is_remembered:
                released.held(False)
        except Unavailable:
            # It may be ours all the same; then leaving would turn away whoever tries this again.
            if unanswered:
                raise
            unanswered = True
    raise Contention(f"{blob}: {_MAX_TRIES} attempts to take it met a newer checkpoint")


def _was_just_taken_over(now: Checkpoint, server_time: datetime) -> bool:
    last = now.taken_over_at
    return last is not None and server_time - last < _EVENTS_TAKE_OVER_EVERY


def _one_more(before: Failure | None, at: datetime, error: str) -> Failure:
    attempts = 1 if before is None else before.attempts
    if before is not None and at - before.at >= _ONE_ATTEMPT:
        attempts += 1
    return Failure(attempts, at, error, refusal=before.refusal if before else None)


def _counted(before: Refusal | None, refused: ItemRefused, at: datetime) -> Refusal:
    """With this refusal too, unless it follows the last one of the entry too soon."""
    if before is None or before.entry_id != refused.entry_id:
        return Refusal(refused.entry_id, 1, at)
    if at - before.at < _REFUSALS_APART:
        return before
    return Refusal(refused.entry_id, before.count + 1, at)


def _until(seen: Seen, clock: Clock, owned_for_s: float) -> datetime:
    """The end of a claim made now, in the service's time; too early if the machine was frozen."""
    passed_s = clock.monotonic() - seen.answered
    return seen.answer.server_time + timedelta(seconds=passed_s + owned_for_s)


def _runs_out(written: Seen, until: datetime) -> float:
    """The end of a claim on our own clock, not later than `until`, from the answer to its write."""
    owned_s = (until - written.answer.server_time).total_seconds()
    return written.asked + owned_s - _DATE_RESOLUTION_S
