"""What a sweep does with a blob that is behind. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from flowlog_core.checkpoints.checkpoint import Checkpoint
from flowlog_core.source.listing import Listed
from flowlog_core.sweep.behind import has_run_out, try_again_at
from flowlog_core.sweep.options import SweepOptions

Due = Literal["now", "alone", "later", "later, as it failed", "never: archived", "never: older"]


def what_is_due(
    one: Listed, checkpoint: Checkpoint | None, options: SweepOptions, now: datetime
) -> Due:
    """What to do with a blob that is behind its checkpoint.

    "alone": workers keep ending at it. "later" keeps its hour in the window of the next pass.
    """
    if options.forward_since and one.blob.log.hour < options.forward_since:
        return "never: older"
    if one.is_archived:
        # Not "later": an archived blob cannot be read until somebody rehydrates it, and then
        # asks for it again.
        return "never: archived"
    age_s = (now - one.last_modified).total_seconds()
    if age_s < options.untouched_for_s and not (checkpoint and has_run_out(checkpoint, now)):
        return "later"  # its event may yet be lost
    if checkpoint is None:
        return "now"
    failure = checkpoint.failure
    if failure and options.waits_after_failures and now < try_again_at(failure):
        return "later, as it failed"
    return "alone" if checkpoint.owner and checkpoint.taken_over_at else "now"
