"""Where the JSON objects in possibly damaged bytes begin and end. Pure, linear, resumable.

A lost quotation mark turns strings and structure inside out, so nobody can say whether a byte of a
damaged element is inside a string. `DamageScan` therefore follows both readings in one pass: each
unescaped quotation mark swaps which of them is outside a string, and each bracket counts in the
reading that is outside at that point.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import Any, NamedTuple, TypeVar

import orjson

T = TypeVar("T")

MAX_ENTRY_BYTES = 8 * 1024 * 1024
"""A longer entry is set aside unparsed, in pieces of this size. Azure writes entries of 32 KB."""

MAX_KEPT_BYTES = 256 * 1024
"""A parsed object takes up to 25 times the memory of its bytes. So a process parses one larger
object at a time, and keeps none."""

ENTRY_START_BYTES = 128
"""No match of `ENTRY_START` is longer than this."""

_HEAD_BYTES = 4096  # a head is searched in so many bytes, so that no chunk searches more

_SPACE = rb"[ \t\r\n]*+"
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_SCALAR = rb"(?:" + _STRING + rb"|-?[0-9][0-9.eE+-]*+|true|false|null)"
_PAIR = _STRING + _SPACE + rb":" + _SPACE + _SCALAR + _SPACE + rb"," + _SPACE

_HEAD = re.compile(
    rb"\{" + _SPACE + rb"(?:" + _PAIR + rb')*+"records"' + _SPACE + rb":" + _SPACE + rb"\[",
    re.DOTALL,
)

# The top-level keys of the formats in use (NSG v1 and v2, VNet v4); any of them may come first.
# Valid JSON holds this pattern only where an object begins: inside a string the quotation mark
# would be escaped.
ENTRY_START = re.compile(
    rb"\{[ \t\r\n]{0,64}+"
    rb'"(?:time|systemId|macAddress|category|resourceId|operationName|properties|flowLogGUID'
    rb'|flowLogResourceID|targetResourceID|flowLogVersion|flowRecords)"'
)

_TOKEN = re.compile(rb'["{}\[\]]|\\["\\]?')
_QUOTE, _BACKSLASH, _OPEN_BRACE, _CLOSE_BRACE, _OPEN_BRACKET = b'"\\{}['

_CANDIDATE_DEPTH = 64  # real entries nest 7 deep; also bounds how often one byte is parsed


def find_head(buffer: bytearray, max_bytes: int) -> int | None:
    """How long the head at 0 is: `{"records":[`, scalars before `records` allowed."""
    head = _HEAD.match(buffer, 0, min(max_bytes, _HEAD_BYTES))
    return head.end() if head else None


_large_object = Lock()
"""Held while an object of more than `MAX_KEPT_BYTES` is in memory."""


def use_object(raw: bytes | bytearray, use: Callable[[dict[str, Any]], T]) -> T:
    """What `use` returns for the object that `raw`, which begins with `{`, holds.

    Of an object of more than `MAX_KEPT_BYTES`, `use` may keep and return single strings and
    numbers only, and may not raise: both would keep the object. It may not call this function.

    Raises `orjson.JSONDecodeError` where `raw` is anything but one valid object, also for invalid
    UTF-8, lone surrogates, NaN and more than 1024 levels; MemoryError where memory is short.
    """
    if len(raw) <= MAX_KEPT_BYTES:
        return use(_parsed(raw))
    with _large_object:
        return use(_parsed(raw))


def _parsed(raw: bytes | bytearray) -> dict[str, Any]:
    try:
        value: dict[str, Any] = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        if error.msg.startswith("Not enough memory"):  # nothing is wrong with these bytes
            raise MemoryError(error.msg) from error
        raise
    return value


class Closed(NamedTuple):
    """The element itself is a bracketed object that ends at `end` (exclusive), valid or not."""

    end: int


class NextEntry(NamedTuple):
    """A complete entry begins at `start`, so the element has to end before it."""

    start: int


class DamageScan:
    """Reads from the element at index 0 of a buffer until it closes or another entry is found.

    What is found depends on the bytes alone, not on the pieces in which they arrive: the object
    that closes first decides, and no format in use has an entry inside an entry. Brackets of the
    element itself are merely counted, so that its depth costs no memory; `use_object` judges
    what they enclose.
    """

    def __init__(self, *, is_object: bool) -> None:
        self._next = 0  # the first index not read
        self._outside = 0  # the reading that is outside a string here: 0 or 1
        self._own = 0 if is_object else None  # the reading in which the element may yet close
        self._own_depth = 0
        # Each reading's open brackets: the index of a `{`, the complement (~) of that of a `[`.
        # What is deeper than the limit pushes the outermost out: that one is no entry.
        self._open = [deque[int](maxlen=_CANDIDATE_DEPTH) for _ in range(2)]

    def advance(self, buffer: bytearray, limit: int) -> Closed | NextEntry | None:
        """Read on to `limit`, which never goes back; None: the bytes before it decide nothing."""
        for token in _TOKEN.finditer(buffer, self._next, limit):
            at = token.start()
            byte = buffer[at]
            if byte == _QUOTE:
                self._outside ^= 1
            elif byte == _BACKSLASH:
                if at + 1 == limit:  # what it escapes is still to come
                    self._next = at
                    return None
            elif byte in (_OPEN_BRACE, _OPEN_BRACKET):
                self._open[self._outside].append(at if byte == _OPEN_BRACE else ~at)
                if self._own == self._outside:
                    self._own_depth += 1
            elif found := self._close(buffer, at):
                self._next = at + 1
                return found
        self._next = limit
        return None

    def _close(self, buffer: bytearray, at: int) -> Closed | NextEntry | None:
        is_brace = buffer[at] == _CLOSE_BRACE
        stack = self._open[self._outside]
        start = stack.pop() if stack else -1
        if is_brace != (start >= 0):
            stack.clear()  # closed by the wrong bracket: nothing open here can be valid
        elif start > 0 and _is_entry(buffer, start, at + 1):
            return NextEntry(start)
        if self._own == self._outside:
            self._own_depth -= 1
            if self._own_depth == 0:
                self._own = None
                return Closed(at + 1) if is_brace else None
        return None

    def open_entry(self, buffer: bytearray) -> int | None:
        """The first index after 0 where what may be an entry begins that has not closed yet."""
        starts = (at for stack in self._open for at in stack)
        return min((at for at in starts if at > 0 and ENTRY_START.match(buffer, at)), default=None)

    def restart(self, start: int) -> None:
        """Make the open object at `start` the element; index 0 is then where it begins.

        Leaves the state that a new scan from there would have reached, without reading again.
        """
        for reading, stack in enumerate(self._open):
            kept = [at for at in stack if max(at, ~at) >= start]
            if start in kept:
                self._own, self._own_depth = reading, len(kept)
            stack.clear()
            stack.extend(at - start if at >= 0 else at + start for at in kept)
        self._next -= start


def _is_entry(buffer: bytearray, start: int, end: int) -> bool:
    if not ENTRY_START.match(buffer, start, end):
        return False
    try:
        return use_object(buffer[start:end], _looks_like_an_entry)
    except orjson.JSONDecodeError:
        return False


def _looks_like_an_entry(value: dict[str, Any]) -> bool:
    return "category" in value and ("properties" in value or "flowRecords" in value)
