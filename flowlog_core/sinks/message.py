"""Queue messages: an entry's records in as few messages as the queue's limit allows.

    {"schema": "flowlog/1", "id": ..., "source": {...}, "count": N, "records": [...]}

The text is base64, as a queue-triggered function expects it, of this JSON or of its gzip form.
Which records a message holds depends on the entry and the encoding alone.
"""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

import orjson
from pybase64 import b64encode_as_string

from flowlog_core.blob import Position
from flowlog_core.sinks import EntryRecords, TooLarge

SCHEMA = "flowlog/1"
MAX_MESSAGE_BYTES = 64 * 1024
"""The limit of an Azure Storage queue, counted after base64."""

Encoding = Literal["json", "gzip"]

_END = b"]}"
_WIDEST = 10**9  # stands for a number that is not known yet, and longer than any
_GZIP_PACKS_ABOUT = 8  # a first guess at how much more fits; what does not fit is halved
_GZIP_LEVEL = 6
_GZIP_FORMAT = 31  # of zlib's `wbits`: a gzip file, with no time in it, so the same every time
_GZIP_ADDS_BYTES = 16  # at most, to a beginning that cannot be compressed: zlib adds 5


class Message(NamedTuple):
    """A message as it is sent."""

    id: str
    text: str
    """Base64; at most the limit it was made with."""


def messages_of(
    entry: EntryRecords, encoding: Encoding = "json", max_message_bytes: int = MAX_MESSAGE_BYTES
) -> tuple[Iterator[Message], list[TooLarge]]:
    """Return the messages that carry an entry's records, and the records too large for any.

    Each message is made when the iterator reaches it, so they need not all fit into memory.
    """
    max_bytes = max_message_bytes // 4 * 3  # what base64 makes four of three of
    encode = _gzipped if encoding == "gzip" else b"".join
    packs = _GZIP_PACKS_ABOUT if encoding == "gzip" else 1
    position = entry.position
    envelope = _envelope(position)
    widest_name = position.message_id(_WIDEST).encode()
    max_start_bytes = len(envelope % (widest_name, _WIDEST, _WIDEST, _WIDEST))
    room = max_bytes - max_start_bytes - len(_END)
    if encoding == "gzip":
        max_start_bytes += _GZIP_ADDS_BYTES

    def fits(run: range) -> bool:
        body = encode((b"", entry.lines.joined(run), _END))
        return len(body) + max_start_bytes <= max_bytes

    runs: list[range] = []
    too_large: list[TooLarge] = []
    for longest in _runs(entry.lines.ends, room * packs):
        for run in (longest,) if encoding == "json" else _halved(longest, fits):
            # `_runs` and `_halved` leave a record alone that is too large even so.
            if len(run) == 1 and not fits(run):
                reason = f"the record fits no queue message of {max_message_bytes} bytes"
                too_large.append(TooLarge(run.start, reason))
            else:
                runs.append(run)

    def messages() -> Iterator[Message]:
        for part, run in enumerate(runs):
            name = position.message_id(part)
            start = envelope % (name.encode(), part, len(runs), len(run))
            body = encode((start, entry.lines.joined(run), _END))
            yield Message(name, b64encode_as_string(body))

    return messages(), too_large


def _runs(ends: Sequence[int], max_bytes: int) -> Iterator[range]:
    """The longest runs of records that come to at most `max_bytes`, commas included."""
    start = begins_at = 0
    while start < len(ends):
        stop = max(bisect_right(ends, begins_at + max_bytes, start), start + 1)
        yield range(start, stop)
        start, begins_at = stop, ends[stop - 1] + 1


def _halved(run: range, fits: Callable[[range], bool]) -> Iterator[range]:
    """Halve until every piece fits or is a single record."""
    if len(run) == 1 or fits(run):
        yield run
        return
    middle = len(run) // 2
    yield from _halved(run[:middle], fits)
    yield from _halved(run[middle:], fits)


def _envelope(position: Position) -> bytes:
    """What comes before the records; `%` places are filled in for each message."""
    where = {
        "account": position.blob.account,
        "container": position.blob.container,
        "blob": position.blob.name,
        "generation": position.generation,
        "offset": position.offset,
    }
    source = orjson.dumps(where)[:-1].replace(b"%", b"%%")
    numbers = b',"part":%d,"parts":%d},"count":%d,"records":['
    return b'{"schema":"' + SCHEMA.encode() + b'","id":"%b","source":' + source + numbers


def _gzipped(parts: Sequence[bytes | memoryview]) -> bytes:
    """The parts as one gzip file, to which the first adds `_GZIP_ADDS_BYTES` at most.

    The first is compressed by itself, so that the others take the same room whatever it says.
    """
    start, *others = parts
    deflate = zlib.compressobj(_GZIP_LEVEL, wbits=_GZIP_FORMAT)
    done = [deflate.compress(start), deflate.flush(zlib.Z_FULL_FLUSH)]
    return b"".join((*done, *map(deflate.compress, others), deflate.flush()))
