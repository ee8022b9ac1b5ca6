"""Bytes of a PT1H.json blob to its entries with their byte positions. Pure and incremental.

The blob is `{"records":[entry,entry,...]}`. Azure inserts new entries before the tail `]}` and
rewrites the tail, so the bytes right after the last entry change from `]}` to `,{...}]}`. That is
why `Framer.offset` never passes a separator or a tail. And the tail would close an entry that was
cut short after `{"flows":[`; the next append would then come after the offset. So the brace of a
`]}` at the end of the bytes read so far closes nothing until something follows it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import orjson

from flowlog_core.parsing.pending import PendingBytes
from flowlog_core.parsing.recovery import (
    ENTRY_START,
    ENTRY_START_BYTES,
    MAX_ENTRY_BYTES,
    MAX_KEPT_BYTES,
    Closed,
    DamageScan,
    NextEntry,
    T,
    find_head,
    use_object,
)

_OPEN_BRACE = ord("{")
_BOM = b"\xef\xbb\xbf"
_MAX_SKIPPED_BYTES = 1024
_SPACE = b" \t\r\n"
_STRUCTURE = re.compile(rb"[ \t\r\n,\]}]*+")


class Entry(NamedTuple):
    """One JSON object of the records array; `raw` is exactly the blob's bytes [start, end)."""

    start: int
    end: int
    raw: bytes
    value: dict[str, Any] | None
    """None if it is of more than `MAX_KEPT_BYTES`."""

    def use(self, use: Callable[[dict[str, Any]], T]) -> T:
        """What `use` returns for the object. See `use_object` for what it must not do."""
        return use_object(self.raw, use) if self.value is None else use(self.value)


class Damaged(NamedTuple):
    """Bytes [start, end) of the blob that hold no readable entry, and the reason in words."""

    start: int
    end: int
    raw: bytes
    reason: str


class Framer:
    """Finds the entries of a blob in its bytes from `offset` on.

    `offset` is 0 or what an earlier Framer's `offset` was; `before` the up to 256 bytes in
    front of it, which only the property of that name needs. Guarantees:

    - The items depend on the bytes alone: neither on the chunks nor on where reading was resumed.
    - Items ascend and do not overlap. What lies between them is a head (`{"records":[`, a byte
      order mark, scalars beside `records`), white space, commas or closing brackets.
    - A valid entry beside damage is found, and no input raises but `MemoryError`. Any JSON object
      counts as an entry; only in looking for the end of damage must it look like a flow log's
      (`category`, and `properties` or `flowRecords`).
    - A Damaged never covers the blob's final `]}`.
    - Memory stays near `max_entry_bytes` and one chunk, and time is linear in the input. What is
      larger than `max_entry_bytes` is Damaged in consecutive pieces, up to the next entry.

    `unparsed`, if not empty, says why the first element must not be parsed. It is Damaged for that
    reason, whatever it holds, up to what may be the next entry or the end of the blob so far.

    Raises ValueError where `max_entry_bytes` is not positive.
    """

    offset: int
    """The byte after the last item yielded: where a later Framer continues."""

    before: bytes
    """The last up to 256 bytes before `offset`."""

    skipped: bytes
    """The separators between the last two items. Fewer bytes than are between them if these are not
    only separators, or very many."""

    def __init__(
        self,
        offset: int = 0,
        before: bytes = b"",
        *,
        unparsed: str = "",
        max_entry_bytes: int = MAX_ENTRY_BYTES,
    ) -> None:
        if max_entry_bytes < 1:
            raise ValueError(f"max_entry_bytes must be positive, not {max_entry_bytes}")
        self._pending = PendingBytes(offset, before)
        self.offset = offset
        self.before = self._pending.before
        self.skipped = self._skipped = b""
        self._unparsed, self._max_entry_bytes = unparsed, max_entry_bytes
        # No end is guessed before this position: the last guess was wrong.
        self._guessed_to = 0
        self._scan: DamageScan | None = None  # of the current element

    def feed(self, data: bytes) -> Iterator[Entry | Damaged]:
        """Take the next bytes of the blob; the iterator yields what they complete, lazily.

        `data` is taken by the call itself. Items left in the iterator come out of the next one.
        """
        self._pending.add(data)
        return self._items(is_end=False, final=False)

    def end(self, *, final: bool = False) -> Iterator[Entry | Damaged]:
        """Say that the blob, as committed now, ends here; feed nothing to this Framer afterwards.

        An element that has not ended stays pending, as the next append may complete it: a new
        Framer at `offset` will see it again. With `final` (nothing will ever follow) it is
        Damaged, up to the blob's tail.
        """
        return self._items(is_end=True, final=final)

    @property
    def pending_bytes(self) -> int:
        """How many bytes at the end of what was fed make no item yet.

        Separators and a tail do not count, unless they follow something unfinished.
        """
        return len(self._pending)

    def _items(self, *, is_end: bool, final: bool) -> Iterator[Entry | Damaged]:
        while self._skip_separators():
            if not self._unparsed and (entry := self._quick()):
                yield entry
            elif not self._skip_head():
                item = self._by_its_start(is_end) if self._unparsed else self._careful(final)
                if item is None:
                    return
                yield item

    def _skip_separators(self) -> bool:
        """Skip what may be between elements. False if nothing else is there yet."""
        pending, data = self._pending, self._pending.data
        if pending.position == 0 and data.startswith(_BOM):
            self._scan = None
            pending.drop(len(_BOM))
        if (structure := _STRUCTURE.match(data)) and (count := structure.end()):
            if count <= _MAX_SKIPPED_BYTES:
                self._skipped += data[:count]
            pending.drop(count)
        return bool(data)

    def _skip_head(self) -> bool:
        """Skip a head, if one is next."""
        head_bytes = find_head(self._pending.data, self._max_entry_bytes)
        if head_bytes is None:
            return False
        self._scan = None
        self._pending.drop(head_bytes)
        return True

    def _quick(self) -> Entry | None:
        """The next entry, if it ends with the last brace before the one after it begins.

        That is a guess. It is right if and only if what it encloses is valid JSON.
        """
        pending, data = self._pending, self._pending.data
        if self._scan or pending.position < self._guessed_to or data[0] != _OPEN_BRACE:
            return None
        limit = pending.decidable(self._max_entry_bytes)
        following = ENTRY_START.search(data, 1, limit)
        stop = following.start() if following else limit
        if end := data.rfind(b"}", 0, stop) + 1:
            raw = pending.first(end)
            try:
                value, may_be_head = use_object(raw, _kept(raw))
            except orjson.JSONDecodeError:  # damage, or an entry's beginning within it
                pass
            else:
                if not may_be_head:
                    return self._entry(raw, value)
        self._guessed_to = pending.position + stop
        return None

    def _by_its_start(self, is_end: bool) -> Damaged | None:
        """What is before the next entry. None if neither that nor the end has arrived yet."""
        data, reason = self._pending.data, self._unparsed
        max_bytes = self._max_entry_bytes + ENTRY_START_BYTES
        following = ENTRY_START.search(data, 1, max_bytes)
        if following is None and len(data) < max_bytes and not is_end:
            return None
        self._unparsed = ""
        if following:
            return self._damaged(following.start(), reason)
        if len(data) > self._max_entry_bytes:
            return self._damaged(_cut(self._pending.first(self._max_entry_bytes)), reason)
        return self._damaged_to_tail(reason)

    def _careful(self, final: bool) -> Entry | Damaged | None:
        """The next entry or damage. None if the bytes that decide have not arrived yet."""
        pending, data = self._pending, self._pending.data
        is_object = data.startswith(b"{")
        scan = self._scan = self._scan or DamageScan(is_object=is_object)
        found = scan.advance(data, pending.decidable(self._max_entry_bytes, final=final))
        if isinstance(found, NextEntry):
            reason = "not closed before the next entry" if is_object else "not an entry"
            return self._damaged(found.start, reason)
        if isinstance(found, Closed):
            raw = pending.first(found.end)
            try:
                return self._entry(raw, use_object(raw, _kept(raw))[0])
            except orjson.JSONDecodeError as error:
                if not pending.may_be_tail(found.end):
                    return self._damaged_to_open_entry(scan, found.end, f"not valid JSON: {error}")
        unread = ENTRY_START_BYTES if not final else 0  # so that open_entry sees whole starts
        if len(data) > self._max_entry_bytes + unread:
            cut = _cut(pending.first(self._max_entry_bytes))
            reason = f"larger than {self._max_entry_bytes} bytes"
            return self._damaged_to_open_entry(scan, cut, reason)
        if final:
            reason = "the blob ends before the entry does" if is_object else "not an entry"
            return self._damaged_to_tail(reason)
        return None

    def _entry(self, raw: bytes, value: dict[str, Any] | None) -> Entry:
        start = self._pending.position
        self._yielded(len(raw))
        return Entry(start, self.offset, raw, value)

    def _damaged(self, end: int, reason: str) -> Damaged:
        start = self._pending.position
        raw = self._pending.first(end).rstrip(_SPACE + b",")
        self._yielded(len(raw))
        return Damaged(start, self.offset, raw, reason)

    def _damaged_to_tail(self, reason: str) -> Damaged:
        tail = self._pending.tail()
        return self._damaged(tail[0] if tail else len(self._pending), reason)

    def _damaged_to_open_entry(self, scan: DamageScan, end: int, reason: str) -> Damaged:
        """Damaged up to `end`, or up to what may be the next entry, which is tried by itself."""
        neighbour = scan.open_entry(self._pending.data)
        if neighbour is None:
            return self._damaged(end, reason)
        damaged = self._damaged(neighbour, reason)
        scan.restart(neighbour)
        self._scan = scan
        return damaged

    def _yielded(self, count: int) -> None:
        pending = self._pending
        self._scan = None
        self.skipped, self._skipped = self._skipped, b""
        pending.drop(count)
        self.offset, self.before = pending.position, pending.before


def _kept(raw: bytes) -> Callable[[dict[str, Any]], tuple[dict[str, Any] | None, bool]]:
    """What is kept of an object: itself, unless it is large; and whether it may be a head."""
    is_large = len(raw) > MAX_KEPT_BYTES
    return lambda value: (None if is_large else value, "records" in value)


def _cut(oversize: bytes) -> int:
    """Where to cut damage that is too large to wait for its end.

    Before its last byte that is neither structure nor `{`: a Framer that starts there, this one or
    one after a crash, sees damage and looks for the next entry. If only the first byte is such a
    byte, after the last byte that is not structure. Never within a possible tail.
    """
    last = len(oversize.rstrip(_SPACE + b",]}{")) - 1
    return last if last > 0 else len(oversize.rstrip(_SPACE + b",]}"))
