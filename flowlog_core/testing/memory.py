"""Fakes of everything that `ingest` touches, in memory, with the guarantees of the real ones.

The same contract suites run against these and against Azurite. They are safe to use from several
threads, and `calls` counts what a storage account would be asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import RLock
from typing import Any

from flowlog_core import blob_name
from flowlog_core.appended import Slice
from flowlog_core.blob_source import Listed
from flowlog_core.checkpoint import Answer, BlobRef, Checkpoint, CheckpointKey
from flowlog_core.dead_letter import DeadLetter
from flowlog_core.errors import Conflict, NotFound, OutOfRange
from flowlog_core.messages import Encoding, Message, messages_of
from flowlog_core.sinks import EntryRecords, Packed

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class ManualClock:
    """Time that passes when a test says so; a sleep just moves it on."""

    def __init__(self, now_s: float = 1000.0) -> None:
        self.now_s = now_s

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return self.now_s

    def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        self.now_s += seconds


class MemoryCheckpoints:
    """A `CheckpointStore` whose service time is that of `clock`, cut to whole seconds."""

    def __init__(self, clock: ManualClock | None = None) -> None:
        self.clock = clock or ManualClock()
        self.calls: Counter[str] = Counter()
        self._stored: dict[CheckpointKey, tuple[Checkpoint, str]] = {}
        self._versions = 0
        self._lock = RLock()

    def get(self, key: CheckpointKey) -> Answer:
        """See `CheckpointStore.get`."""
        with self._lock:
            self.calls["get"] += 1
            checkpoint, etag = self._stored.get(key, (None, ""))
            return Answer(checkpoint, etag, self._date())

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
                raise Conflict(f"{key} is not {etag} any more")
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

    def _store(self, key: CheckpointKey, checkpoint: Checkpoint) -> Answer:
        self._versions += 1
        self._stored[key] = checkpoint, f"etag-{self._versions}"
        return Answer(checkpoint, self._stored[key][1], self._date())

    def _date(self) -> datetime:
        return EPOCH + timedelta(seconds=int(self.clock.monotonic()))


class MemoryBlobs:
    """A `LogReader` over byte strings; `put` commits a new version of a blob."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.read_bytes = 0
        self._stored: dict[BlobRef, tuple[bytes, str]] = {}
        self._versions = 0
        self._lock = RLock()

    def put(self, blob: BlobRef, content: bytes) -> None:
        """Commit `content` as the blob's next version."""
        with self._lock:
            self._versions += 1
            self._stored[blob] = content, f"version-{self._versions}"

    def delete(self, blob: BlobRef) -> None:
        """Remove the blob."""
        with self._lock:
            del self._stored[blob]

    def read(self, blob: BlobRef, start: int, most_bytes: int, etag: str | None) -> Slice:
        """See `LogReader.read`."""
        with self._lock:
            self.calls["read"] += 1
            if blob not in self._stored:
                raise NotFound(str(blob))
            content, version = self._stored[blob]
            if etag is not None and etag != version:
                raise Conflict(f"{blob} is not {etag} any more")
            if start >= len(content):
                raise OutOfRange(f"{blob} has {len(content)} bytes")
            data = content[start : start + most_bytes]
            self.read_bytes += len(data)
            return Slice(data, version, len(content))

    def flow_logs(self, account: str, container: str, prefix: str = "") -> Iterator[Listed]:
        """See `AzureBlobs.flow_logs`."""
        with self._lock:
            stored = sorted(self._stored.items(), key=lambda item: item[0].name)
        for blob, (content, etag) in stored:
            in_container = (blob.account, blob.container) == (account, container)
            if in_container and blob.name.startswith(prefix):
                yield Listed(blob, etag, len(content))


@dataclass
class MemorySink:
    """A `Sink` that keeps the queue's messages, packed as the queue sink packs them."""

    encoding: Encoding = "json"
    messages: list[Message] = field(default_factory=list)

    def pack(self, entry: EntryRecords) -> Packed:
        """See `Sink.pack`."""
        return Packed(*messages_of(entry, self.encoding))

    def send(self, parcels: Iterable[Any]) -> int:
        """See `Sink.send`."""
        count = 0
        for count, parcel in enumerate(parcels, start=1):  # noqa: B007 - the last is the answer
            self.messages.append(parcel)
        return count


@dataclass
class MemoryDeadLetters:
    """A `DeadLetterStore` by name, where a repeat replaces the same item."""

    letters: dict[str, DeadLetter] = field(default_factory=dict)

    def put(self, letters: Iterable[DeadLetter]) -> None:
        """See `DeadLetterStore.put`."""
        self.letters |= {letter.name: letter for letter in letters}


def some_blob(
    hour: int = 0, *, mac: str = "000D3AF87856", container: str = "insights-logs-example"
) -> BlobRef:
    """A well-formed NSG blob reference for tests; `hour` (0 to 23) and `mac` tell several apart."""
    name = (
        "resourceId=/SUBSCRIPTIONS/00000000-0000-0000-0000-000000000000/RESOURCEGROUPS/EXAMPLE"
        "/PROVIDERS/MICROSOFT.NETWORK/NETWORKSECURITYGROUPS/EXAMPLE-NSG"
        f"/y=2026/m=01/d=01/h={hour:02d}/m=00/macAddress={mac}/PT1H.json"
    )
    log = blob_name.parse(name)
    if log is None:
        raise ValueError(name)
    return BlobRef("exampleaccount", container, log)
