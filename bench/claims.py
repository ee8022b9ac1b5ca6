"""Storage calls of an event at the checkpoint, by how many processes share the events.

    python -m bench.claims

Each event goes to a process at random, as the host hands them out; 200 blobs, on fakes. "Always"
claims from memory however rarely that holds; the app stops where it does not pay.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from bench.harness.figures import markdown
from flowlog_core.checkpoints.checkpoint import checkpoint_key
from flowlog_core.checkpoints.claim import take_or_ring
from flowlog_core.checkpoints.released import Released
from flowlog_core.testing.memory import ManualClock, MemoryCheckpoints, some_blob

BLOBS, APPENDS = 200, 60
OWNED_FOR_S = 180.0


class Always(Released):
    def held(self, held: bool) -> None:
        """Is not impressed."""


def calls_an_event(processes: list[Released | None]) -> float:
    clock = ManualClock()
    store = MemoryCheckpoints(clock)
    order = random.Random(1)
    blobs = [some_blob(mac=f"{number:012X}") for number in range(BLOBS)]
    for append in range(APPENDS):
        clock.sleep(60)
        for number, blob in enumerate(blobs):
            claim = take_or_ring(
                store,
                checkpoint_key(blob),
                str(blob),
                f"{append}-{number}",
                OWNED_FOR_S,
                clock,
                order.choice(processes),
            )
            assert claim is not None
            assert claim.finish(claim.progress)
    return sum(store.calls.values()) / (BLOBS * APPENDS)


def main() -> None:
    """Print the table."""
    memories: tuple[Callable[[], Released | None], ...] = (lambda: None, Always, Released)
    rows = [
        (n, *(f"{calls_an_event([memory() for _ in range(n)]):.2f}" for memory in memories))
        for n in (1, 2, 4)
    ]
    print(markdown("processes | without memory | always | as it is", rows, left=0))


if __name__ == "__main__":
    main()
