"""The bytes of a blob that were read and belong to no entry yet, and where in it they stand."""

from __future__ import annotations

from collections.abc import Iterator

_BEFORE_BYTES = 64
_SPACE = b" \t\r\n"


class Unframed:
    """The bytes from `position` on, as far as they were read. Indices are those of `buffer`."""

    buffer: bytearray
    """To be read only."""

    position: int
    """Where in the blob its first byte stands."""

    before: bytes
    """The up to 64 bytes in front of it."""

    def __init__(self, position: int, before: bytes) -> None:
        self.buffer = bytearray()
        self.position = position
        self.before = before[-_BEFORE_BYTES:]
        self._solid: list[tuple[int, int]] = []  # the last two bytes but white space: where, what
        self._proven = position  # up to here no closing brace can be the final tail's

    def add(self, data: bytes) -> None:
        """Take the next bytes of the blob."""
        end = self.position + len(self.buffer)
        self._solid = ([(end + at, data[at]) for at in _last_two(data)] + self._solid)[:2]
        self.buffer += data
        tail = self.tail()
        self._proven = self.position + (tail[1] if tail else len(self.buffer))

    def tail(self) -> tuple[int, int] | None:
        """The indices of the `]` and the `}` with which the bytes end, white space aside."""
        match self._solid:
            case [(brace, 0x7D), (bracket, 0x5D)] if bracket >= self.position:  # } and ]
                return bracket - self.position, brace - self.position
        return None

    def decidable(self, most_bytes: int, *, final: bool = False) -> int:
        """The index in front of which an element of at most `most_bytes` must end.

        A last brace that may be the tail's is not in front of it, unless nothing will follow.
        """
        readable = len(self.buffer) if final else self._proven - self.position
        return min(readable, most_bytes)

    def may_be_tail(self, end: int) -> bool:
        """Whether the brace in front of `end` may be the tail's, so that it closes nothing yet."""
        return self.position + end > self._proven

    def first(self, count: int) -> bytes:
        """The first so many bytes."""
        return bytes(memoryview(self.buffer)[:count])  # copied once

    def drop(self, count: int) -> None:
        """Pass the first so many bytes."""
        if count == 0:
            return
        recent = bytes(self.buffer[max(0, count - _BEFORE_BYTES) : count])
        self.before = (self.before + recent)[-_BEFORE_BYTES:] if count < _BEFORE_BYTES else recent
        del self.buffer[:count]
        self.position += count


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
