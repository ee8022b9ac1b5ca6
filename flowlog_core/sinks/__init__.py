"""Where flow records go. A sink packs an entry within its own limits, then sends it.

`pack` is pure and depends on the entry alone, so a worker that forwards the same entry again after
a crash creates the same messages with the same ids.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from flowlog_core.blob import Position
from flowlog_core.parsing.record import Lines


class EntryRecords(NamedTuple):
    """The flow records of one entry."""

    position: Position
    lines: Lines
    bad_indexes: Collection[int] = ()
    """The indexes of the tuples that made no record."""

    @property
    def tuple_indexes(self) -> Sequence[int]:
        """For each record the index of its tuple, which counts over the whole entry."""
        if not self.bad_indexes:
            return range(len(self.lines))
        bad = frozenset(self.bad_indexes)
        return [i for i in range(len(self.lines) + len(bad)) if i not in bad]


@dataclass(frozen=True, slots=True)
class TooLarge:
    """A record that is too large for the sink, even alone."""

    index: int
    """Which of the entry's records: an index of `lines`, not of the tuple."""
    reason: str


class Packed(NamedTuple):
    """An entry, packed for a sink."""

    messages: Iterable[Any]
    """Each is sent in one storage call: a queue message, or a batch of table rows. Iterate once."""
    too_large: Sequence[TooLarge]


class Sink(Protocol):
    """One kind of destination."""

    def pack(self, entry: EntryRecords) -> Packed:
        """Return the messages with the entry's records, and the records too large for a message."""
        ...

    def send(self, messages: Iterable[Any]) -> int:
        """Send all messages, several at a time; return how many, once every one is accepted.

        Takes the next message from the iterable when there is room to send it. Raises what the
        iterable raises, or the first `StorageError` of a send, after every started send has ended.
        Some messages may be sent then.
        """
        ...
