"""The bytes of a blob that were read and belong to no entry yet, and where they begin."""

from __future__ import annotations

import re

BEFORE_BYTES = 256
"""How many bytes before a position are kept, so that a reader can recognize it."""
_TAIL = re.compile(rb"\][ \t\r\n]*+\}[ \t\r\n]*+\Z")


class PendingBytes:
    """The bytes from `position` on, as far as they were read. Indices count from there."""

    data: bytearray
    """To be read only: `add` and `drop` change it."""

    position: int
    """Where in the blob index 0 is, in bytes."""

    before: bytes
    """The up to `BEFORE_BYTES` bytes in front of `position`."""

    def __init__(self, position: int, before: bytes) -> None:
        self.data = bytearray()
        self.position = position
        self.before = before[-BEFORE_BYTES:]
        self._proven = position  # before this, no brace can be the final tail's

    def __len__(self) -> int:
        return len(self.data)

    def add(self, data: bytes) -> None:
        """Take the next bytes of the blob."""
        self.data += data
        tail = self.tail()
        self._proven = self.position + (tail[1] if tail else len(self.data))

    def drop(self, count: int) -> None:
        """Remove the first `count` bytes."""
        data = self.data
        if count < BEFORE_BYTES:
            self.before = (self.before + data[:count])[-BEFORE_BYTES:]
        else:
            self.before = bytes(data[count - BEFORE_BYTES : count])
        del data[:count]  # moves nothing: a bytearray can begin behind where its memory does
        self.position += count

    def first(self, count: int) -> bytes:
        """The first `count` bytes."""
        return bytes(memoryview(self.data)[:count])  # copied once

    def tail(self) -> tuple[int, int] | None:
        """The indices of the `]` and the `}` with which the bytes end, white space aside."""
        data = self.data
        found = _TAIL.match(data, max(0, data.rfind(b"]")))
        return (found.start(), data.rfind(b"}")) if found else None

    def decidable(self, max_bytes: int, *, final: bool = False) -> int:
        """The index before which an element of at most `max_bytes` must end.

        A last brace that may be the tail's is not before it, unless nothing will follow.
        """
        readable = len(self.data) if final else self._proven - self.position
        return min(readable, max_bytes)

    def may_be_tail(self, end: int) -> bool:
        """Whether the brace before `end` may be the tail's: then it closes nothing yet."""
        return self.position + end > self._proven
