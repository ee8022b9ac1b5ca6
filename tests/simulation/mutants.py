"""Mutants: each breaks one rule of the code, and the simulation must detect every one.

A mutant replaces a function of the real code while its context lasts. Nothing else in the project
patches code; here it is the purpose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from unittest.mock import patch

from flowlog_core import errors, ingest
from flowlog_core import forward_chunk as chunks
from flowlog_core.blob import BlobRef, Position
from flowlog_core.checkpoints import checkpoint, claim, failures
from flowlog_core.checkpoints.checkpoint import (
    Checkpoint,
    CheckpointKey,
    CheckpointStore,
    Failure,
    Progress,
)
from flowlog_core.checkpoints.claim import Claim
from flowlog_core.checkpoints.released import Released
from flowlog_core.checkpoints.timed import TimedStore
from flowlog_core.clock import Clock, Stopwatch
from flowlog_core.dead_letters import DeadLetter
from flowlog_core.errors import (
    BlobDeleted,
    BlobRewritten,
    ClaimLost,
    Conflict,
    NotFound,
    OutOfRange,
    StorageError,
)
from flowlog_core.forward_chunk import Part, forward_chunk
from flowlog_core.held_letters import HeldLetters
from flowlog_core.outcome import Failed, Outcome, Step
from flowlog_core.parsing.framing import Damaged, Framer
from flowlog_core.pipeline import Pipeline
from flowlog_core.source import listing
from flowlog_core.source import reading as appended
from flowlog_core.source.events import CommittedBlob
from flowlog_core.source.listing import BlobLister, Page
from flowlog_core.source.reading import Chunk, LogReader, Slice
from flowlog_core.sweep import behind, cursor, lease, sweep
from flowlog_core.sweep.options import SweepOptions
from flowlog_core.testing.memory import MemoryBlobs
from simulation import worker
from simulation.judge import true_time

Replacement = tuple[object, str, object]
"""The module or class, the name in it, and the replacement."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A fault, and how to insert it."""

    name: str
    what: str
    replacements: Callable[[], list[Replacement]]
    is_of_sweeps: bool = False
    """Whether only schedules of sweeps can notice it."""

    @contextmanager
    def built_in(self) -> Iterator[None]:
        """The code has this fault while the context lasts."""
        with ExitStack() as stack:
            for target, name, instead in self.replacements():
                stack.enter_context(patch.object(target, name, instead))
            yield


def _taking(**changed: Any) -> list[Replacement]:
    real = claim.take_or_ring

    def take(*arguments: Any, **options: Any) -> Claim | None:
        return real(*arguments, **{**options, **changed})

    return [(ingest, "take_or_ring", take)]


def _living_taken_over() -> list[Replacement]:
    return _taking(is_gone=lambda _: True)


def _dead_left_alone() -> list[Replacement]:
    return _taking(is_gone=lambda _: False)


def _taken_over_in_a_loop() -> list[Replacement]:
    return _taking(always_take_over=True)


def _judged_before_the_read() -> list[Replacement]:
    real = claim.take_or_ring

    def take(store: CheckpointStore, key: CheckpointKey, *rest: Any, **options: Any) -> Any:
        seen = store.get(key).checkpoint
        is_gone = seen is not None and options["is_gone"](seen.owner)
        return real(store, key, *rest, **{**options, "is_gone": lambda _: is_gone})

    return [(ingest, "take_or_ring", take)]


def _takeover_unconditional() -> list[Replacement]:
    real = TimedStore.replace

    def replace_what_the_dead_wrote(store: Any, wanted: Checkpoint, etag: str) -> Any:
        try:
            return real(store, wanted, etag)
        except Conflict:
            seen = store.get()
            is_takeover = wanted.taken_over_at == wanted.failure.at if wanted.failure else False
            if not is_takeover or seen.checkpoint.owner in ("", wanted.owner):
                raise
            return replace_what_the_dead_wrote(store, wanted, seen.etag)

    return [(TimedStore, "replace", replace_what_the_dead_wrote)]


def _unconditional_commit() -> list[Replacement]:
    real = TimedStore.replace

    def replace_what_is_stored(store: Any, wanted: Checkpoint, etag: str) -> Any:
        try:
            return real(store, wanted, etag)
        except Conflict:
            return replace_what_is_stored(store, wanted, store.get().etag)

    return [(TimedStore, "replace", replace_what_is_stored)]


def _commit_before_send() -> list[Replacement]:
    def forward(
        blob: BlobRef, chunk: Chunk, framer: Framer, mine: Claim, *rest: Any, **options: Any
    ) -> Any:
        ahead = deepcopy(framer)
        for _ in [*ahead.feed(chunk.data), *(ahead.end() if chunk.is_last else ())]:
            pass
        seam = checkpoint.seam_of(ahead.before)
        mine.commit(replace(mine.progress, offset=ahead.offset, seam=seam))
        return forward_chunk(blob, chunk, framer, mine, *rest, **options)

    return [(ingest, "forward_chunk", forward)]


def _ring_unheard() -> list[Replacement]:
    def finish(mine: Claim, progress: Progress) -> bool:
        mine.look()
        while not mine._let_go(progress=progress, failure=None):
            mine.look()
        return True

    return [(Claim, "finish", finish)]


def _no_ring() -> list[Replacement]:
    real = claim.take_or_ring

    def take_or_leave(
        store: CheckpointStore,
        key: CheckpointKey,
        blob: str,
        owner: str,
        *rest: Any,
        **options: Any,
    ) -> Claim | None:
        seen = store.get(key)
        if seen.checkpoint and seen.checkpoint.owned_by_another(owner, seen.server_time):
            return None
        return real(store, key, blob, owner, *rest, **options)

    return [(ingest, "take_or_ring", take_or_leave)]


def _fails_open() -> list[Replacement]:
    real = claim.take_or_ring

    def take_anyhow(
        store: CheckpointStore,
        key: CheckpointKey,
        blob: str,
        owner: str,
        owned_for_s: float,
        clock: Clock,
        *rest: Any,
        **options: Any,
    ) -> Claim | None:
        try:
            return real(store, key, blob, owner, owned_for_s, clock, *rest, **options)
        except StorageError:
            timed = TimedStore(store, key, clock, owned_for_s, Released())
            seen = timed.get()
            if seen.checkpoint is None:
                raise
            return Claim(timed, seen, owner, clock.monotonic() + owned_for_s)

    return [(ingest, "take_or_ring", take_anyhow)]


def _empty_etag_believed() -> list[Replacement]:
    real = Progress.has_read

    def has_read(mine: Progress, etag: str) -> bool:
        return bool(etag) and (not mine.etag or real(mine, etag))

    return [(Progress, "has_read", has_read)]


def _length_compared() -> list[Replacement]:
    lengths: dict[str, int] = {}
    real = MemoryBlobs.put

    def put(blobs: MemoryBlobs, blob: BlobRef, content: bytes) -> None:
        real(blobs, blob, content)
        lengths[blobs.etag_of(blob)] = len(content)

    def has_read(mine: Progress, etag: str) -> bool:
        return bool(mine.etag and etag) and lengths[etag] <= lengths[mine.etag]

    return [(MemoryBlobs, "put", put), (Progress, "has_read", has_read)]


def _etag_kept_after_a_ring() -> list[Replacement]:
    def finish(mine: Claim, progress: Progress) -> bool:
        if mine._let_go(progress=progress, failure=None, deaths=0, taken_over_at=None):
            return True
        mine.commit(progress)
        return False

    return [(Claim, "finish", finish)]


def _second_delivery_leaves() -> list[Replacement]:
    def ingest_once(event: CommittedBlob, _dequeue_count: int, pipeline: Pipeline) -> Outcome:
        return ingest.ingest(event.blob, pipeline, etag=event.etag)

    return [(worker, "ingest_event", ingest_once)]


def _keep_does_nothing() -> list[Replacement]:
    def keep(mine: Claim) -> None:
        del mine

    return [(Claim, "keep", keep)]


def _late_renewal_believed() -> list[Replacement]:
    def keep(mine: Claim) -> None:
        if mine._store.clock.monotonic() >= mine._runs_out - mine._store.owned_for_s / 3:
            mine._write()

    return [(Claim, "keep", keep)]


def _lost_claim_ignored() -> list[Replacement]:
    real = Claim._still_mine

    def still_mine(mine: Claim, released: Checkpoint | None) -> bool:
        try:
            return real(mine, released)
        except ClaimLost:
            mine._seen = mine._store.get()
            return True

    return [(Claim, "_still_mine", still_mine)]


def _abandon_goes_back() -> list[Replacement]:
    real = Claim.abandon

    def abandon(mine: Claim, error: BaseException) -> Any:
        mine.commit(replace(mine.progress, offset=0, seam="", etag=""))
        return real(mine, error)

    return [(Claim, "abandon", abandon)]


def _claim_kept_on_failure() -> list[Replacement]:
    def give_back(_: object, error: BaseException, outcome: Outcome) -> Failed:
        return Failed(0, None, error, outcome)

    return [(ingest, "_release_failed", give_back)]


def _own_clock() -> list[Replacement]:
    real = TimedStore._timed

    def timed(store: Any, call: Callable[[], Any]) -> Any:
        seen = real(store, call)
        return replace(seen, server_time=true_time(seen.answered))

    return [(TimedStore, "_timed", timed)]


def _frozen_machine_believed() -> list[Replacement]:
    real = claim.take_or_ring

    def take(*arguments: Any, **options: Any) -> Claim | None:
        mine = real(*arguments, **options)
        if mine is not None:
            mine._runs_out = mine._seen.asked + mine._store.owned_for_s - 1
        return mine

    return [(ingest, "take_or_ring", take)]


def _etag_of_a_later_read() -> list[Replacement]:
    def release(store: Any, checkpoint: Checkpoint, etag: str) -> None:
        seen = store.replace(checkpoint, etag)
        later = store.get().etag
        store._released.remember(store._key, replace(seen, etag=later))

    return [(TimedStore, "release", release)]


def _conflict_taken_for_an_owner() -> list[Replacement]:
    real = claim.take_or_ring

    def take(
        store: CheckpointStore,
        key: CheckpointKey,
        blob: str,
        owner: str,
        owned_for_s: float,
        clock: Clock,
        released: Released,
        **options: Any,
    ) -> Claim | None:
        timed = TimedStore(store, key, clock, owned_for_s, released)
        seen, is_remembered = released.first_look(key, clock.monotonic(), timed.get)
        if not is_remembered or seen.checkpoint is None:
            return real(store, key, blob, owner, owned_for_s, clock, released, **options)
        try:
            claimed, runs_out = timed.own(seen, replace(seen.checkpoint, owner=owner))
        except (Conflict, NotFound):
            return None
        return Claim(timed, claimed, owner, runs_out)

    return [(ingest, "take_or_ring", take)]


def _seam_unchecked() -> list[Replacement]:
    class Anything(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            return True

        def __ne__(self, other: object) -> bool:
            return False

        __hash__ = str.__hash__

    def seam_of(*_: object) -> str:
        return Anything()

    return [(appended, "seam_of", seam_of)]


def _creation_time_unchecked() -> list[Replacement]:
    return [(appended, "_differ", lambda one, other: False)]  # noqa: ARG005


def _short_answer_taken_for_a_rewriting() -> list[Replacement]:
    def first_part(
        reader: LogReader,
        blob: BlobRef,
        since: Progress,
        start: int,
        seam_bytes: int,
        chunk_bytes: int,
    ) -> Slice:
        try:
            part = reader.read(blob, start, chunk_bytes, None)
        except OutOfRange:
            if since.offset:
                raise BlobRewritten(f"{blob} is shorter than its offset") from None
            return Slice(b"", "", 0)
        except NotFound as error:
            raise BlobDeleted(f"{blob} is gone") from error
        if checkpoint.seam_of(part.data[:seam_bytes], since.seam_bytes) != since.seam:
            raise BlobRewritten(f"{blob} holds other bytes before its offset")
        return part

    return [(appended, "_first_part", first_part)]


def _generation_kept() -> list[Replacement]:
    def begin_anew(progress: Progress) -> Progress:
        return replace(progress, offset=0, seam="", etag="", pending_bytes=0)

    return [(ingest, "begin_anew", begin_anew)]


def _passing_all_bytes(where: Callable[[Progress], bool]) -> list[Replacement]:
    """Move the offset to the end of what was read, if `where`, with the right seam."""

    def forward(
        blob: BlobRef, chunk: Chunk, framer: Framer, *rest: Any, **options: Any
    ) -> Iterator[Part]:
        for part in forward_chunk(blob, chunk, framer, *rest, **options):
            progress = part.progress
            if part.is_end and chunk.data and where(progress):
                read = (framer.before + chunk.before + chunk.data)[-checkpoint.SEAM_BYTES :]
                progress = replace(
                    progress,
                    offset=framer._pending.position + framer.pending_bytes,
                    seam=checkpoint.seam_of(read),
                    pending_bytes=0,
                )
            yield part._replace(progress=progress)

    return [(ingest, "forward_chunk", forward)]


def _incomplete_entry_passed() -> list[Replacement]:
    return _passing_all_bytes(lambda progress: progress.pending_bytes > 0)


def _tail_swallowed() -> list[Replacement]:
    return _passing_all_bytes(lambda progress: progress.pending_bytes == 0)


def _dropped_left_behind() -> list[Replacement]:
    def forward(
        blob: BlobRef, chunk: Chunk, framer: Framer, mine: Claim, *rest: Any, **options: Any
    ) -> Iterator[Part]:
        for part in forward_chunk(blob, chunk, framer, mine, *rest, **options):
            progress = part.progress
            if part.outcome.dropped and not part.outcome.records:
                progress = replace(progress, offset=mine.progress.offset, seam=mine.progress.seam)
            yield part._replace(progress=progress)

    return [(ingest, "forward_chunk", forward)]


def _gaps_unnamed() -> list[Replacement]:
    def message_id(position: Position, tuple_indexes: Sequence[int]) -> str:
        return f"{position.entry_id}.m{tuple_indexes[0]}.{len(tuple_indexes)}"

    return [(Position, "message_id", message_id)]


def _version_unpinned() -> list[Replacement]:
    real = appended.read_appended

    class AnyVersion:
        def __init__(self, reader: LogReader) -> None:
            self._reader, self.blob_bytes = reader, reader.blob_bytes

        def read(self, blob: BlobRef, start: int, max_bytes: int, etag: str | None) -> Slice:
            del etag
            return self._reader.read(blob, start, max_bytes, None)

    def read(
        reader: LogReader, blob: BlobRef, since: Progress, chunk_bytes: int
    ) -> Iterator[Chunk]:
        return real(AnyVersion(reader), blob, since, chunk_bytes)

    return [(ingest, "read_appended", read)]


def _ids_of_their_time() -> list[Replacement]:
    real, calls = Position.message_id, count()

    def message_id(position: Position, tuple_indexes: Sequence[int]) -> str:
        return f"{real(position, tuple_indexes)}.{next(calls)}"

    return [(Position, "message_id", message_id)]


def _send_errors_swallowed() -> list[Replacement]:
    class Careless:
        def __init__(self, sink: Any) -> None:
            self.pack, self._sink = sink.pack, sink

        def send(self, messages: Any) -> int:
            try:
                return int(self._sink.send(messages))
            except StorageError:
                for _ in messages:
                    pass
                return 0

    def forward(
        blob: BlobRef,
        chunk: Chunk,
        framer: Framer,
        mine: Claim,
        pipeline: Pipeline,
        stopwatch: Stopwatch[Step],
        *,
        final: bool,
    ) -> Iterator[Part]:
        careless = replace(pipeline, sink=Careless(pipeline.sink))
        return forward_chunk(blob, chunk, framer, mine, careless, stopwatch, final=final)

    return [(ingest, "forward_chunk", forward)]


def _any_refusal_sets_aside() -> list[Replacement]:
    return [(errors, "_blames_the_item", lambda error: True)]  # noqa: ARG005


def _refused_for_ever() -> list[Replacement]:
    return [(Claim, "gives_up", lambda mine, refused: False)]  # noqa: ARG005


def _refusals_at_once() -> list[Replacement]:
    return [(failures, "_REFUSALS_APART", timedelta(0))]


def _refusals_forgotten() -> list[Replacement]:
    real = failures.failed_again

    def failed_again(before: Failure | None, at: datetime, error: str) -> Failure:
        return replace(real(before, at, error), refusal=None)

    def refusal(mine: Claim) -> None:
        del mine

    return [(claim, "failed_again", failed_again), (Claim, "refusal", property(refusal))]


def _refused_with_its_part() -> list[Replacement]:
    real = chunks._Packing.messages

    def messages(mine: Any, items: Any, _max_items: int | None) -> Iterator[Any]:
        return real(mine, items, None)

    return [(chunks._Packing, "messages", messages)]


def _merged_across_an_entry() -> list[Replacement]:
    real = HeldLetters.add_damaged

    def add_damaged(mine: Any, position: Position, item: Damaged, skipped: bytes) -> None:
        if mine._run:
            mine._run.end = item.start - len(skipped)
        real(mine, position, item, skipped)

    def add(mine: Any, letters: list[DeadLetter]) -> None:
        mine.count += len(letters)
        mine._hold(letters)

    return [(HeldLetters, "add_damaged", add_damaged), (HeldLetters, "add", add)]


def _first_neighbour_alone_kept() -> list[Replacement]:
    real = HeldLetters.add_damaged

    def add_damaged(mine: Any, *rest: Any) -> None:
        real(mine, *rest)
        mine._run.more.clear()

    return [(HeldLetters, "add_damaged", add_damaged)]


def _neighbours_never_stored() -> list[Replacement]:
    return [(HeldLetters, "store", HeldLetters._store_held)]


def _part_commits_what_it_did_not_send() -> list[Replacement]:
    def forward(
        blob: BlobRef, chunk: Chunk, framer: Framer, mine: Claim, *rest: Any, **options: Any
    ) -> Iterator[Part]:
        ahead = deepcopy(framer)
        for _ in [*ahead.feed(chunk.data), *(ahead.end() if chunk.is_last else ())]:
            pass
        for part in forward_chunk(blob, chunk, framer, mine, *rest, **options):
            seam = checkpoint.seam_of(ahead.before)
            yield part._replace(progress=replace(part.progress, offset=ahead.offset, seam=seam))

    return [(ingest, "forward_chunk", forward)]


def _part_commits_the_blobs_version() -> list[Replacement]:
    real = chunks._progress

    def progress(*arguments: Any, is_end: bool) -> Progress:
        del is_end
        return real(*arguments, is_end=arguments[2].is_last)

    return [(chunks, "_progress", progress)]


def _growth_taken_for_the_end() -> list[Replacement]:
    real = ingest._forward_what_is_new

    def forward(blob: BlobRef, mine: Claim, *rest: Any, **options: Any) -> bool:
        return real(blob, mine, *rest, **options) or mine.finish(mine.progress)

    return [(ingest, "_forward_what_is_new", forward)]


def _listing_in_another_order() -> list[Replacement]:
    def name_of(part: Any) -> str:
        name: str = part if isinstance(part, str) else part.blob.name
        return name.replace("/", "\0")

    return [(listing, "_name_of", name_of)]


def _markers_ignored() -> list[Replacement]:
    real = listing.flow_logs_since

    class FirstPages:
        def __init__(self, lister: BlobLister) -> None:
            self._lister = lister

        def page(self, *arguments: Any, **options: Any) -> Page:
            return self._lister.page(*arguments, **options)._replace(marker="")

    def first_pages(lister: BlobLister, *arguments: Any, **options: Any) -> Iterator[listing.Step]:
        return real(FirstPages(lister), *arguments, **options)

    return [(sweep, "flow_logs_since", first_pages)]


def _back_off_for_hours() -> list[Replacement]:
    return [(behind, "MAX_BACKOFF_S", behind.MAX_BACKOFF_OF_REFUSED_S)]


def _one_cursor_for_all() -> list[Replacement]:
    real = cursor.next_cursor
    shared: dict[str, Any] = {}

    def next_cursor(last: Any, now: Any, *rest: Any) -> Any:
        if shared and shared["cursor"].began > now:
            shared.clear()  # another schedule
        shared["cursor"] = real(shared.get("cursor") and last and shared["cursor"], now, *rest)
        shared["cursor"] = shared["cursor"].over()
        return replace(shared["cursor"], is_over=False)

    return [(lease, "next_cursor", next_cursor), (sweep, "next_cursor", next_cursor)]


def _time_up_before_any_progress() -> list[Replacement]:
    def must_end(one: Any) -> bool:
        if one._is_past(1):
            one._report.is_whole = False
        return bool(one._is_past(1))

    return [(sweep.Sweep, "_must_end", must_end)]


def _unfinished_forgotten() -> list[Replacement]:
    return [(cursor.Cursor, "with_unfinished", lambda mine, hour: mine)]  # noqa: ARG005


def _window_from_now() -> list[Replacement]:
    real = cursor.next_cursor

    def next_cursor(last: Any, now: Any, *rest: Any) -> Any:
        if last and last.is_over:
            last = replace(last, began=now, closed_looked_at=None)
        return real(last, now, *rest)

    return [(lease, "next_cursor", next_cursor), (sweep, "next_cursor", next_cursor)]


def _closed_hours_never_again() -> list[Replacement]:
    real = cursor.Cursor.over

    def over(mine: Any, whole_at: Any = None) -> Any:
        return replace(real(mine, whole_at), closed_looked_at=mine.began)

    return [(cursor.Cursor, "over", over)]


def _closed_hours_left_out_though_unfinished() -> list[Replacement]:
    real = cursor.next_cursor

    def next_cursor(last: Any, *rest: Any) -> Any:
        found = real(last, *rest)
        if last and last.is_over and found.leaves_out_closed:
            return real(replace(last, oldest_unfinished=None), *rest)
        return found

    return [(lease, "next_cursor", next_cursor), (sweep, "next_cursor", next_cursor)]


def _closed_hours_of_one_container_for_all() -> list[Replacement]:
    real, real_over = cursor.next_cursor, cursor.Cursor.over
    looked_at: list[datetime] = []

    def over(mine: Any, whole_at: Any = None) -> Any:
        done = real_over(mine, whole_at)
        looked_at[:] = [done.closed_looked_at] if done.closed_looked_at else []
        return done

    def next_cursor(last: Any, now: Any, *rest: Any) -> Any:
        if last and last.is_over and looked_at:
            last = replace(last, closed_looked_at=looked_at[0])
        return real(last, now, *rest)

    return [
        (cursor.Cursor, "over", over),
        (lease, "next_cursor", next_cursor),
        (sweep, "next_cursor", next_cursor),
    ]


def _closed_when_the_next_hour_begins() -> list[Replacement]:
    return [(cursor, "SETTLED_AFTER", timedelta(0))]


def _old_before_young() -> list[Replacement]:
    return [(sweep.Sweep, "_forward_young", lambda *_: True)]


def _young_is_the_open_hour() -> list[Replacement]:
    def young_since(_: Any, now: Any) -> Any:
        return now.replace(minute=0, second=0, microsecond=0)

    return [(SweepOptions, "young_since", young_since)]


def _sweep_turned_away_in_silence() -> list[Replacement]:
    real = lease.hold

    def hold(store: Any, container: Any, options: SweepOptions, pipeline: Any) -> Any:
        return real(store, container, replace(options, young_hours=0), pipeline)

    return [(sweep, "hold", hold)]


def _sweep_deaf_to_others() -> list[Replacement]:
    real = lease.HeldCursor.release

    def release(mine: Any, *arguments: Any) -> bool:
        real(mine, *arguments)
        return False

    return [(lease.HeldCursor, "release", release)]


def _table(
    *builders: tuple[Callable[[], list[Replacement]], str], are_of_sweeps: bool = False
) -> dict[str, Mutant]:
    mutants = [
        Mutant(b.__name__.strip("_").replace("_", "-"), what, b, are_of_sweeps)
        for b, what in builders
    ]
    return {mutant.name: mutant for mutant in mutants}


MUTANTS = _table(
    (_unconditional_commit, "a write that finds a newer checkpoint overwrites it"),
    (_commit_before_send, "the offset moves on before the messages are sent"),
    (
        _ring_unheard,
        "the claim is released without reading the blob again, although another worker rang",
    ),
    (_no_ring, "a worker that finds the blob claimed returns without ringing"),
    (_fails_open, "a claim that could not be written counts as won"),
    (_empty_etag_believed, "an event of a blob whose checkpoint has no ETag counts as done"),
    (
        _length_compared,
        "an event of a version that is not longer than the one that was read counts as done",
    ),
    (_etag_kept_after_a_ring, "a version stays noted as read although a newer one is known"),
    (_second_delivery_leaves, "an event that comes back and meets a claim is given up"),
    (_keep_does_nothing, "a worker continues to send after its claim ran out"),
    (_late_renewal_believed, "a renewal counts from its answer, however late that is"),
    (_lost_claim_ignored, "a worker that finds another owner continues and takes the claim back"),
    (_abandon_goes_back, "a worker that fails puts the offset back to the beginning"),
    (
        _claim_kept_on_failure,
        "a failed worker keeps its claim, so its retry cannot claim the blob",
    ),
    (_own_clock, "the age of a claim is judged by the machine's clock"),
    (_frozen_machine_believed, "a claim lasts its full time, though it was made by an old reading"),
    (_etag_of_a_later_read, "what was released is remembered with the ETag of a later reading"),
    (
        _conflict_taken_for_an_owner,
        "a worker whose claim met a conflict leaves without reading the checkpoint again",
    ),
    (_seam_unchecked, "the bytes before the offset are not compared"),
    (
        _creation_time_unchecked,
        "a blob that was deleted and created again is recognized by its bytes alone",
    ),
    (_short_answer_taken_for_a_rewriting, "a false 416 or a short answer is a rewritten blob"),
    (_generation_kept, "a rewritten blob is read again under the same ids"),
    (_incomplete_entry_passed, "the offset moves over an incomplete entry"),
    (_tail_swallowed, "the offset moves over the closing brackets"),
    (_version_unpinned, "chunks of one read come from different versions of the blob"),
    (_dropped_left_behind, "a chunk of only dropped records does not move the offset"),
    (_gaps_unnamed, "a message's id does not say which tuples are left out between"),
    (_ids_of_their_time, "a message gets a new id each time it is packed"),
    (_send_errors_swallowed, "what the sink rejected counts as sent"),
    (_any_refusal_sets_aside, "an entry is set aside after any refusal, whatever its code"),
    (_refused_for_ever, "an entry that the sink keeps refusing is never set aside"),
    (_refusals_at_once, "refusals of an entry count however soon they follow each other"),
    (_refusals_forgotten, "each refusal of an entry counts as the first"),
    (_refused_with_its_part, "the last entry of a part is set aside instead of the refused one"),
    (
        _merged_across_an_entry,
        "one dead letter merges damage on both sides of an entry that was read",
    ),
    (_first_neighbour_alone_kept, "a dead letter of neighbours holds the first of them"),
    (_neighbours_never_stored, "neighbours that wait for more of their kind are never stored"),
    (_part_commits_what_it_did_not_send, "a part of a chunk commits the offset after the chunk"),
    (_part_commits_the_blobs_version, "a part of a chunk says that the blob was read to its end"),
    (_growth_taken_for_the_end, "a worker that finds more to read releases the claim"),
    (_living_taken_over, "every owner counts as dead"),
    (_dead_left_alone, "a dead owner counts as alive until its claim runs out"),
    (_taken_over_in_a_loop, "an event takes a blob over however often its workers end"),
    (_judged_before_the_read, "an earlier read decides whether the owner is dead"),
    (_takeover_unconditional, "a takeover overwrites what the dead owner still wrote"),
) | _table(
    (_listing_in_another_order, "a sweep's cursor and its listing have different orders"),
    (_markers_ignored, "a listing ends with its first page, although that has a marker"),
    (_back_off_for_hours, "a blob waits for hours after errors that pass"),
    (_one_cursor_for_all, "a sweep uses the cursor of one container for another"),
    (_time_up_before_any_progress, "a sweep whose time is up ends before it made progress"),
    (_unfinished_forgotten, "a sweep forgets which hours it left unfinished"),
    (_window_from_now, "a sweep's window is counted from now, even if no sweep ran for long"),
    (_closed_hours_never_again, "a sweep that leaves out closed hours counts as a look at them"),
    (
        _closed_hours_left_out_though_unfinished,
        "closed hours are left out although a blob in them was not forwarded",
    ),
    (
        _closed_hours_of_one_container_for_all,
        "closed hours are left out because those of another container were looked at",
    ),
    (_closed_when_the_next_hour_begins, "an hour counts as closed when the next one begins"),
    (
        _old_before_young,
        "a sweep by the timer continues with old hours before young ones",
    ),
    (_young_is_the_open_hour, "a sweep by the timer counts only the open hour as young"),
    (_sweep_turned_away_in_silence, "a sweep that finds another at work returns without ringing"),
    (_sweep_deaf_to_others, "a sweep ends without looking again, although another sweep rang"),
    are_of_sweeps=True,
)
