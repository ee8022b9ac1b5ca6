"""Writers of log blobs: as Network Watcher writes them, and as copies and other tools do.

Each writer owns one blob and records what it committed. Writers share nothing, so each thread can
use its own; a single writer is not thread-safe. Azure raises one BlobCreated event for every commit
of a block blob, and none for appends to an append blob.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from itertools import pairwise

from azure.storage.blob import BlobBlock, BlobClient

from flowlog_core.testing.document import HEAD, TAIL, GeneratedEntry, document

# The limit of one append to an append blob in every version of the service.
_APPEND_BYTES = 4 * 1024 * 1024


class LogWriter(ABC):
    """One log blob and its entries.

    Attributes:
        blob: the blob that is written; its container must exist.
        entries: the entries of the last successful commit, in file order.
        written: the tuples of those entries, in file order. Grows only after a successful commit:
            if `append` raised, the storage service may or may not have stored what was sent.
    """

    def __init__(self, blob: BlobClient, *, seed: int = 0) -> None:
        self.blob = blob
        self.entries: list[GeneratedEntry] = []
        self.written: list[str] = []
        self._random = random.Random(seed)  # noqa: S311  # repeatable test data, no secret

    @property
    def content(self) -> bytes:
        """The blob's bytes after the last successful append."""
        return document(self.entries)

    def append(self, *entries: GeneratedEntry) -> None:
        """Add these entries at the end, in one commit.

        The first append creates the blob. Without entries, the first append creates a blob of head
        and tail only, and a later one changes only the ETag. Formats of entries can be mixed.
        Raises azure.core.exceptions.AzureError.
        """
        self._commit(entries)
        self.entries.extend(entries)
        self.written.extend(text for entry in entries for text in entry.tuples)

    def start_over(self, *entries: GeneratedEntry) -> None:
        """Rewrite the blob with these entries only; it may shrink."""
        self.entries, self.written = [], []
        self._forget()
        self.append(*entries)

    @abstractmethod
    def _commit(self, entries: tuple[GeneratedEntry, ...]) -> None:
        """Commit `self.entries`, followed by these."""

    def _forget(self) -> None:  # noqa: B027  # most writers keep nothing else
        """Drop the state of the blob before it was rewritten."""

    def _pieces(self, entries: tuple[GeneratedEntry, ...]) -> list[bytes]:
        """These entries' bytes, with a comma before each but the blob's first."""
        return [
            entry.raw if index == 0 and not self.entries else b"," + entry.raw
            for index, entry in enumerate(entries)
        ]

    def _stage(self, data: bytes) -> str:
        # All block ids of a blob must have the same length. The SDK base64-encodes them.
        block_id = f"{self._random.getrandbits(128):032x}"
        self.blob.stage_block(block_id, data)
        return block_id

    def _commit_block_list(self, block_ids: list[str]) -> None:
        self.blob.commit_block_list([BlobBlock(block_id) for block_id in block_ids])


class NetworkWatcherWriter(LogWriter):
    """Writes a block blob as Network Watcher does.

    The head is the first block and the tail is the last. The blocks of an append go just before the
    tail, which either moves or is staged again with a new id. Every data block but the first
    begins with a comma. Block ids are random.
    """

    def __init__(self, blob: BlobClient, *, seed: int = 0) -> None:
        super().__init__(blob, seed=seed)
        self._before_tail: list[str] = []
        self._tail = ""

    def _commit(self, entries: tuple[GeneratedEntry, ...]) -> None:
        before_tail = self._before_tail or [self._stage(HEAD)]
        new = [self._stage(block) for block in self._data_blocks(entries)]
        tail = self._tail
        if not tail or self._random.random() < 0.5:
            tail = self._stage(TAIL)
        self._commit_block_list([*before_tail, *new, tail])
        self._before_tail, self._tail = before_tail + new, tail

    def _forget(self) -> None:
        self._before_tail, self._tail = [], ""

    def _data_blocks(self, entries: tuple[GeneratedEntry, ...]) -> list[bytes]:
        """The entries in one or more blocks; each block has whole entries."""
        blocks: list[bytes] = []
        for piece in self._pieces(entries):
            if blocks and self._random.random() < 0.5:
                blocks[-1] += piece
            else:
                blocks.append(piece)
        return blocks


class ReblockedWriter(LogWriter):
    """Writes the same bytes in blocks that end at random positions, like copies by AzCopy.

    Every append copies the whole blob again with other block boundaries, even within entries, the
    head and the tail.
    """

    def _commit(self, entries: tuple[GeneratedEntry, ...]) -> None:
        data = document([*self.entries, *entries])
        cuts = self._random.sample(range(1, len(data)), self._random.randint(1, 8))
        edges = [0, *sorted(cuts), len(data)]
        self._commit_block_list([self._stage(data[start:end]) for start, end in pairwise(edges)])


class WholeBlobWriter(LogWriter):
    """Writes the whole blob each time (PutBlob in the event), so it has no block list."""

    def _commit(self, entries: tuple[GeneratedEntry, ...]) -> None:
        self.blob.upload_blob(document([*self.entries, *entries]), overwrite=True)


class AppendBlobWriter(LogWriter):
    """Writes an append blob, which cannot move its tail: it has none until it is closed.

    Azure does not write flow logs like this, but a copy may be an append blob. Before `close` its
    content is not a complete JSON document. More than 4 MiB takes several appends, which a reader
    sees one by one. An append without entries to an existing blob does nothing.
    """

    def __init__(self, blob: BlobClient, *, seed: int = 0) -> None:
        super().__init__(blob, seed=seed)
        self._exists = False
        self._closed = False

    @property
    def content(self) -> bytes:
        """The blob's bytes after the last successful append or close."""
        whole = super().content
        return whole if self._closed else whole.removesuffix(TAIL)

    def close(self) -> None:
        """Write the tail. Raises ValueError if the blob is closed or does not exist."""
        self._require_open()
        if not self._exists:
            raise ValueError("the append blob does not exist yet: append first")
        self.blob.append_block(TAIL)
        self._closed = True

    def _commit(self, entries: tuple[GeneratedEntry, ...]) -> None:
        self._require_open()
        data = b"".join(self._pieces(entries))
        if not self._exists:
            self.blob.create_append_blob()
            self._exists = True
            data = HEAD + data
        for start in range(0, len(data), _APPEND_BYTES):
            self.blob.append_block(data[start : start + _APPEND_BYTES])

    def _require_open(self) -> None:
        if self._closed:
            raise ValueError("the append blob is closed: its tail cannot be removed")

    def _forget(self) -> None:
        self._exists = self._closed = False
