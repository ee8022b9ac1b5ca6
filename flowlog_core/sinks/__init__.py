"""Where flow records go. A sink knows its own limits: it packs first, then sends.

`pack` is pure and depends on the entry alone, so whoever forwards the same entry again, after a
crash, makes the same messages with the same ids.
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
    """A record that does not fit the sink even alone."""

    index: int
    """Which of the entry's records: an index of `lines`, not of the tuple."""
    reason: str


class Packed(NamedTuple):
    """An entry made ready for a sink."""

    messages: Iterable[Any]
    """Each goes out in one call; what it is, only its sink knows. To be drawn once."""
    too_large: Sequence[TooLarge]


class Sink(Protocol):
    """One kind of destination."""

    def pack(self, entry: EntryRecords) -> Packed:
        """The messages that carry the entry's records; what fits none is given back."""
        ...

    def send(self, messages: Iterable[Any]) -> int:
        """Send all; returns how many, once every one is accepted. Several at a time.

        Messages are drawn one by one, each when there is room to send it. Whatever drawing one
        raises, and the first `StorageError` of a sending, comes out after the last sending that
        was under way has ended; some messages were sent then.
        """
        ...
