"""The JSON in a file, unpacked from gzip or decoded from UTF-16."""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain

_GZIP = b"\x1f\x8b"
ZIP = b"PK\x03\x04"
_PIECE_BYTES = 1024 * 1024
_UTF_16 = {  # a byte order mark, or how `{` and `[` begin a text without one
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
    b"{\x00": "utf-16-le",
    b"\x00{": "utf-16-be",
}


class Unreadable(Exception):
    """A source cannot be read, or not to its end; the text says why."""


def unpacked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The UTF-8 text in a file's bytes, in pieces of bounded size.

    Raises `Unreadable` where they break off or are not what they began as, after all that was
    good, and whatever `pieces` raises.
    """
    first, pieces = _beginning(pieces)
    if first.startswith(_GZIP):
        first, pieces = _beginning(_gunzipped(pieces))
    if first.startswith(ZIP):
        raise Unreadable("a zip inside another file is not looked into")
    encoding = _UTF_16.get(first[:2])
    yield from pieces if encoding is None else _recoded(pieces, encoding)


def _beginning(pieces: Iterable[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """At least the first four bytes, if there are so many, and all pieces again."""
    rest = iter(pieces)
    first = b""
    for piece in rest:
        first += piece
        if len(first) >= len(ZIP):
            break
    return first, chain([first] if first else [], rest)


def _gunzipped(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Several gzip members one after the other are one text."""
    member = zlib.decompressobj(zlib.MAX_WBITS | 16)
    is_open = False
    for piece in pieces:
        data = piece
        while data:
            if member.eof:
                data = data.lstrip(b"\x00")  # what tape and some tools fill up with
                if not data:
                    break
                member = zlib.decompressobj(zlib.MAX_WBITS | 16)
            try:
                yield member.decompress(data, _PIECE_BYTES)
            except zlib.error as error:
                raise Unreadable(f"not valid gzip: {error}") from error
            is_open = not member.eof
            data = member.unused_data if member.eof else member.unconsumed_tail
    if is_open:
        raise Unreadable("the gzip file is cut short")


def _recoded(pieces: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for piece in pieces:
            yield decoder.decode(piece).encode()
        yield decoder.decode(b"", final=True).encode()
    except UnicodeError as error:
        raise Unreadable(f"not valid {encoding}: {error}") from error
