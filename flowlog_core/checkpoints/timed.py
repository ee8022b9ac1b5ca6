"""One checkpoint in its store, with every answer timed by the worker's clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from flowlog_core.checkpoints.checkpoint import Answer, Checkpoint, CheckpointKey, CheckpointStore
from flowlog_core.checkpoints.released import Released
from flowlog_core.clock import Clock
from flowlog_core.errors import Conflict

_DATE_RESOLUTION_S = 1.0
_MAX_PAUSE_S = 0.1  # so that all tries together are shorter than the shortest claim by far


class TimedStore:
    """Reads and writes one checkpoint. Raises what `CheckpointStore` does."""

    def __init__(
        self,
        store: CheckpointStore,
        key: CheckpointKey,
        clock: Clock,
        owned_for_s: float,
        released: Released,
    ) -> None:
        self._store, self._key, self._released = store, key, released
        self.clock, self.owned_for_s = clock, owned_for_s
        self.conflicts = 0
        """How many writes met a newer version so far."""

    def get(self) -> Answer:
        """The checkpoint as it is now."""
        return self._timed(lambda: self._store.get(self._key))

    def replace(self, checkpoint: Checkpoint, etag: str) -> Answer:
        """Store the version after `etag`."""
        return self._timed(lambda: self._store.replace(self._key, checkpoint, etag))

    def own(self, seen: Answer, wanted: Checkpoint) -> tuple[Answer, float]:
        """Store the version after `seen`, with a claim that begins now.

        Returns the answer, and when the claim ends on the worker's clock: never later than
        `owned_until` is for others.
        """
        until = self.now(seen) + timedelta(seconds=self.owned_for_s)
        wanted = replace(wanted, owned_until=until)
        if seen.checkpoint is None:
            written = self._timed(lambda: self._store.create(self._key, wanted))
        else:
            written = self.replace(wanted, seen.etag)
        owned_s = (until - written.server_time).total_seconds()
        return written, written.asked + owned_s - _DATE_RESOLUTION_S

    def release(self, checkpoint: Checkpoint, etag: str) -> None:
        """Store the version after `etag`, which has no owner, and remember it."""
        self._released.remember(self._key, self.replace(checkpoint, etag))

    def now(self, seen: Answer) -> datetime:
        """The service's time; too early by up to a second and the call that brought `seen`."""
        return seen.server_time + timedelta(seconds=self.clock.monotonic() - seen.answered)

    def pause(self, tries: int) -> None:
        """Wait before another try, so that two workers do not meet again."""
        if tries > 1:
            self.clock.sleep(min(0.005 * tries, _MAX_PAUSE_S))

    def _timed(self, call: Callable[[], Answer]) -> Answer:
        asked = self.clock.monotonic()
        try:
            answer = call()
        except Conflict:
            self.conflicts += 1
            raise
        return replace(answer, asked=asked, answered=self.clock.monotonic())
