"""Where an entry begins and ends, by its brackets alone. Pure; nothing is parsed."""

from __future__ import annotations

import re
from collections.abc import Iterable

from flowlog_core.parsing.recovery import MAX_ENTRY_BYTES, find_head

_BEFORE = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n,\]}]*+")
_BACKSLASH = ord("\\")
_TOKEN = re.compile(rb'["{}\[\]]|\\["\\]?')


def first_element(data: bytes, following: Iterable[bytes]) -> tuple[int, bytes]:
    """The first element of a records array: where it begins, and all bytes up to its end.

    A head and separators may come before it. Takes from `following` what comes after `data`, as far
    as it is needed. An element that does not end within `MAX_ENTRY_BYTES`, or not at all, is cut
    there as a Framer would cut it, but never within the blob's final brackets.
    """
    read = bytearray(data)
    more = iter(following)
    start, end = element_by_brackets(read)
    while end is None and len(read) < MAX_ENTRY_BYTES and (piece := next(more, None)) is not None:
        read += piece
        start, end = element_by_brackets(read)
    if end is None:
        del read[MAX_ENTRY_BYTES:]
        end = len(read.rstrip(b" \t\r\n,]}")) or len(read)
        start = min(start, end - 1)
    return start, bytes(memoryview(read)[:end])


def element_by_brackets(data: bytearray) -> tuple[int, int | None]:
    """The indices of the first element's first byte, and of the byte after its last.

    The second is None if no bracket closes it within `data`.
    """
    start = _passed(data, 0)
    if head_bytes := find_head(data[start : start + 4096], 4096):
        start = _passed(data, start + head_bytes)
    depth, is_text = 0, False
    for token in _TOKEN.finditer(data, start):
        byte = token[0]
        if byte == b'"':
            is_text = not is_text
        elif is_text or byte[0] == _BACKSLASH:
            continue
        elif byte in b"{[":
            depth += 1
        else:
            depth -= 1
            if depth <= 0:  # below 0: it closes what is around the element, which had no bracket
                return start, token.end() if depth == 0 else token.start()
    return start, None


def _passed(data: bytearray, at: int) -> int:
    found = _BEFORE.match(data, at)
    return found.end() if found else at
