"""Plays Event Grid and the Functions host: delivers each event to a worker thread.

As in Azure, events for one blob run at the same time, some arrive twice, some late. A failed event
is retried at once, five times in all (`poisonBlobThreshold`).
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from flowlog_core.ingest import Outcome

log = logging.getLogger(__name__)

_WORKERS = 8
_TRIES = 5
_TWICE = 0.15
_LATE = 0.08
_LATE_BY_S = (0.2, 0.6)


class BlobCreated(NamedTuple):
    """One event. Like Event Grid's it has the blob's length, which Flowlog does not trust."""

    label: str
    container: str
    name: str
    blob_bytes: int


@dataclass(slots=True)
class Tally:
    """The results of the events so far."""

    appends: int = 0
    whole_bytes: int = 0
    """How many bytes a reader would read that reads the whole blob at each append."""
    doubled: int = 0
    late: int = 0
    handed_over: int = 0
    dead_letters: int = 0
    new_bytes: int = 0
    failed: int = 0
    """Attempts that raised an error."""
    given_up: int = 0
    """Events that failed every time."""
    forwarded: Counter[str] = field(default_factory=Counter)
    """Records, by the log's label."""


class Events:
    """Raises events; `handle` (container, blob name) does the work, on a few worker threads."""

    def __init__(self, handle: Callable[[str, str], Outcome], seed: int) -> None:
        self._handle = handle
        self._random = random.Random(seed)  # noqa: S311  # which events arrive twice or late, no secret
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="demo-event")
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._pending = 0
        self._tally = Tally()

    def publish(self, event: BlobCreated) -> None:
        """Deliver the event: usually once and at once."""
        with self._lock:
            deliveries = 2 if self._random.random() < _TWICE else 1
            late_by_s = self._random.uniform(*_LATE_BY_S) if self._random.random() < _LATE else 0.0
            self._pending += deliveries
            self._tally.appends += 1
            self._tally.whole_bytes += event.blob_bytes
            self._tally.doubled += deliveries > 1
            self._tally.late += late_by_s > 0
        for _ in range(deliveries):
            self._pool.submit(self._deliver, event, time.monotonic() + late_by_s)

    @property
    def pending(self) -> int:
        """Number of unfinished deliveries."""
        with self._lock:
            return self._pending

    def tally(self) -> Tally:
        """The current results."""
        with self._lock:
            return replace(self._tally, forwarded=self._tally.forwarded.copy())

    def close(self) -> None:
        """Drop deliveries that have not started, and wait for the others."""
        self._closing.set()
        self._pool.shutdown(cancel_futures=True)

    def _deliver(self, event: BlobCreated, not_before_s: float) -> None:
        self._closing.wait(max(0.0, not_before_s - time.monotonic()))
        outcome: Outcome | None = None
        failed = 0
        while outcome is None and failed < _TRIES and not self._closing.is_set():
            try:
                outcome = self._handle(event.container, event.name)
            except Exception as error:  # noqa: BLE001 - any exception is a failure to the host too
                failed += 1
                log.warning("%s failed, try %d: %s", event.label, failed, error)
        with self._lock:
            self._count(event, outcome, failed)

    def _count(self, event: BlobCreated, outcome: Outcome | None, failed: int) -> None:
        tally = self._tally
        self._pending -= 1
        tally.failed += failed
        if outcome is None:
            tally.given_up += 1
            return
        tally.handed_over += outcome.how == "handed_over"
        tally.dead_letters += outcome.dead_letters
        tally.new_bytes += outcome.new_bytes
        tally.forwarded[event.label] += outcome.records
