"""Where flow records go. A sink knows its own limits: it packs first, then sends.

`pack` is pure and depends on the entry alone, so whoever forwards the same entry again, after a
crash, makes the same parcels with the same ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import orjson

from flowlog_core.checkpoint import BlobRef
from flowlog_core.records import Lines, Source


class EntryRecords(NamedTuple):
    """The flow records of one entry."""

    blob: BlobRef
    source: Source
    offset: int
    """Where the entry begins in the blob."""
    lines: Lines


class TooLarge(NamedTuple):
    """A record that does not fit the sink even alone."""

    place: int
    """Its index in the entry's lines."""
    reason: str


class Packed(NamedTuple):
    """An entry made ready for a sink."""

    parcels: Iterable[Any]
    """Each goes out in one call; what it is, only its sink knows. To be drawn once."""
    too_large: Sequence[TooLarge]


def tuple_index_of(line: str) -> int:
    """The tuple's index in its entry, from the id in a finished record."""
    record_id: str = orjson.loads(line)["id"]
    return int(record_id.rpartition(".")[2])


class Sink(Protocol):
    """One kind of destination."""

    def pack(self, entry: EntryRecords) -> Packed:
        """The parcels that carry the entry's records; what fits none is given back."""
        ...

    def send(self, parcels: Iterable[Any]) -> int:
        """Send all; returns how many, once every one is accepted. Several at a time.

        Parcels are drawn one by one, each when there is room to send it. Whatever drawing one
        raises, and the first `StorageError` of a sending, comes out after the last sending that
        was under way has ended; some parcels were sent then.
        """
        ...
