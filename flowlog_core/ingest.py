"""The story of one blob: claim it, read what was appended, forward it, commit, release it."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from flowlog_core.blob import BlobRef
from flowlog_core.checkpoints.checkpoint import Progress, checkpoint_key
from flowlog_core.checkpoints.claim import Claim, take_or_ring
from flowlog_core.clock import Stopwatch
from flowlog_core.errors import (
    AlreadyForwarded,
    BlobDeleted,
    BlobGrew,
    BlobRewritten,
    ClaimLost,
    FlowlogError,
)
from flowlog_core.forward_chunk import forward_chunk
from flowlog_core.outcome import Failed, Outcome, Step
from flowlog_core.parsing import Framer
from flowlog_core.pipeline import Pipeline
from flowlog_core.source.reading import read_appended

__all__ = ["Outcome", "Pipeline", "ingest"]

log = logging.getLogger(__name__)

_MAX_WAIT_FOR_TURN_S = 5.0


def ingest(
    blob: BlobRef,
    pipeline: Pipeline,
    *,
    final: bool = False,
    always_take_over: bool = False,
    etag: str = "",
) -> Outcome:
    """Forward what was appended to `blob` since its checkpoint, until nothing is new.

    When it returns, everything that was committed to the blob before the call began is in the
    sink or the dead-letter store. Or another worker with a live claim is forwarding it, or it is
    left to the sweep because workers keep ending at this blob. The sweep itself calls with
    `always_take_over`. With `final`, bytes at the end that do not form an entry become dead letters
    too, because nothing will follow them.

    `etag` is the version of the blob that an event names, quoted or not. If the checkpoint says
    that this version was read to its end and committed, the call only reads the checkpoint.

    Raises a `FlowlogError` if forwarding failed. Then the claim is released, and the next call
    continues from the last commit. The pipeline's observer is called either way.
    """
    stopwatch: Stopwatch[Step] = Stopwatch(pipeline.clock, "checkpoint")
    outcome = Outcome(seconds=stopwatch.seconds)
    claim: Claim | None = None
    turn = ExitStack()
    try:
        claim = take_or_ring(
            pipeline.checkpoints,
            checkpoint_key(blob),
            str(blob),
            pipeline.new_owner(),
            pipeline.owned_for_s,
            pipeline.clock,
            pipeline.released,
            is_gone=partial(_wait_if_gone, pipeline, turn),
            always_take_over=always_take_over,
            etag=etag,
        )
        if claim is None:
            outcome.how = "handed_over"
        else:
            while not _forward_what_is_new(blob, claim, pipeline, outcome, stopwatch, final=final):
                pass
    except AlreadyForwarded:
        outcome.how = "forwarded"
    except ClaimLost:
        outcome.how = "claim_lost"
    except BaseException as error:
        pipeline.observer.failed(blob, _release_failed(claim, error, outcome))
        raise
    finally:
        turn.close()
    outcome.conflicts = claim.conflicts if claim else 0
    stopwatch.begin("checkpoint")  # the time up to here is in `seconds`
    pipeline.observer.done(blob, outcome)
    return outcome


def _wait_if_gone(pipeline: Pipeline, turn: ExitStack, owner: str) -> bool:
    """Whether the owner's process has ended. If so, waits for the turn, but not for long.

    One call at a time takes over a blob from a dead process, and works on it until it closes
    `turn`. If that blob ends this process too, the others are unchanged, and an event can take them
    over.
    """
    if not pipeline.is_gone(owner):
        return False
    if pipeline.takeovers.acquire(timeout=_MAX_WAIT_FOR_TURN_S):
        turn.callback(pipeline.takeovers.release)
    return True


def _forward_what_is_new(
    blob: BlobRef,
    claim: Claim,
    pipeline: Pipeline,
    outcome: Outcome,
    stopwatch: Stopwatch[Step],
    *,
    final: bool,
) -> bool:
    """Read the blob once, to its end. Returns True if all is forwarded and the claim released."""
    claim.look()
    outcome.how = "forwarded"
    framer: Framer | None = None
    appended = read_appended(pipeline.reader, blob, claim.progress, pipeline.chunk_bytes)
    try:
        for chunk in stopwatch.each("read", appended):
            outcome.backlog_bytes = outcome.backlog_bytes or len(chunk.data) + chunk.left_bytes
            framer = framer or Framer(
                claim.progress.offset, chunk.before, unparsed=_why_unparsed(claim, pipeline)
            )
            for part in forward_chunk(blob, chunk, framer, claim, pipeline, stopwatch, final=final):
                if part.is_end:
                    released = claim.finish(part.progress)
                    outcome += part.outcome
                    return released
                claim.commit(part.progress)
                outcome += part.outcome
    except BlobGrew:
        return False
    except BlobRewritten as found:
        log.warning("%s; reading it again from its beginning, as a new generation", found)
        claim.commit(begin_anew(claim.progress))
        outcome.rewrites += 1
        return False
    except BlobDeleted as found:
        log.info("%s: there is nothing left to forward", found)
        outcome.how = "deleted"
    return claim.finish(claim.progress)


def _why_unparsed(claim: Claim, pipeline: Pipeline) -> str:
    """Why the next entry must become a dead letter without being parsed; empty if it need not."""
    if claim.deaths < pipeline.max_deaths:
        return ""
    return (
        f"the worker process ended {claim.deaths} times while it forwarded this entry, which was "
        "therefore not parsed again"
    )


def begin_anew(progress: Progress) -> Progress:
    """The progress of a blob that was found to be rewritten: nothing of it is forwarded yet."""
    return replace(progress.moved_to(0, b"", None), generation=progress.generation + 1)


def _release_failed(claim: Claim | None, error: BaseException, outcome: Outcome) -> Failed:
    """Release the claim and note the failure in the checkpoint, if the store answers."""
    if claim is None:
        return Failed(0, None, error, outcome)
    attempts = None
    try:
        attempts = claim.abandon(error).attempts
    except FlowlogError as second:
        error.add_note(f"The claim could not be released and lasts until it runs out: {second}")
    return Failed(claim.progress.offset, attempts, error, outcome)
