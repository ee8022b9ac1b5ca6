"""How failures and refusals of a blob are counted, from one attempt to the next."""

from __future__ import annotations

from datetime import datetime, timedelta

from flowlog_core.checkpoints.checkpoint import Failure, Refusal

MAX_REFUSALS = 3
"""Refusals of one entry after which it becomes a dead letter."""
_REFUSALS_APART = timedelta(minutes=10)
"""Those that follow each other sooner count as one: a bad release may be rolled back meanwhile."""
_ONE_ATTEMPT = timedelta(minutes=1)
"""Tries that follow each other sooner count as one: the host repeats a failed call at once."""


def failed_again(before: Failure | None, at: datetime, error: str) -> Failure:
    """The failure after `before`, with one attempt more, and the same refusal."""
    if before is None:
        return Failure(1, at, error)
    attempts = before.attempts + (at - before.at >= _ONE_ATTEMPT)
    return Failure(attempts, at, error, refusal=before.refusal)


def refused_again(before: Refusal | None, entry_id: str, at: datetime) -> Refusal:
    """The refusal of an entry after `before`, counted unless it follows that too soon."""
    if before is None or before.entry_id != entry_id:
        return Refusal(entry_id, 1, at)
    if at - before.at < _REFUSALS_APART:
        return before
    return Refusal(entry_id, before.count + 1, at)
