"""The checkpoints that this process released last, so that the next claim needs no read.

A released checkpoint has no owner and changes with the next claim or ring only. So a worker may
claim it If-Match with the ETag of the release: that succeeds exactly if nothing happened since.
Otherwise it is forgotten, and the worker reads as if nothing had been remembered.

With several processes, most blobs were last released by another one, and a claim that fails costs
a call instead of saving one. So nothing is claimed from memory while fewer than half of the last
100 claims would have held.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from threading import Lock

from flowlog_core.checkpoints.checkpoint import Answer, CheckpointKey

MAX_ENTRIES = 10_000
"""About 1 KB each. The interfaces of one process have fewer open blobs."""
MAX_AGE_S = 900.0
"""After so long without an append, the blob's hour is over or its interface is quiet."""
JUDGED_BY = 100
"""So many last claims decide whether memory pays. At first they count as held."""


class Released:
    """What a process remembers of its releases. Threads share it."""

    def __init__(
        self,
        max_entries: int = MAX_ENTRIES,
        max_age_s: float = MAX_AGE_S,
        judged_by: int = JUDGED_BY,
    ) -> None:
        self._max_entries, self._max_age_s = max_entries, max_age_s
        self._entries: OrderedDict[CheckpointKey, Answer] = OrderedDict()
        self._held: deque[bool] = deque([True] * judged_by, maxlen=judged_by)
        self._lock = Lock()

    def remember(self, key: CheckpointKey, release: Answer) -> None:
        """Keep the answer to the release, never that of a later read: its ETag fits its content."""
        with self._lock:
            self._entries[key] = release
            self._entries.move_to_end(key)
            while len(self._entries) > self._max_entries:
                self._entries.popitem(last=False)

    def first_look(
        self, key: CheckpointKey, now: float, read: Callable[[], Answer]
    ) -> tuple[Answer, bool]:
        """The checkpoint to claim by, and whether it is remembered rather than `read`.

        `now` is the clock's reading. What is remembered is given out once; call `held` then.
        """
        with self._lock:
            remembered = self._entries.pop(key, None)
            if remembered is not None and now - remembered.answered > self._max_age_s:
                remembered = None
            pays = 2 * sum(self._held) >= len(self._held)
        if remembered is not None and pays:
            return remembered, True
        seen = read()
        if remembered is not None:
            self.held(seen.etag == remembered.etag)
        return seen, False

    def held(self, held: bool) -> None:
        """Note whether the stored checkpoint was still the one that was remembered."""
        with self._lock:
            self._held.append(held)
