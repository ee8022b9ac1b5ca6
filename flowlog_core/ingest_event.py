"""Handles an event from a queue: unlike other events, it can come back later."""

from __future__ import annotations

from flowlog_core.errors import StillClaimed
from flowlog_core.ingest import ingest
from flowlog_core.outcome import Outcome
from flowlog_core.pipeline import Pipeline
from flowlog_core.source.events import REDELIVERED_AFTER_S, CommittedBlob


def ingest_event(event: CommittedBlob, dequeue_count: int, pipeline: Pipeline) -> Outcome:
    """`ingest` the blob of an event that was delivered `dequeue_count` times, this time included.

    Raises as `ingest` does, and `StillClaimed` if the event was delivered before and another worker
    holds the claim: that may be the dead worker of the first delivery, so the event must return
    until the claim was released or ran out. That is no failure for the observer. A first
    delivery is left to the claim's holder, whose own event returns if it dies. A sweep has no
    event; what it leaves when it dies is taken by the next sweep.
    """
    outcome = ingest(event.blob, pipeline, etag=event.etag)
    if outcome.how == "handed_over" and dequeue_count > 1:
        raise StillClaimed(
            f"{event.blob}: another worker has claimed it. This event (delivery {dequeue_count}) "
            f"comes back in {REDELIVERED_AFTER_S} s, which is not a fault: a claim ends or runs out"
        )
    return outcome
