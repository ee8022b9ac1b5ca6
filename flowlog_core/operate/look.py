"""One look at listings, checkpoints, queues, dead letters and sweeps. It changes nothing.

Listings come before the checkpoints. So a blob that is appended to and forwarded meanwhile does not
look behind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Protocol

from flowlog_core.blob import BlobRef, Position, hour_key
from flowlog_core.checkpoints.checkpoint import Checkpoint, CheckpointKey, checkpoint_key
from flowlog_core.errors import FlowlogError, NotFound
from flowlog_core.operate.lag import behind
from flowlog_core.operate.letters import (
    BadLetter,
    LetterStore,
    StoredLetter,
    kind_of,
    read_letter,
)
from flowlog_core.operate.passes import PassStore
from flowlog_core.operate.status import (
    ClaimHeld,
    FailingBlob,
    ResourceStatus,
    Status,
    SweepStatus,
    Totals,
)
from flowlog_core.sinks.depth import QueueDepth
from flowlog_core.source.listing import BlobLister, Listed, Page, Step, all_pages, flow_logs_since
from flowlog_core.sweep.behind import try_again_at
from flowlog_core.sweep.cursor import Container, Cursor

MAX_REASONS_READ = 100
"""Dead letters whose reasons are read: the newest. Each costs a storage call."""

Resources = dict[tuple[str, str, str], ResourceStatus]


class CheckpointScan(Protocol):
    """What a look needs of a `CheckpointStore`."""

    def scan(self, since: str) -> Iterable[tuple[CheckpointKey, Checkpoint, str]]:
        """See `CheckpointStore.scan`."""
        ...


@dataclass(frozen=True, slots=True)
class Sight:
    """What a look looks at."""

    containers: Sequence[Container]
    lister: BlobLister
    checkpoints: CheckpointScan
    passes: PassStore
    letters: LetterStore
    queues: Sequence[Callable[[], QueueDepth]]
    """Each looks at one queue of records, and raises a `StorageError`."""
    explain: Callable[[FlowlogError], str] = str
    """Says in a sentence what an error means."""


def look(sight: Sight, since: datetime | None = None) -> Status:
    """Look at the hours from `since` on, or at all of them. No `FlowlogError` is raised."""
    return _Look(sight, since).status()


class _Look:
    def __init__(self, sight: Sight, since: datetime | None) -> None:
        self._sight, self._since = sight, since
        self._first_row = hour_key(since) if since else ""
        self._unknown: list[str] = []

    def status(self) -> Status:
        listed, all_listed = self._listings()
        found = self._checkpoints(listed)
        letters, read = self._letters()
        queues = self._queues()
        sweeps, seen_at = self._sweeps()
        # The end of the look: what was found behind has not been forwarded for so long at least.
        at = seen_at or datetime.now(UTC)
        resources = _resources(listed, found, at)
        _add_letters(resources, listed, letters or (), read)
        rows = sorted(resources.values(), key=_by_trouble)
        sees_checkpoints = found is not None and seen_at is not None
        return Status(
            at,
            Totals.of(
                rows,
                letters=None if letters is None else len(letters),
                queues=queues,
                sees_blobs=all_listed,
                sees_lag=all_listed and sees_checkpoints,
            ),
            rows,
            Counter(reason for _, reason in read),
            queues or [],
            sweeps,
            sees_checkpoints,
            self._unknown,
        )

    @contextmanager
    def _noting_errors(self) -> Iterator[None]:
        try:
            yield
        except FlowlogError as error:
            text = self._sight.explain(error)
            if text not in self._unknown:
                self._unknown.append(text)

    def _listings(self) -> tuple[dict[CheckpointKey, Listed], bool]:
        """The flow logs, and whether these are all."""
        listed: dict[CheckpointKey, Listed] = {}
        seen = 0
        for container in self._sight.containers:
            with self._noting_errors():
                try:
                    for one in _listed(self._sight.lister, container, self._since):
                        listed[checkpoint_key(one.blob)] = one
                except NotFound:
                    pass  # a container is created with its first flow log
                seen += 1
        return listed, seen == len(self._sight.containers)

    def _checkpoints(
        self, listed: dict[CheckpointKey, Listed]
    ) -> dict[CheckpointKey, Checkpoint] | None:
        with self._noting_errors():
            return {
                key: checkpoint
                for key, checkpoint, _ in self._sight.checkpoints.scan(self._first_row)
                if key in listed
            }
        return None

    def _letters(self) -> tuple[list[StoredLetter] | None, list[tuple[StoredLetter, str]]]:
        """Dead letters, and the reasons of the newest."""
        letters: list[StoredLetter] | None = None
        with self._noting_errors():
            all_of_them = self._sight.letters.all()
            letters = [one for one in all_of_them if one.hour >= self._first_row]
            return letters, _with_reasons(self._sight.letters, letters)
        return letters, []

    def _queues(self) -> list[QueueDepth] | None:
        queues: list[QueueDepth] = []
        for depth in self._sight.queues:
            with self._noting_errors():
                queues.append(depth())
        return queues if len(queues) == len(self._sight.queues) else None

    def _sweeps(self) -> tuple[list[SweepStatus], datetime | None]:
        """Of each container, and the service's time when that was read."""
        with self._noting_errors():
            cursors, looks, at = self._sight.passes.passes()
            return [
                SweepStatus(one, _last_whole(cursors.get(one)), looks.get(one))
                for one in self._sight.containers
            ], at
        return [], None


def _last_whole(cursor: Cursor | None) -> datetime | None:
    if cursor is None:
        return None
    # Earlier releases kept no `last_whole`, and saved the cursor at a pass's end.
    return cursor.last_whole or (cursor.saved if cursor.is_over else None)


def _listed(lister: BlobLister, container: Container, since: datetime | None) -> Iterable[Listed]:
    steps: Iterable[Step | Page]
    if since is not None:
        steps = flow_logs_since(lister, *container, since)
    else:  # by as few calls as there are pages: order does not matter here
        steps = all_pages(lister, *container, by_folder=False)
    return chain.from_iterable(step.listed for step in steps)


def _resource_key(blob: BlobRef) -> tuple[str, str, str]:
    """Azure writes a resource's id in any letter case."""
    return blob.account, blob.container, blob.log.resource_id.lower()


def _resources(
    listed: dict[CheckpointKey, Listed],
    found: dict[CheckpointKey, Checkpoint] | None,
    now: datetime,
) -> Resources:
    resources: Resources = {}
    for key, one in listed.items():
        blob = one.blob
        of = _resource_key(blob)
        row = resources.get(of)
        if row is None:
            row = ResourceStatus(*of[:2], blob.log.resource_id, blob.log.hour)
            resources[of] = row
        row.blobs += 1
        row.newest_hour = max(row.newest_hour, blob.log.hour)
        if found is not None:
            _judge(row, one, found.get(key), now)
    return resources


def _judge(row: ResourceStatus, one: Listed, checkpoint: Checkpoint | None, now: datetime) -> None:
    if checkpoint is not None:
        row.dropped += checkpoint.progress.dropped
    late = behind(one, checkpoint)
    if late is not None and one.is_archived:
        row.archived += 1
        return
    if late is not None:
        row.blobs_behind += 1
        row.bytes_behind += late.bytes
        row.lag_s = max(row.lag_s, late.lag_s(now))
    if checkpoint is None:
        return
    failure, until = checkpoint.failure, checkpoint.owned_until
    if failure is not None:
        row.failing.append(
            FailingBlob(str(one.blob), failure.error, failure.attempts, try_again_at(failure))
        )
    if checkpoint.owner and until is not None:
        row.claims.append(ClaimHeld(str(one.blob), until, until < now))


def _with_reasons(
    store: LetterStore, letters: Sequence[StoredLetter]
) -> list[tuple[StoredLetter, str]]:
    newest = sorted(letters, key=lambda one: (one.stored_at, one.name), reverse=True)
    read = []
    for letter, content in store.read_each(newest[:MAX_REASONS_READ]):
        try:
            read.append((letter, kind_of(read_letter(content).reason)))
        except BadLetter as error:
            read.append((letter, str(error)))
    return read


def _add_letters(
    resources: Resources,
    listed: dict[CheckpointKey, Listed],
    letters: Sequence[StoredLetter],
    read: Sequence[tuple[StoredLetter, str]],
) -> None:
    """Count dead letters at the resources of listed blobs; others are in the totals alone."""
    if not letters:
        return
    of_digest = {
        Position(one.blob).blob_digest: resources[_resource_key(one.blob)]
        for one in listed.values()
    }
    for letter in letters:
        if (row := of_digest.get(letter.blob_digest)) is not None:
            row.dead_letters += 1
    for letter, reason in read:
        if (row := of_digest.get(letter.blob_digest)) is not None:
            row.reasons[reason] += 1


def _by_trouble(row: ResourceStatus) -> tuple[object, ...]:
    return (
        -row.lag_s,
        -len(row.failing),
        -row.bytes_behind,
        -row.dead_letters,
        -row.archived,
        row.account,
        row.container,
        row.resource_id,
    )
