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

_BEFORE_BYTES = 64
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
    - A valid entry beside damage is found, and no input raises. Any JSON object counts as an
      entry; only in looking for the end of damage must it look like a flow log's
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
        self.offset = offset
        self.before = before[-_BEFORE_BYTES:]
        self._max_entry_bytes = max_entry_bytes
        self._buffer = bytearray()  # the bytes from _position on
        self._position = offset
        self._lead = self.before  # the bytes in front of _position, as `before` to `offset`
        self._solid: list[tuple[int, int]] = []  # the last two bytes but white space: where, what
        self._proven = offset  # up to here no closing brace can be the final tail's
        self._outline = outline if compiled else None
        # Up to where the two short ways were tried in vain; they are tried again only behind it.
        self._outlined_to = self._guessed_to = 0
        self._scan: Scan | None = None  # of the element at _position

    def feed(self, data: bytes) -> Iterator[Entry | Damaged]:
        """Take the next bytes of the blob; the iterator yields what they complete, lazily.

        `data` is taken by the call itself. Items left in the iterator come out of the next one.
        """
        fed = self._position + len(self._buffer)
        self._solid = ([(fed + at, data[at]) for at in _last_two(data)] + self._solid)[:2]
        self._buffer += data
        tail = self._tail()
        self._proven = self._position + (tail[1] if tail else len(self._buffer))
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
        return len(self._buffer)

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
        if self._position == 0 and self._buffer.startswith(_BOM):
            self._scan = None
            self._pass(len(_BOM))
        if structure := _STRUCTURE.match(self._buffer):
            self._pass(structure.end())
        return bool(self._buffer)

    def _skip_head(self) -> bool:
        """Pass the head at hand, if one is there."""
        head = find_head(self._buffer)
        if head is None:
            return False
        self._scan = None
        self._pass(head)
        return True

    def _outlined(self) -> Entry | None:
        """The entry at hand without its tuples, if it is complete and plain."""
        if self._outline is None or self._is_tried(self._outlined_to):
            return None
        end, text = self._outline(self._buffer, self._limit())
        if text is not None and not ENTRY_START.search(text, 1):
            with suppress(orjson.JSONDecodeError):
                value = parse_object(text)
                raw = self._first(end)
                return self._entry(raw, Outline(raw, value))
        self._outlined_to = self._position + end
        return None

    def _quick(self) -> Entry | None:
        """The entry at hand, if it is complete and one look suffices."""
        if self._is_tried(self._guessed_to):
            return None
        limit = self._limit()
        end, is_alone = quick_end(self._buffer, limit)
        if end is not None and is_alone:
            raw = self._first(end)
            try:
                return self._entry(raw, parse_object(raw))
            except orjson.JSONDecodeError:
                pass  # braces in strings or damage: the scan tells
        self._guessed_to = self._position + (limit if end is None else end)
        return None

    def _is_tried(self, tried_to: int) -> bool:
        """Whether the element at hand is known to be none of the easy ones."""
        is_object = self._buffer.startswith(b"{")
        return self._scan is not None or self._position < tried_to or not is_object

    def _first(self, count: int) -> bytes:
        return bytes(memoryview(self._buffer)[:count])  # copied once

    def _careful(self, *, final: bool) -> Entry | Damaged | None:
        """The entry or damage at hand; None: the bytes that will tell are still to come."""
        buffer = self._buffer
        is_object = buffer.startswith(b"{")
        scan = self._scan = self._scan or Scan(is_object=is_object)
        found = scan.advance(buffer, self._limit(final=final))
        if isinstance(found, NextEntry):
            reason = "not closed before the next entry" if is_object else "not an entry"
            return self._damaged(found.start, reason)
        if isinstance(found, Closed):
            raw = self._first(found.end)
            try:
                return self._entry(raw, parse_object(raw))
            except orjson.JSONDecodeError as error:
                if self._position + found.end <= self._proven:
                    return self._damaged_to_open_entry(scan, found.end, f"not valid JSON: {error}")
        unread = ENTRY_START_BYTES if not final else 0  # so that open_entry sees whole starts
        if len(buffer) > self._max_entry_bytes + unread:
            cut = _cut(bytes(buffer[: self._max_entry_bytes]))
            reason = f"larger than {self._max_entry_bytes} bytes"
            return self._damaged_to_open_entry(scan, cut, reason)
        if final:
            reason = "the blob ends before the entry does" if is_object else "not an entry"
            tail = self._tail()
            return self._damaged(tail[0] if tail else len(buffer), reason)
        return None

    def _tail(self) -> tuple[int, int] | None:
        """The indices of the `]` and the `}` with which the buffer ends, white space aside."""
        match self._solid:
            case [(brace, 0x7D), (bracket, 0x5D)] if bracket >= self._position:  # } and ]
                return bracket - self._position, brace - self._position
        return None

    def _limit(self, *, final: bool = False) -> int:
        """The index in the buffer before which the element at hand must be decided."""
        readable = len(self._buffer) if final else self._proven - self._position
        return min(readable, self._max_entry_bytes)

    def _entry(self, raw: bytes, parsed: dict[str, Any] | Outline) -> Entry:
        start = self._position
        self._yielded(len(raw))
        return Entry(start, self.offset, raw, parsed)

    def _damaged(self, end: int, reason: str) -> Damaged:
        start = self._position
        raw = bytes(self._buffer[:end]).rstrip(_SPACE + b",")
        self._yielded(len(raw))
        return Damaged(start, self.offset, raw, reason)

    def _damaged_to_open_entry(self, scan: Scan, end: int, reason: str) -> Damaged:
        """Damaged to `end`, or to what may be a neighbour's beginning: it gets its own chance."""
        neighbour = scan.open_entry(self._buffer)
        if neighbour is None:
            return self._damaged(end, reason)
        damaged = self._damaged(neighbour, reason)
        scan.restart(neighbour)
        self._scan = scan
        return damaged

    def _yielded(self, count: int) -> None:
        self._scan = None
        self._pass(count)
        self.offset = self._position
        self.before = self._lead

    def _pass(self, count: int) -> None:
        if count == 0:
            return
        recent = bytes(self._buffer[max(0, count - _BEFORE_BYTES) : count])
        self._lead = (self._lead + recent)[-_BEFORE_BYTES:]
        del self._buffer[:count]
        self._position += count


def _last_two(data: bytes) -> Iterator[int]:
    """The indices of the last two bytes that are no white space, the last first."""
    end = len(data)
    for _ in range(2):
        end = _without_space(data, end)
        if end == 0:
            return
        end -= 1
        yield end


def _without_space(data: bytes, end: int) -> int:
    """`end`, moved in front of the white space that stands there; found without a copy of all."""
    while end > 0:
        start = max(0, end - 64)
        if text := data[start:end].rstrip(_SPACE):
            return start + len(text)
        end = start
    return 0


def _cut(oversize: bytes) -> int:
    """Where to end a piece of damage that is too large to wait for its end.

    In front of its last byte that is neither structure nor `{`: whoever starts there, this
    Framer or one after a crash, sees damage and looks for the next entry. If there is no such
    byte but the first, behind all that is not structure. Never within a possible tail.
    """
    last = len(oversize.rstrip(_SPACE + b",]}{")) - 1
    return last if last > 0 else len(oversize.rstrip(_SPACE + b",]}"))
