"""In-memory fakes of everything that `ingest` uses, with the guarantees of the real ones.

The same contract suites run against these and against Azurite. They are thread-safe, and `calls`
counts the storage calls that the real ones would make.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import reduce
from threading import RLock
from typing import Any

from flowlog_core.blob import BlobRef, LogBlob
from flowlog_core.checkpoints.checkpoint import Answer, Checkpoint, CheckpointKey
from flowlog_core.dead_letters import DeadLetter
from flowlog_core.errors import Archived, Conflict, NotFound, OutOfRange
from flowlog_core.operate.passes import Passes
from flowlog_core.sinks import EntryRecords, Packed
from flowlog_core.sinks.message import Encoding, Message, messages_of
from flowlog_core.source.listing import Listed, Others, Page
from flowlog_core.source.reading import Slice
from flowlog_core.sweep.cursor import Container, Cursor, StoredCursor

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class ManualClock:
    """A clock that tests control; a sleep only advances it."""

    def __init__(self, now_s: float = 1000.0) -> None:
        self.now_s = now_s

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return self.now_s

    def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        self.now_s += seconds


def service_time(clock: ManualClock) -> datetime:
    """The `Date` of a storage service whose clock is `clock`."""
    return EPOCH + timedelta(seconds=int(clock.monotonic()))


class MemoryCheckpoints:
    """A `CheckpointStore` whose service time is that of `clock`, cut to whole seconds."""

    def __init__(self, clock: ManualClock | None = None) -> None:
        self.clock = clock or ManualClock()
        self.calls: Counter[str] = Counter()
        self.rows_a_page = 1000
        self._stored: dict[CheckpointKey, tuple[Checkpoint, str]] = {}
        self._versions = 0
        self._lock = RLock()

    def get(self, key: CheckpointKey) -> Answer:
        """See `CheckpointStore.get`."""
        with self._lock:
            self.calls["get"] += 1
            checkpoint, etag = self._stored.get(key, (None, ""))
            return Answer(checkpoint, etag, service_time(self.clock))

    def create(self, key: CheckpointKey, checkpoint: Checkpoint) -> Answer:
        """See `CheckpointStore.create`."""
        with self._lock:
            self.calls["create"] += 1
            if key in self._stored:
                raise Conflict(f"{key} exists")
            return self._store(key, checkpoint)

    def replace(self, key: CheckpointKey, checkpoint: Checkpoint, etag: str) -> Answer:
        """See `CheckpointStore.replace`."""
        with self._lock:
            self.calls["replace"] += 1
            if key not in self._stored:
                raise NotFound(f"{key} does not exist")
            if self._stored[key][1] != etag:
                raise Conflict(f"{key} is no longer {etag}")
            return self._store(key, checkpoint)

    def between(self, partition: str, first: str, last: str) -> dict[str, Checkpoint]:
        """See `CheckpointStore.between`."""
        with self._lock:
            self.calls["between"] += 1
            return {
                key.row: checkpoint
                for key, (checkpoint, _) in sorted(self._stored.items())
                if key.partition == partition and first <= key.row <= last
            }

    def forwarded(self, partition: str, first: str, last: str) -> dict[str, str]:
        """See `CheckpointStore.forwarded`."""
        with self._lock:
            found = {
                key.row: one.progress.etag
                for key, (one, _) in self._stored.items()
                if key.partition == partition
                and first <= key.row <= last
                and one.progress.etag
                and not one.progress.pending_bytes
            }
            self.calls["forwarded"] += max(1, -(-len(found) // self.rows_a_page))
            return found

    def scan(
        self, since: str = "", before: str = "~"
    ) -> Iterator[tuple[CheckpointKey, Checkpoint, str]]:
        """See `CheckpointStore.scan`."""
        with self._lock:
            self.calls["scan"] += 1
            stored = sorted(self._stored.items())
        for key, (checkpoint, etag) in stored:
            if since <= key.row < before:
                yield key, checkpoint, etag

    def unsettled(
        self, now: datetime, after: str = ""
    ) -> Iterator[tuple[Sequence[Checkpoint], str]]:
        """See `CheckpointStore.unsettled`. Looks at `rows_a_page` checkpoints a page."""
        with self._lock:
            stored = sorted(self._stored.items())
        start = int(after or 0)
        while True:
            self.calls["unsettled"] += 1
            end = start + self.rows_a_page
            found = [one for _, (one, _) in stored[start:end]]
            found = [
                one for one in found if one.failure or (one.owned_until and one.owned_until < now)
            ]
            yield found, str(end) if end < len(stored) else ""
            if end >= len(stored):
                return
            start = end

    def remove(self, key: CheckpointKey, etag: str) -> None:
        """See `CheckpointStore.remove`."""
        with self._lock:
            self.calls["remove"] += 1
            if self._stored.get(key, (None, None))[1] != etag:
                raise Conflict(f"{key} is no longer {etag}")
            del self._stored[key]

    def _store(self, key: CheckpointKey, checkpoint: Checkpoint) -> Answer:
        self._versions += 1
        self._stored[key] = checkpoint, f"etag-{self._versions}"
        return Answer(checkpoint, self._stored[key][1], service_time(self.clock))


class MemoryCursors:
    """A `CursorStore` and `PassStore`; `shared` is the old cursor of all containers, if any."""

    def __init__(self, clock: ManualClock | None = None, shared: Cursor | None = None) -> None:
        self.clock = clock or ManualClock()
        self.calls: Counter[str] = Counter()
        self.shared = shared
        self._stored: dict[Container, tuple[Cursor, str]] = {}
        self._looks: dict[Container, datetime] = {}
        self._versions = 0

    def get(self, container: Container) -> StoredCursor:
        """See `CursorStore.get`."""
        self.calls["get"] += 1
        cursor, etag = self._stored.get(container, (None, ""))
        return StoredCursor(cursor, etag, service_time(self.clock))

    def put(self, container: Container, cursor: Cursor, etag: str) -> StoredCursor:
        """See `CursorStore.put`."""
        self.calls["put"] += 1
        if self._stored.get(container, (None, ""))[1] != etag:
            raise Conflict(f"{container} is no longer {etag}")
        self._versions += 1
        self._stored[container] = cursor, f"cursor-{self._versions}"
        return StoredCursor(*self._stored[container], service_time(self.clock))

    def note_look(self, container: Container, at: datetime) -> None:
        """See `PassStore.note_look`."""
        self.calls["note_look"] += 1
        self._looks[container] = at

    def passes(self) -> Passes:
        """See `PassStore.passes`."""
        self.calls["passes"] += 1
        cursors = {container: cursor for container, (cursor, _) in self._stored.items()}
        return Passes(cursors, dict(self._looks), service_time(self.clock))

    def get_shared(self) -> StoredCursor:
        """See `CursorStore.get_shared`."""
        etag = "shared" if self.shared else ""
        return StoredCursor(self.shared, etag, service_time(self.clock))

    def remove_shared(self, etag: str) -> None:
        """See `CursorStore.remove_shared`."""
        if self.shared is None or etag != "shared":
            raise Conflict("the shared cursor has changed")
        self.shared = None


def by_code_point(name: str) -> str:
    """The order of a listing in an account without a hierarchical namespace."""
    return name


def hierarchical(name: str) -> str:
    """The order of a listing in an account with a hierarchical namespace: `/` comes first."""
    return name.replace("/", "\0")


class MemoryBlobs:
    """A `LogReader` and `BlobLister` over byte strings; `put` commits a blob's next version."""

    def __init__(self, clock: ManualClock | None = None, blobs_a_page: int = 5000) -> None:
        self.clock = clock or ManualClock()
        self.blobs_a_page = blobs_a_page
        self.order: Callable[[str], str] = by_code_point
        """The order of listings: `by_code_point` or `hierarchical`."""
        self.odd_page: Callable[[], int] | None = None
        """Returns the size of the next page, which may be 0; then the last page may be empty."""
        self.others: set[str] = set()
        """Names in every container that are no flow log's."""
        self.calls: Counter[str] = Counter()
        self.read_bytes = 0
        self._committed: dict[BlobRef, datetime] = {}
        self._created: dict[BlobRef, datetime] = {}
        self._stored: dict[BlobRef, tuple[bytes, str]] = {}
        self._archived: set[BlobRef] = set()
        self._named: dict[tuple[str, str, str], BlobRef] = {}
        self._names: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        """The names in each container, sorted."""
        self._versions = 0
        self._lock = RLock()

    def put(self, blob: BlobRef, content: bytes) -> None:
        """Commit `content` as the blob's next version."""
        with self._lock:
            self._versions += 1
            if blob not in self._stored:
                insort(self._names[blob.account, blob.container], blob.name)
                self._named[blob.account, blob.container, blob.name] = blob
            self._stored[blob] = content, f"version-{self._versions}"
            self._committed[blob] = service_time(self.clock)
            self._created.setdefault(blob, self._committed[blob])

    def versions(self) -> dict[BlobRef, str]:
        """The current ETag of each blob."""
        with self._lock:
            return {blob: etag for blob, (_, etag) in self._stored.items()}

    def etag_of(self, blob: BlobRef) -> str:
        """The current ETag of a blob; empty if it does not exist."""
        with self._lock:
            return self._stored[blob][1] if blob in self._stored else ""

    def delete(self, blob: BlobRef) -> None:
        """Remove the blob."""
        with self._lock:
            del self._stored[blob], self._created[blob]
            self._names[blob.account, blob.container].remove(blob.name)

    def archive(self, blob: BlobRef) -> None:
        """Move the blob to the archive tier."""
        with self._lock:
            self._archived.add(blob)

    def rehydrate(self, blob: BlobRef) -> None:
        """Move the blob out of the archive tier; its version stays the same."""
        with self._lock:
            self._archived.remove(blob)

    def read(self, blob: BlobRef, start: int, max_bytes: int, etag: str | None) -> Slice:
        """See `LogReader.read`."""
        with self._lock:
            self.calls["read"] += 1
            if blob not in self._stored:
                raise NotFound(str(blob))
            if blob in self._archived:
                raise Archived(f"reading {blob}: 409 BlobArchived")
            content, version = self._stored[blob]
            if etag is not None and etag != version:
                raise Conflict(f"{blob} is no longer {etag}")
            if start >= len(content):
                raise OutOfRange(f"{blob} has {len(content)} bytes")
            data = content[start : start + max_bytes]
            self.read_bytes += len(data)
            return Slice(data, version, len(content), self._created[blob], self._committed[blob])

    def blob_bytes(self, blob: BlobRef) -> int:
        """See `LogReader.blob_bytes`."""
        with self._lock:
            self.calls["blob_bytes"] += 1
            if blob not in self._stored:
                raise NotFound(str(blob))
            return len(self._stored[blob][0])

    def page(
        self,
        account: str,
        container: str,
        prefix: str,
        *,
        marker: str = "",
        by_folder: bool,
        since: datetime | None = None,
    ) -> Page:
        """See `BlobLister.page`."""
        with self._lock:
            self.calls["folders" if by_folder else "page"] += 1
            found: dict[str, Listed | Others | None] = {}
            for name in self.others:
                if name.startswith(prefix):
                    folder, slash, _ = name[len(prefix) :].partition("/")
                    is_folder = by_folder and slash
                    found[f"{prefix}{folder}/" if is_folder else name] = (
                        None if is_folder else Others(1, name)
                    )
            names = self._names[account, container]
            at = bisect_left(names, prefix)
            while at < len(names) and (name := names[at]).startswith(prefix):
                folder, slash, _ = name[len(prefix) :].partition("/")
                if by_folder and slash:
                    found[f"{prefix}{folder}/"] = None
                    at = bisect_left(names, f"{prefix}{folder}0", at)  # which follows the slash
                else:
                    blob = self._named[account, container, name]
                    content, etag = self._stored[blob]
                    found[name] = Listed(
                        blob, etag, len(content), self._committed[blob], blob in self._archived
                    )
                    at += 1
        names = sorted(found, key=self.order)
        start = int(marker or 0)
        end = start + (self.blobs_a_page if self.odd_page is None else self.odd_page())
        parts = [(name, found[name]) for name in names[start:end]]
        has_more = end < len(names) if self.odd_page is None else end <= len(names)
        return Page(
            [
                one
                for _, one in parts
                if isinstance(one, Listed) and (since is None or one.blob.log.hour >= since)
            ],
            [name for name, one in parts if one is None],
            str(end) if has_more else "",
            reduce(Others.plus, (one for _, one in parts if isinstance(one, Others)), Others()),
        )


@dataclass
class MemorySink:
    """A `Sink` that keeps messages in a list, packed as the queue sink packs them."""

    encoding: Encoding = "gzip"
    messages: list[Message] = field(default_factory=list)

    def pack(self, entry: EntryRecords) -> Packed:
        """See `Sink.pack`."""
        return Packed(*messages_of(entry, self.encoding))

    def send(self, messages: Iterable[Any]) -> int:
        """See `Sink.send`."""
        count = 0
        for count, message in enumerate(messages, start=1):  # noqa: B007 - the last is the answer
            self.messages.append(message)
        return count


@dataclass
class MemoryDeadLetters:
    """A `DeadLetterStore` in a dict by name; storing a dead letter again replaces it."""

    letters: dict[str, DeadLetter] = field(default_factory=dict)

    def put(self, letters: Iterable[DeadLetter]) -> None:
        """See `DeadLetterStore.put`."""
        self.letters |= {letter.name: letter for letter in letters}


def some_blob(
    hour: int = 0, *, mac: str = "000D3AF87856", container: str = "insights-logs-example"
) -> BlobRef:
    """An NSG blob reference for tests; vary `hour` (0 to 23) or `mac` to get different ones."""
    name = (
        "resourceId=/SUBSCRIPTIONS/00000000-0000-0000-0000-000000000000/RESOURCEGROUPS/EXAMPLE"
        "/PROVIDERS/MICROSOFT.NETWORK/NETWORKSECURITYGROUPS/EXAMPLE-NSG"
        f"/y=2026/m=01/d=01/h={hour:02d}/m=00/macAddress={mac}/PT1H.json"
    )
    log = LogBlob.parse(name)
    if log is None:
        raise ValueError(name)
    return BlobRef("exampleaccount", container, log)
