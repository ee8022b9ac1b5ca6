"""Queue messages: an entry's records, in as few messages as the queue's limit allows.

    {"schema": "flowlog/1", "id": ..., "source": {...}, "count": N, "records": [...]}

The text is base64, as a queue-triggered function expects it, of this JSON or of its gzip form.
What goes into which message follows from the entry and the encoding alone.
"""

from __future__ import annotations

import gzip
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from operator import add
from typing import Literal, NamedTuple

import orjson
from pybase64 import b64encode_as_string

from flowlog_core.records import message_id
from flowlog_core.sinks import EntryRecords, TooLarge

SCHEMA = "flowlog/1"
MAX_MESSAGE_BYTES = 64 * 1024
"""The limit of an Azure Storage queue, counted after base64."""

Encoding = Literal["json", "gzip"]

_WIDEST_PART = 10**9
_GZIP_PACKS_ABOUT = 8  # a first guess at how much more fits; what does not fit is halved


class Message(NamedTuple):
    """A message as it is sent."""

    id: str
    text: str
    """Base64; at most the limit it was made with."""


def messages_of(
    entry: EntryRecords, encoding: Encoding = "json", max_message_bytes: int = MAX_MESSAGE_BYTES
) -> tuple[list[Message], list[TooLarge]]:
    """The messages that carry an entry's records, and the records too large for any message."""
    most_bytes = max_message_bytes // 4 * 3  # what base64 makes four of three of
    envelope_bytes = len(_body(entry, (), _WIDEST_PART, _WIDEST_PART))
    packs = _GZIP_PACKS_ABOUT if encoding == "gzip" else 1
    encode = _gzipped if encoding == "gzip" else bytes
    room = most_bytes - envelope_bytes

    def fits(lines: Sequence[str]) -> bool:
        return len(encode(_body(entry, lines, _WIDEST_PART, _WIDEST_PART))) <= most_bytes

    parts: list[Sequence[str]] = []
    too_large: list[TooLarge] = []
    for lines in _runs(entry.lines, room * packs):
        for part in [lines] if encoding == "json" else _halved(lines, fits):
            # `_runs` and `_halved` leave a line alone that is too large even so.
            if len(part) == 1 and not fits(part):
                reason = f"the record fits no queue message of {max_message_bytes} bytes"
                too_large.append(TooLarge(part[0], reason))
            else:
                parts.append(part)
    return [
        Message(
            message_id(entry.source, entry.offset, number),
            b64encode_as_string(encode(_body(entry, lines, number, len(parts)))),
        )
        for number, lines in enumerate(parts)
    ], too_large


def _runs(lines: Sequence[str], most_bytes: int) -> Iterator[Sequence[str]]:
    """Cut `lines` into the longest runs of at most `most_bytes`, commas included."""
    if all(map(str.isascii, lines)):
        sizes: Iterable[int] = map(len, lines)
    else:
        sizes = (len(line.encode()) for line in lines)
    commas = range(1, len(lines) + 1)
    ends = list(map(add, accumulate(sizes), commas))
    start = 0
    while start < len(lines):
        sent = ends[start - 1] if start else 0
        stop = max(bisect_right(ends, sent + most_bytes + 1, lo=start), start + 1)
        yield lines[start:stop]
        start = stop


def _halved(lines: Sequence[str], fits: Callable[[Sequence[str]], bool]) -> Iterator[Sequence[str]]:
    """Halve until every piece fits or is a single line."""
    if len(lines) == 1 or fits(lines):
        yield lines
        return
    middle = len(lines) // 2
    yield from _halved(lines[:middle], fits)
    yield from _halved(lines[middle:], fits)


def _body(entry: EntryRecords, lines: Sequence[str], part: int, parts: int) -> bytes:
    source = entry.source
    envelope = orjson.dumps(
        {
            "schema": SCHEMA,
            "id": message_id(source, entry.offset, part),
            "source": {
                "account": source.account,
                "container": source.container,
                "blob": source.blob,
                "generation": source.generation,
                "offset": entry.offset,
                "part": part,
                "parts": parts,
            },
            "count": len(lines) if part < _WIDEST_PART else _WIDEST_PART,
        }
    )
    return b'%b,"records":[%b]}' % (envelope[:-1], ",".join(lines).encode())


def _gzipped(data: bytes) -> bytes:
    return gzip.compress(data, compresslevel=6, mtime=0)  # no time of day: same bytes, same message
