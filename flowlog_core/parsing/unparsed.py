"""Where an entry begins and ends, told by its brackets alone. Pure; nothing is parsed or built."""

from __future__ import annotations

import re

from flowlog_core.parsing.recovery import find_head

_BEFORE = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n,\]}]*+")
_BACKSLASH = ord("\\")
_TOKEN = re.compile(rb'["{}\[\]]|\\["\\]?')


def element_by_brackets(data: bytearray) -> tuple[int, int | None]:
    """The first element of a records array: the indices of its first byte, and behind its last.

    What may stand before it is passed: a head, separators. The second is None where no bracket
    closes it within `data`.
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
            if depth <= 0:
                return start, token.end()
    return start, None


def _passed(data: bytearray, at: int) -> int:
    found = _BEFORE.match(data, at)
    return found.end() if found else at
