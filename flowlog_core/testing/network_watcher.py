"""Writers of log blobs: Network Watcher's own way, and the other ways such blobs come about.

Each writer owns one blob and keeps the truth of what it committed. Writers share nothing, so
several threads may each drive their own; one writer is not to be shared by threads. Azure answers
every commit of a block blob with one BlobCreated event; appending to an append blob raises none.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from itertools import pairwise

from azure.storage.blob import BlobBlock, BlobClient

from flowlog_core.testing.document import HEAD, TAIL, GeneratedEntry, document

# What one append to an append blob may hold in every version of the service.
_APPEND_BYTES = 4 * 1024 * 1024


class LogWriter(ABC):
    """One log blob and the entries in it.

    Attributes:
        blob: where it is written; its container must exist.
        entries: the entries of the last successful commit, in file order.
        written: the tuples of those entries, in file order. Grows only after a commit succeeded:
            where `append` raised, the storage service may or may not have taken what was sent.
    """

    def __init__(self, blob: BlobClient, *, seed: int = 0) -> None:
        self.blob = blob
        self.entries: list[GeneratedEntry] = []
        self.written: list[str] = []
        self._random = random.Random(seed)  # noqa: S311  # repeatable test data, no secret

    @property
    def content(self) -> bytes:
        """The blob's bytes as they stand since the last successful append."""
        return document(self.entries)

    def append(self, *entries: GeneratedEntry) -> None:
        """Commit these entries behind those already there, in one commit.

        The first append makes the blob. Without entries the commit adds nothing: the first makes a
        blob of head and tail alone, a later one changes only the ETag. Entries of any format may
        follow each other. Raises azure.core.exceptions.AzureError as the client does.
        """
        self._commit(entries)
        self.entries.extend(entries)
        self.written.extend(text for entry in entries for text in entry.tuples)

    def start_over(self, *entries: GeneratedEntry) -> None:
        """Rewrite the blob, so that it holds these entries alone; it may shrink."""
        self.entries, self.written = [], []
        self._forget()
        self.append(*entries)

    @abstractmethod
    def _commit(self, entries: tuple[GeneratedEntry, ...]) -> None:
        """Make the blob hold `self.entries` and then these."""

    def _forget(self) -> None:  # noqa: B027  # most writers remember nothing besides the entries
        """Drop what is remembered of the blob as it was."""

    def _pieces(self, entries: tuple[GeneratedEntry, ...]) -> list[bytes]:
        """These entries' bytes, with a comma before each but the blob's first."""
        return [
            entry.raw if index == 0 and not self.entries else b"," + entry.raw
            for index, entry in enumerate(entries)
        ]

    def _stage(self, data: bytes) -> str:
        # All ids in one blob must be of one length. The SDK base64-encodes them.
        block_id = f"{self._random.getrandbits(128):032x}"
        self.blob.stage_block(block_id, data)
        return block_id

    def _commit_block_list(self, block_ids: list[str]) -> None:
        self.blob.commit_block_list([BlobBlock(block_id) for block_id in block_ids])


class NetworkWatcherWriter(LogWriter):
    """Writes a block blob as Network Watcher does.

    The head is the first block and the tail the last; the blocks of an append go in just before the
    tail, which either moves or is staged anew under another id. Every data block but the first
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
        """The entries in one or several blocks, each of them whole entries."""
        blocks: list[bytes] = []
        for piece in self._pieces(entries):
            if blocks and self._random.random() < 0.5:
                blocks[-1] += piece
            else:
                blocks.append(piece)
        return blocks


class ReblockedWriter(LogWriter):
    """Writes the same bytes cut into blocks at random positions, as copies by AzCopy may be.

    Every append copies the whole blob again with other cuts, entries and even the head and tail
    split between blocks.
    """

    def _commit(self, entries: tuple[GeneratedEntry, ...]) -> None:
        data = document([*self.entries, *entries])
        cuts = self._random.sample(range(1, len(data)), self._random.randint(1, 8))
        edges = [0, *sorted(cuts), len(data)]
        self._commit_block_list([self._stage(data[start:end]) for start, end in pairwise(edges)])


class WholeBlobWriter(LogWriter):
    """Writes the blob whole each time (the PutBlob of the event), so it has no block list."""

    def _commit(self, entries: tuple[GeneratedEntry, ...]) -> None:
        self.blob.upload_blob(document([*self.entries, *entries]), overwrite=True)


class AppendBlobWriter(LogWriter):
    """Writes an append blob, which cannot move a tail: it has none until it is closed.

    Azure writes no flow log so, but a copy may be an append blob. Until `close` its content is not
    a whole JSON document. More than 4 MiB takes several appends, which a reader sees one by one; an
    append of no entries to a blob that exists does nothing.
    """

    def __init__(self, blob: BlobClient, *, seed: int = 0) -> None:
        super().__init__(blob, seed=seed)
        self._exists = False
        self._closed = False

    @property
    def content(self) -> bytes:
        """The blob's bytes as they stand since the last successful append or close."""
        whole = super().content
        return whole if self._closed else whole.removesuffix(TAIL)

    def close(self) -> None:
        """Write the tail. Raises ValueError where it was closed before or never begun."""
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
            raise ValueError("the append blob is closed: its tail cannot be taken back")

    def _forget(self) -> None:
        self._exists = self._closed = False
