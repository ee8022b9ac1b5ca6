"""Very many texts, such as the records of a large entry, kept compressed."""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

_BLOCK_CHARACTERS = 256 * 1024
_LEVEL = 1


def packed_like(texts: Sequence[str], others: Iterable[str]) -> Sequence[str]:
    """Other texts, kept as these are."""
    if not isinstance(texts, PackedText):
        return list(others)
    packed = PackedText()
    packed.extend(others)
    return packed


class PackedText(Sequence[str]):
    """A sequence of texts without line breaks, in which a block of them is unpacked at a time.

    The records of an entry repeat its names and ids, so they take a tenth of their length or less.
    Reading in order is cheap, jumping is not.
    """

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self._ends: list[int] = []  # for each block the index behind its last text
        self._open: list[str] = []  # what follows the blocks
        self._open_characters = 0
        self._last: tuple[int, list[str]] = (-1, [])

    def extend(self, texts: Iterable[str]) -> None:
        """Add texts at the end."""
        for text in texts:
            self._open.append(text)
            self._open_characters += len(text) + 1
            if self._open_characters > _BLOCK_CHARACTERS:
                self._blocks.append(zlib.compress("\n".join(self._open).encode(), _LEVEL))
                self._ends.append(len(self))
                self._open, self._open_characters = [], 0

    def __len__(self) -> int:
        return (self._ends[-1] if self._ends else 0) + len(self._open)

    def __iter__(self) -> Iterator[str]:
        for number in range(len(self._blocks) + 1):
            yield from self._block(number)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        at = range(len(self))[index]
        number = bisect_right(self._ends, at)
        start = self._ends[number - 1] if number else 0
        return self._block(number)[at - start]

    def _block(self, number: int) -> list[str]:
        if number == len(self._blocks):
            return self._open
        last, block = self._last
        if last != number:
            block = zlib.decompress(self._blocks[number]).decode().split("\n")
            self._last = (number, block)
        return block
