"""Bytes of a PT1H.json blob to its entries with their byte positions. Pure and incremental.

The blob is `{"records":[entry,entry,...]}`. Azure puts new entries in front of the tail `]}` and
writes the tail anew, so the bytes right after the last entry change from `]}` to `,{...}]}`.
That is why `Framer.offset` never passes a separator or a tail. And an entry cut short after
`{"flows":[` would be closed by that tail, with the next append then behind the offset: so the brace
of a `]}` at the end of the bytes read so far closes nothing until something follows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import orjson

from flowlog_core.compiled import outline
from flowlog_core.json_scan import (
    ENTRY_START,
    ENTRY_START_BYTES,
    Closed,
    NextEntry,
    Scan,
    find_head,
    parse_object,
    quick_end,
)
from flowlog_core.outline import Outline
from flowlog_core.unframed import Unframed

_BOM = b"\xef\xbb\xbf"
_SPACE = b" \t\r\n"
_STRUCTURE = re.compile(rb"[ \t\r\n,\]}]*+")


@dataclass(frozen=True, slots=True)
class Entry:
    """One JSON object of the records array; `raw` is exactly the blob's bytes [start, end)."""

    start: int
    end: int
    raw: bytes
    parsed: dict[str, Any] | Outline = field(compare=False)
    """What `normalize` takes."""

    @property
    def value(self) -> dict[str, Any]:
        """All that it holds."""
        return self.parsed.whole() if isinstance(self.parsed, Outline) else self.parsed


@dataclass(frozen=True, slots=True)
class Damaged:
    """Bytes [start, end) of the blob that hold no entry, and why, in words for a person."""

    start: int
    end: int
    raw: bytes
    reason: str


class Framer:
    """Finds the entries of a blob in its bytes from `offset` on.

    `offset` is 0 or what an earlier Framer's `offset` was; `before` the up to 64 bytes in front
    of it, which only the property of that name needs. Guarantees:

    - The items depend on the bytes alone: not on the chunks, nor on where reading was resumed, nor
      on whether there is compiled code and may be used.
    - Items ascend and do not overlap. What lies between them is a head (`{"records":[`, a byte
      order mark, scalars beside `records`), white space, commas or closing brackets.
    - A valid entry beside damage is found, and no input raises but `MemoryError`. Any JSON object
      counts as an entry; only in looking for the end of damage must it look like a flow log's
      (`category`, and `properties` or `flowRecords`).
    - A Damaged never covers the blob's final `]}`.
    - Memory stays near `max_entry_bytes` and one chunk, time linear in the input. Of what is
      larger than `max_entry_bytes`, consecutive pieces are Damaged, up to the next entry.

    Raises ValueError where `max_entry_bytes` is not positive.
    """

    offset: int
    """The byte after the last item yielded: where a later Framer goes on."""

    before: bytes
    """The last up to 64 bytes before `offset`."""

    def __init__(
        self,
        offset: int = 0,
        before: bytes = b"",
        *,
        max_entry_bytes: int = 64 * 1024 * 1024,
        compiled: bool = True,
    ) -> None:
        if max_entry_bytes < 1:
            raise ValueError(f"max_entry_bytes must be positive, not {max_entry_bytes}")
        self._unframed = Unframed(offset, before)
        self.offset = offset
        self.before = self._unframed.before
        self._max_entry_bytes = max_entry_bytes
        self._outline = outline if compiled else None
        # Up to where the two short ways were tried in vain; they are tried again only behind it.
        self._outlined_to = self._guessed_to = 0
        self._scan: Scan | None = None  # of the element at hand

    def feed(self, data: bytes) -> Iterator[Entry | Damaged]:
        """Take the next bytes of the blob; the iterator yields what they complete, lazily.

        `data` is taken by the call itself. Items left in the iterator come out of the next one.
        """
        self._unframed.add(data)
        return self._items(final=False)

    def end(self, *, final: bool = False) -> Iterator[Entry | Damaged]:
        """Say that the blob, as committed now, ends here; feed nothing to this Framer afterwards.

        An element that has not ended stays pending, as the next append may complete it: a new
        Framer at `offset` will see it again. With `final` (nothing will ever follow) it is
        Damaged, up to the blob's tail.
        """
        return self._items(final=final)

    @property
    def pending_bytes(self) -> int:
        """How many bytes at the end of what was fed make no item yet; 0 once all is told.

        Separators and a tail do not count, unless they follow something unfinished.
        """
        return len(self._unframed)

    def _items(self, *, final: bool) -> Iterator[Entry | Damaged]:
        while self._skip_separators():
            item: Entry | Damaged | None = self._outlined()
            if item is None and self._skip_head():
                continue
            item = item or self._quick() or self._careful(final=final)
            if item is None:
                return
            yield item

    def _skip_separators(self) -> bool:
        """Pass what may stand between elements; False: nothing else is there (yet)."""
        unframed = self._unframed
        if unframed.position == 0 and unframed.starts_with(_BOM):
            self._scan = None
            unframed.drop(len(_BOM))
        if structure := _STRUCTURE.match(unframed.read, unframed.at):
            unframed.drop(structure.end() - unframed.at)
        return len(unframed) > 0

    def _skip_head(self) -> bool:
        """Pass the head at hand, if one is there."""
        unframed = self._unframed
        head_bytes = find_head(unframed.read, unframed.at, self._max_entry_bytes)
        if head_bytes is None:
            return False
        self._scan = None
        unframed.drop(head_bytes)
        return True

    def _outlined(self) -> Entry | None:
        """The entry at hand without its tuples, if it is complete and plain."""
        if self._outline is None or self._is_tried(self._outlined_to):
            return None
        unframed = self._unframed
        limit = unframed.decidable(self._max_entry_bytes)
        end, text = self._outline(unframed.read, unframed.at, limit)
        if text is not None and not ENTRY_START.search(text, 1):
            try:
                value = parse_object(text)
            except orjson.JSONDecodeError:
                pass  # damage: the scan tells
            else:
                raw = unframed.first(end)
                return self._entry(raw, Outline(raw, value))
        self._outlined_to = unframed.position + end
        return None

    def _quick(self) -> Entry | None:
        """The entry at hand, if it is complete and one look suffices."""
        if self._is_tried(self._guessed_to):
            return None
        unframed = self._unframed
        limit = unframed.decidable(self._max_entry_bytes)
        end, is_alone = quick_end(unframed.buffer, limit)
        if end is not None and is_alone:
            raw = unframed.first(end)
            # Otherwise braces in strings or damage: the scan tells.
            with suppress(orjson.JSONDecodeError):
                return self._entry(raw, parse_object(raw))
        self._guessed_to = unframed.position + (limit if end is None else end)
        return None

    def _is_tried(self, tried_to: int) -> bool:
        """Whether the element at hand is known to be none of the easy ones."""
        unframed = self._unframed
        is_object = unframed.starts_with(b"{")
        return self._scan is not None or unframed.position < tried_to or not is_object

    def _careful(self, *, final: bool) -> Entry | Damaged | None:
        """The entry or damage at hand; None: the bytes that will tell are still to come."""
        unframed, buffer = self._unframed, self._unframed.buffer
        is_object = buffer.startswith(b"{")
        scan = self._scan = self._scan or Scan(is_object=is_object)
        found = scan.advance(buffer, unframed.decidable(self._max_entry_bytes, final=final))
        if isinstance(found, NextEntry):
            reason = "not closed before the next entry" if is_object else "not an entry"
            return self._damaged(found.start, reason)
        if isinstance(found, Closed):
            raw = unframed.first(found.end)
            try:
                return self._entry(raw, parse_object(raw))
            except orjson.JSONDecodeError as error:
                if not unframed.may_be_tail(found.end):
                    return self._damaged_to_open_entry(scan, found.end, f"not valid JSON: {error}")
        unread = ENTRY_START_BYTES if not final else 0  # so that open_entry sees whole starts
        if len(buffer) > self._max_entry_bytes + unread:
            cut = _cut(unframed.first(self._max_entry_bytes))
            reason = f"larger than {self._max_entry_bytes} bytes"
            return self._damaged_to_open_entry(scan, cut, reason)
        if final:
            reason = "the blob ends before the entry does" if is_object else "not an entry"
            tail = unframed.tail()
            return self._damaged(tail[0] if tail else len(buffer), reason)
        return None

    def _entry(self, raw: bytes, parsed: dict[str, Any] | Outline) -> Entry:
        start = self._unframed.position
        self._yielded(len(raw))
        return Entry(start, self.offset, raw, parsed)

    def _damaged(self, end: int, reason: str) -> Damaged:
        start = self._unframed.position
        raw = self._unframed.first(end).rstrip(_SPACE + b",")
        self._yielded(len(raw))
        return Damaged(start, self.offset, raw, reason)

    def _damaged_to_open_entry(self, scan: Scan, end: int, reason: str) -> Damaged:
        """Damaged to `end`, or to what may be a neighbour's beginning: it gets its own chance."""
        neighbour = scan.open_entry(self._unframed.buffer)
        if neighbour is None:
            return self._damaged(end, reason)
        damaged = self._damaged(neighbour, reason)
        scan.restart(neighbour)
        self._scan = scan
        return damaged

    def _yielded(self, count: int) -> None:
        self._scan = None
        self._unframed.drop(count)
        self.offset, self.before = self._unframed.position, self._unframed.before


def _cut(oversize: bytes) -> int:
    """Where to end a piece of damage that is too large to wait for its end.

    In front of its last byte that is neither structure nor `{`: whoever starts there, this
    Framer or one after a crash, sees damage and looks for the next entry. If there is no such
    byte but the first, behind all that is not structure. Never within a possible tail.
    """
    last = len(oversize.rstrip(_SPACE + b",]}{")) - 1
    return last if last > 0 else len(oversize.rstrip(_SPACE + b",]}"))
