"""Bytes of a log blob to flow records. Pure: no storage, no clock, nothing of Azure.

`read` is the way in. In the order of the data: `framing` finds the entries, with `pending` and
`recovery`; `entry` takes one apart; `tuples` makes the records; `record` says what they are, and
`packed_text` keeps very many of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

from flowlog_core.parsing.entry import DropsByVersion, UnreadableEntry, normalize
from flowlog_core.parsing.framing import Damaged, Entry, Framer
from flowlog_core.parsing.recovery import MAX_KEPT_BYTES
from flowlog_core.parsing.tuples import BadTuple, Row, time_of

__all__ = ["BadTuple", "Damaged", "Framer", "ParsedEntry", "Row", "read", "time_of"]


class ParsedEntry(NamedTuple):
    """An entry: the blob's bytes [start, end), as they are in `raw`, and what became of them."""

    start: int
    end: int
    raw: bytes
    lines: Sequence[str]
    """Its records, a JSON object each, in the order of its tuples."""
    bad: list[BadTuple]
    """What could not become a record."""
    dropped: list[int]
    """The indexes of the tuples that were left out on purpose."""
    last: Row | None = None
    """The fields of the last record's tuple; `time_of` has its time. None without a record."""


def read(
    chunks: Iterable[bytes],
    entry_id: Callable[[int], str],
    framer: Framer | None = None,
    *,
    is_end: bool = True,
    final: bool = True,
    drops: DropsByVersion | None = None,
) -> Iterator[ParsedEntry | Damaged]:
    """The entries of a blob, and what in it cannot be read as one, in the blob's order.

    Args:
        chunks: The blob's bytes, from the framer's offset on, in pieces of any size.
        entry_id: Makes the id of an entry from the byte at which it begins. The id of a record is
            that id, a dot and the tuple's index in the entry.
        framer: Says up to where the blob was read, at any moment; by default one at byte 0.
        is_end: Whether the blob, as committed now, ends with these chunks.
        final: Whether nothing will ever follow that end. Otherwise an entry cut short there is left
            for a later read from the framer's offset.
        drops: Says which tuples make no record; by default each valid one does.

    Raises whatever `chunks` raises, and `MemoryError`.
    """

    def parsed(item: Entry, value: dict[str, Any]) -> ParsedEntry | Damaged:
        start, end, raw, _ = item
        packed = len(raw) > MAX_KEPT_BYTES
        try:
            normalized = normalize(value, f"{entry_id(start)}.", drops, packed=packed)
        except UnreadableEntry as error:
            return Damaged(start, end, raw, str(error))
        return ParsedEntry(start, end, raw, *normalized)

    framer = framer or Framer()
    fed: Iterable[Iterator[Entry | Damaged]] = map(framer.feed, chunks)
    if is_end:
        fed = chain(fed, [framer.end(final=final)])
    for item in chain.from_iterable(fed):
        yield item if isinstance(item, Damaged) else item.use(partial(parsed, item))
