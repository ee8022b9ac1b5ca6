"""Queue messages: an entry's records in as few messages as the queue's limit allows.

    {"schema": "flowlog/1", "id": ..., "source": {...}, "count": N, "records": [...]}

`schema` says what the records are. Unless they are whole, `"fields"` comes before `source`: `lean`,
or the names of those that are sent.

The text of a message is base64: with `json` of this JSON, with `gzip` of another base64 text, which
holds the JSON compressed. So what is left when a queue trigger has decoded the outer base64 is text
in both forms. It has to be: the Functions host reads a message as text, and moves one that is not
UTF-8 to the poison queue without calling the function (Storage.Queues 5.3.10; a test shows it).

How the records are divided into messages may differ by encoding, compression library and version.
A message's id names the tuples that it carries, and in which form. So the same id always has the
same content, whatever the settings were (decision 0017).
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, chain, count
from operator import add
from typing import Literal, NamedTuple

import orjson
from pybase64 import b64encode, b64encode_as_string

from flowlog_core.sinks import EntryRecords, TooLarge

try:
    from isal.isal_zlib import compress  # igzip: a quarter of zlib's time at this level
except ImportError:  # it has wheels for x86-64 and 64-bit ARM alone
    from zlib import compress

MAX_MESSAGE_BYTES = 64 * 1024
"""The limit of an Azure Storage queue, counted after base64."""

Encoding = Literal["json", "gzip"]

_MAX_GZIP_INPUT_BYTES = 256 * 1024
"""A message's JSON before compression. What does not fit a message compressed is halved."""
_NUMBERS_BYTES = 64  # room for the numbers before the records, and those in the id
_MAX_UTF8_BYTES = 4  # a character
_GZIP_LEVEL = 1
_GZIP_FORMAT = 31  # of zlib's `wbits`: a gzip file, with no time in it


class Message(NamedTuple):
    """A message as it is sent."""

    id: str
    text: str
    """Base64; at most the limit it was made with."""


def messages_of(
    entry: EntryRecords, encoding: Encoding = "gzip", max_message_bytes: int = MAX_MESSAGE_BYTES
) -> tuple[Iterator[Message], list[TooLarge]]:
    """Return the messages that carry an entry's records, and the records too large for any.

    Each message is made when the iterator reaches it, so they need not all fit into memory.
    """
    compressed = _gzip_text if encoding == "gzip" else None
    max_text_bytes = max_message_bytes // 4 * 3  # of which base64 makes a message
    limit = f"queue message of {max_message_bytes} bytes"
    bodies, too_large = bodies_of(entry, compressed, max_text_bytes, limit)
    return (Message(name, b64encode_as_string(body)) for name, body in bodies), too_large


def bodies_of(
    entry: EntryRecords,
    compressed: Callable[[bytes], bytes] | None,
    max_body_bytes: int,
    limit: str,
) -> tuple[Iterator[tuple[str, bytes]], list[TooLarge]]:
    """Return ids and bodies of messages for an entry's records, and the records too large for any.

    A body is the JSON, or what `compressed` makes of it; at most `max_body_bytes`, which `limit`
    names. Each is made when the iterator reaches it.
    """
    lines = entry.lines
    if not lines:
        return iter(()), []
    tuples_of = _tuples_of(entry)
    encode: Callable[[bytes], bytes] = compressed or bytes

    def encoded(run: range) -> tuple[str, bytes]:
        """The id and the body of a message with these records."""
        carried = tuples_of(run)
        name = entry.position.message_id(carried) + entry.form.mark
        return name, encode(_json(entry, name, carried[0], lines[run.start : run.stop]))

    def packed(run: range) -> Iterator[tuple[str, bytes]]:
        name, content = encoded(run)
        if len(run) > 1 and len(content) > max_body_bytes:
            middle = len(run) // 2
            yield from packed(run[:middle])
            yield from packed(run[middle:])
        else:
            yield name, content

    id_start = entry.position.entry_id + entry.form.mark
    max_around_bytes = len(_json(entry, id_start, 0, [])) + _NUMBERS_BYTES
    max_input_bytes = _MAX_GZIP_INPUT_BYTES if compressed else max_body_bytes
    # Nothing is twice as long when compressed and in base64, so most records need no second look.
    surely_fits = max_body_bytes // 2 - max_around_bytes
    too_large = [
        index
        for index, record in enumerate(lines)
        if _MAX_UTF8_BYTES * len(record) > surely_fits
        and len(encoded(range(index, index + 1))[1]) > max_body_bytes
    ]
    runs = _runs(_ends(lines), too_large, max_input_bytes - max_around_bytes)
    return (
        chain.from_iterable(map(packed, runs)),
        [TooLarge(index, f"the record fits no {limit}") for index in too_large],
    )


def _ends(lines: Iterable[str]) -> array[int]:
    """Where each record ends, in bytes of UTF-8, if they are joined by commas."""
    sizes = map(len, map(str.encode, lines))
    return array("q", map(add, accumulate(sizes), count()))


def _runs(ends: Sequence[int], left_out: Sequence[int], max_bytes: int) -> Iterator[range]:
    """The longest runs of records that come to at most `max_bytes`, commas included.

    A record that is longer is a run by itself; those left out are in none.
    """
    start = begins_at = 0
    for stop in (*left_out, len(ends)):
        while start < stop:
            end = max(bisect_right(ends, begins_at + max_bytes, start, stop), start + 1)
            yield range(start, end)
            start, begins_at = end, ends[end - 1] + 1
        if stop < len(ends):
            start, begins_at = stop + 1, ends[stop] + 1


def _tuples_of(entry: EntryRecords) -> Callable[[range], Sequence[int]]:
    """The indexes of the tuples from which a run of records was made, in ascending order."""
    if entry.sums is None:
        indexes = entry.tuple_indexes
        return lambda run: indexes[run.start : run.stop]
    sums = entry.sums
    return lambda run: sorted(chain.from_iterable(sums[run.start : run.stop]))


def _json(entry: EntryRecords, name: str, first_tuple: int, records: Sequence[str]) -> bytes:
    """A message with some of an entry's records."""
    fields = {"fields": entry.form.fields} if entry.form.fields else {}
    message = {
        "schema": entry.form.schema,
        "id": name,
        **fields,
        "source": {**entry.position.source, "first_tuple": first_tuple},
        "count": len(records),
        "records": orjson.Fragment(f"[{','.join(records)}]"),
    }
    return orjson.dumps(message)


def gzipped(content: bytes) -> bytes:
    """The content as a gzip file."""
    return compress(content, _GZIP_LEVEL, _GZIP_FORMAT)


def _gzip_text(content: bytes) -> bytes:
    return b64encode(gzipped(content))
