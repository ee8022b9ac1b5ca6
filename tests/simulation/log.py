"""Network Watcher in a simulation: small flow logs that grow, and a record of their contents.

Every tuple has a unique number, which is its source address. So a record shows which tuple it was
made of, even if the blob has changed since.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from flowlog_core.blob import BlobRef
from flowlog_core.checkpoints.checkpoint import SEAM_BYTES
from flowlog_core.testing.memory import MemoryBlobs, service_time

_HEAD, _TAIL = b'{"records":[', b"]}"
_ENTRY = (
    b'{"time":"2026-01-01T00:00:00Z","category":"NetworkSecurityGroupFlowEvent","properties":'
    b'{"Version":1,"flows":[{"rule":"r","flows":[{"mac":"m","flowTuples":[%b]}]}]},"n":%d}'
)
_MAX_TUPLES = 4
REFUSED = "11."
"""How the source addresses of tuples begin that the sink refuses for what they are."""

ItemKey = tuple[int, int | None]
"""A position: the entry's byte offset, and the tuple's index, or None for the whole entry."""


@dataclass(frozen=True, slots=True)
class WrittenEntry:
    """An entry in a blob."""

    raw: bytes
    addresses: dict[int, str] = field(default_factory=dict)
    """The source address of each readable tuple, by its index."""
    unreadable: dict[int | None, bytes] = field(default_factory=dict)
    """What must become a dead letter, by the tuple's index; None is the whole entry."""


class SimulatedLog:
    """One log blob: commits versions of it, and records their contents."""

    def __init__(
        self,
        blob: BlobRef,
        blobs: MemoryBlobs,
        rng: Random,
        first_number: int,
        is_refused: Callable[[], bool] = lambda: False,
    ) -> None:
        self.blob = blob
        self.refused: set[bytes] = set()
        """All entries ever that the sink refuses for what they are."""
        self.rewrites = 0
        """How many versions did not continue the previous one."""
        self.ever: dict[ItemKey, set[str | bytes]] = defaultdict(set)
        """All that was ever committed at a position: addresses of tuples, or unreadable bytes."""
        self._blobs, self._rng, self._number = blobs, rng, first_number
        self._is_refused = is_refused
        self._entries: list[WrittenEntry] = []
        self._torn: WrittenEntry | None = None
        self._exists = False

    def now(self) -> dict[ItemKey, str | bytes]:
        """What is committed now, by its position."""
        held: dict[ItemKey, str | bytes] = {}
        offset = len(_HEAD)
        for entry in self._entries:
            for index, address in entry.addresses.items():
                held[offset, index] = address
            for whole_or_index, raw in entry.unreadable.items():
                held[offset, whole_or_index] = raw
            offset += len(entry.raw) + 1
        return held

    @property
    def is_torn(self) -> bool:
        """Whether the second half of the last entry is not committed yet."""
        return self._torn is not None

    def append(self, *, torn: bool = False) -> str:
        """Commit up to three more entries, with `torn` only the first half of the last one."""
        new = [self._some_entry() for _ in range(self._rng.randint(1, 3))]
        if self._torn:
            new[:0] = [self._torn]
            self._torn = None
        if torn:
            self._torn = new.pop()
        self._entries += new
        return self._commit(f"{len(new)} entries more")

    def rewrite(self) -> str:
        """Commit a version that does not continue the current one, or delete the blob."""
        self._torn = None
        self.rewrites += 1
        if self._may_end_alike() and self._rng.random() < 0.5:
            self._entries[:2] = self._entries[1::-1]
            self._blobs.delete(self.blob)
            return self._commit("made anew, as long as it was and with the same end")
        choice = self._rng.random()
        if choice < 0.3 and self._exists:
            self._entries, self._exists = [], False
            self._blobs.delete(self.blob)
            return "deleted"
        if choice < 0.6:
            self._entries = self._entries[: self._rng.randint(0, len(self._entries))]
            return self._commit("cut off")
        self._entries = [self._some_entry() for _ in range(self._rng.randint(0, 3))]
        return self._commit("written anew")

    def _may_end_alike(self) -> bool:
        """Whether the first two entries may change places without a seam that shows it.

        Not within the second in which the blob was created: creation times have whole seconds.
        """
        rest_bytes = sum(len(entry.raw) for entry in self._entries[2:])
        if not self._exists or rest_bytes < SEAM_BYTES:
            return False
        created = self._blobs.read(self.blob, 0, 1, None).created
        return created is not None and created < service_time(self._blobs.clock)

    def _commit(self, what: str) -> str:
        entries = [entry.raw for entry in self._entries]
        tail = _TAIL
        if self._torn:
            entries.append(self._torn.raw[: self._rng.randrange(1, len(self._torn.raw))])
            tail = self._rng.choice([_TAIL, b""])
            what += " and a half"
        content = _HEAD + b",".join(entries) + tail
        self._blobs.put(self.blob, content)
        self._exists = True
        for position, held in self.now().items():
            self.ever[position].add(held)
        return f"{what}, {len(content)} bytes"

    def _some_entry(self) -> WrittenEntry:
        self._number += 1
        kind = self._rng.random()
        if kind < 0.04:
            raw = b'{"time":tru,"category":"NetworkSecurityGroupFlowEvent","n":%d}' % self._number
            return WrittenEntry(raw, unreadable={None: raw})
        if kind < 0.08:
            raw = b'{"category":"Other","n":%d}' % self._number
            return WrittenEntry(raw, unreadable={None: raw})
        if self._is_refused():
            return self._refused_entry()
        addresses: dict[int, str] = {}
        unreadable: dict[int | None, bytes] = {}
        tuples: list[bytes] = []
        for index in range(self._rng.randint(0, _MAX_TUPLES)):
            self._number += 1
            address = f"10.{self._number >> 16}.{self._number >> 8 & 255}.{self._number & 255}"
            if self._rng.random() < 0.06:
                unreadable[index] = address.encode()
                tuples.append(unreadable[index])
            else:
                addresses[index] = address
                tuples.append(b"1767225600,%b,10.0.0.1,1,2,T,I,A" % address.encode())
        # The number makes the last bytes of every entry its own, as times and addresses do in
        # real logs: a rewriting that ends in the same 256 bytes at the same place goes
        # unnoticed, unless the blob was deleted first.
        raw = _ENTRY % (_quoted(tuples), self._number)
        return WrittenEntry(raw, addresses, unreadable)

    def _refused_entry(self) -> WrittenEntry:
        tuples = []
        for index in range(_MAX_TUPLES):
            self._number += 1
            address = f"{REFUSED}{self._number >> 8 & 255}.{self._number & 255}.{index}"
            tuples.append(b"1767225600,%b,10.0.0.1,1,2,T,I,A" % address.encode())
        raw = _ENTRY % (_quoted(tuples), self._number)
        self.refused.add(raw)
        return WrittenEntry(raw, unreadable={None: raw})


def _quoted(texts: Sequence[bytes]) -> bytes:
    return b",".join(b'"%b"' % text for text in texts)
