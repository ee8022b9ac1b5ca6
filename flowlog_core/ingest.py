"""The whole story of one blob: claim it, read what was appended, send it, commit, let go."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

from flowlog_core.appended import Chunk, read_appended
from flowlog_core.checkpoint import BlobRef, Progress, checkpoint_key
from flowlog_core.claim import Claim, take_or_ring
from flowlog_core.errors import (
    BlobDeleted,
    BlobGrew,
    BlobRewritten,
    ClaimLost,
    FlowlogError,
)
from flowlog_core.framing import Framer
from flowlog_core.piece import Piece
from flowlog_core.pipeline import Failed, Outcome, Pipeline

__all__ = ["Outcome", "Pipeline", "ingest"]

log = logging.getLogger(__name__)


def ingest(blob: BlobRef, pipeline: Pipeline, *, final: bool = False) -> Outcome:
    """Forward what was appended to `blob` since its checkpoint, until nothing is new.

    Whatever is committed to the blob before this call begins is, when it returns, in the sink or
    the dead letters, or in the hands of another worker whose claim is alive. With `final`, bytes
    at the end that make no entry are dead letters too, since nothing will follow them.

    Raises a `FlowlogError` if that could not be had; then the claim is given back, and the same
    call made again carries on from the last commit. The pipeline's observer hears of either.
    """
    started = pipeline.clock.monotonic()
    outcome = Outcome()
    claim: Claim | None = None
    try:
        claim = take_or_ring(
            pipeline.checkpoints,
            checkpoint_key(blob),
            str(blob),
            pipeline.new_owner(),
            pipeline.owned_for_s,
            pipeline.clock,
        )
        if claim is None:
            outcome.how = "rung"
        else:
            while not _forward_what_is_new(blob, claim, pipeline, outcome, final=final):
                pass
    except ClaimLost:
        outcome.how = "lost"
    except BaseException as error:
        pipeline.observer.failed(blob, _give_back(claim, error, outcome))
        raise
    outcome.conflicts = claim.conflicts if claim else 0
    took_s = pipeline.clock.monotonic() - started
    outcome.seconds["checkpoint"] = took_s - sum(outcome.seconds.values())
    pipeline.observer.done(blob, outcome)
    return outcome


def _forward_what_is_new(
    blob: BlobRef, claim: Claim, pipeline: Pipeline, outcome: Outcome, *, final: bool
) -> bool:
    """One look at the blob. True: all of it is forwarded and the claim is let go."""
    claim.look()
    outcome.how = "forwarded"
    framer: Framer | None = None
    try:
        for chunk in _chunks(blob, claim.progress, pipeline, outcome):
            framer = framer or Framer(claim.progress.offset, chunk.before)
            piece = Piece(blob, claim, pipeline, framer, chunk, traffic=pipeline.new_traffic())
            progress = piece.forward(outcome, final=final)
            if chunk.is_last:
                is_finished = claim.finish(progress)
                piece.count_in(outcome)
                return is_finished
            claim.commit(progress)
            piece.count_in(outcome)
    except BlobGrew:
        return False
    except BlobRewritten as found:
        log.warning("%s; it is read again from its beginning, as a new generation", found)
        claim.commit(_begin_anew(claim.progress))
        outcome.rewrites += 1
        return False
    except BlobDeleted as found:
        log.info("%s: there is nothing left to forward", found)
        outcome.how = "deleted"
    return claim.finish(claim.progress)


def _chunks(
    blob: BlobRef, since: Progress, pipeline: Pipeline, outcome: Outcome
) -> Iterator[Chunk]:
    """What was appended, and how long reading it took."""
    chunks = read_appended(pipeline.reader, blob, since, pipeline.chunk_bytes)
    while True:
        asked = pipeline.clock.monotonic()
        try:
            chunk = next(chunks, None)
        finally:
            outcome.seconds["read"] += pipeline.clock.monotonic() - asked
        if chunk is None:
            return
        outcome.backlog_bytes = outcome.backlog_bytes or len(chunk.data) + chunk.left_bytes
        yield chunk


def _begin_anew(progress: Progress) -> Progress:
    return replace(
        progress, offset=0, seam="", generation=progress.generation + 1, etag="", pending_bytes=0
    )


def _give_back(claim: Claim | None, error: BaseException, outcome: Outcome) -> Failed:
    """Let go of the claim, with the failure noted in the checkpoint where that is possible."""
    if claim is None:
        return Failed(0, None, error, outcome)
    attempts = None
    try:
        attempts = claim.abandon(str(error) or type(error).__name__).attempts
    except FlowlogError as second:
        error.add_note(f"The claim could not be given back and has to run out: {second}")
    return Failed(claim.progress.offset, attempts, error, outcome)
