"""Where flow records go. A sink packs an entry within its own limits, then sends it.

`pack` is pure, so a worker that forwards the same entry again after a crash creates the same
messages with the same ids.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from flowlog_core.blob import Position
from flowlog_core.parsing.record import SUM_SUFFIX

SCHEMA = "flowlog/1"
"""What a message says of records as docs/schema/flow-record.schema.json describes them."""


@dataclass(frozen=True, slots=True)
class Form:
    """What is sent of a record, other than the whole of it: see `shape.shaper`."""

    schema: str = SCHEMA
    """Name and version."""
    fields: str | tuple[str, ...] = ""
    """`lean`, or the names of the fields; empty for all."""
    mark: str = ""
    """Ends the ids of messages, so that one id never has two contents."""

    @property
    def is_flowlog(self) -> bool:
        """Whether the records are Flowlog's own, not events of another schema."""
        return self.schema == SCHEMA


class EntryRecords(NamedTuple):
    """The flow records of one entry."""

    position: Position
    lines: Sequence[str]
    """Finished records, a JSON object each, in the order of their tuples."""
    left_out: Collection[int] = ()
    """The indexes of the tuples without a record: bad ones, and those that a rule dropped."""
    form: Form = Form()
    sums: Sequence[Sequence[int]] | None = None
    """If records are sums of flows: for each the indexes of its tuples, in ascending order."""

    @property
    def tuple_indexes(self) -> Sequence[int]:
        """For each record the index of its (first) tuple, which counts over the whole entry."""
        if self.sums is not None:
            return [tuples[0] for tuples in self.sums]
        if not self.left_out:
            return range(len(self.lines))
        left_out = frozenset(self.left_out)
        return [i for i in range(len(self.lines) + len(left_out)) if i not in left_out]

    @property
    def id_suffix(self) -> str:
        """The end of each record's id, which must end its key too."""
        return "" if self.sums is None else SUM_SUFFIX


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
        """Return the messages with the entry's records, and the records too large for a message.

        `entry` is the `sent` of what `shape.shaper.Shaper` makes of an entry: the records as the
        settings want them, whatever the sink. `lines` are what is sent, a JSON object each.
        """
        ...

    def send(self, messages: Iterable[Any]) -> int:
        """Send all messages, several at a time; return how many, once every one is accepted.

        Takes the next message from the iterable when there is room to send it. Raises what the
        iterable raises, or the first `StorageError` of a send, after every started send has ended.
        Some messages may be sent then.
        """
        ...
