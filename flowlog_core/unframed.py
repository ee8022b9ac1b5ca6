"""The bytes of a blob that were read and belong to no entry yet, and where in it they stand."""

from __future__ import annotations

from collections.abc import Iterator

_BEFORE_BYTES = 64
_SPACE = b" \t\r\n"


class Unframed:
    """The bytes from `position` on, as far as they were read. Indices count from there.

    Most of them are passed an entry at a time and never looked at again. So they stay in `read`,
    where they were put, behind what was passed; `buffer` has them by themselves.
    """

    read: bytes | bytearray
    """To be read only, from index `at` on."""

    at: int
    """The index in `read` that stands for `position`."""

    position: int
    """Where in the blob that is."""

    def __init__(self, position: int, before: bytes) -> None:
        self.read = b""
        self.at = 0
        self.position = position
        self._before_read = before[-_BEFORE_BYTES:]  # what stands in front of `read`
        self._solid: list[tuple[int, int]] = []  # the last two bytes but white space: where, what
        self._proven = position  # up to here no closing brace can be the final tail's

    def __len__(self) -> int:
        return len(self.read) - self.at

    @property
    def buffer(self) -> bytearray:
        """The bytes from index 0 on, to be read only. Good until more are added or passed."""
        alone = self.read if isinstance(self.read, bytearray) else bytearray(self.read)
        self._before_read = self.before
        del alone[: self.at]
        self.read, self.at = alone, 0
        return alone

    @property
    def before(self) -> bytes:
        """The up to 64 bytes in front of `position`."""
        recent = self.read[max(0, self.at - _BEFORE_BYTES) : self.at]
        return (self._before_read + recent)[-_BEFORE_BYTES:]

    def add(self, data: bytes) -> None:
        """Take the next bytes of the blob."""
        end = self.position + len(self)
        self._solid = ([(end + at, data[at]) for at in _last_two(data)] + self._solid)[:2]
        if len(self):
            self.buffer.extend(data)
        else:
            self._before_read = self.before
            self.read, self.at = data, 0
        tail = self.tail()
        self._proven = self.position + (tail[1] if tail else len(self))

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
        readable = len(self) if final else self._proven - self.position
        return min(readable, most_bytes)

    def may_be_tail(self, end: int) -> bool:
        """Whether the brace in front of `end` may be the tail's, so that it closes nothing yet."""
        return self.position + end > self._proven

    def starts_with(self, start: bytes) -> bool:
        """Whether these are the first of them."""
        return self.read.startswith(start, self.at)

    def first(self, count: int) -> bytes:
        """The first so many bytes."""
        return bytes(memoryview(self.read)[self.at : self.at + count])  # copied once

    def drop(self, count: int) -> None:
        """Pass the first so many bytes."""
        self.at += count
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
