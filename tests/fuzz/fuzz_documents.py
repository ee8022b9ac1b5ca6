"""Flow log documents with damage at random places, and a record of what is undamaged.

The seed determines everything. A document is a list of pieces: head, entries, separators, tail. A
mutation changes, cuts, copies or moves pieces. The oracle no longer counts a changed piece as an
entry; every other piece keeps its entry, wherever it is moved to.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flowlog_core.testing.generate import (
    HEAD,
    TAIL,
    FlowLogGenerator,
    Format,
    Interface,
    with_keys_shuffled,
)

_FORMATS: tuple[Format, ...] = ("nsg1", "nsg2", "vnet4")
_JSON_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"|[{}\[\],:]|[^\s{}\[\],:"]+')
_BOM = b"\xef\xbb\xbf"

# What the reader's patterns are made of, and what JSON readers trip over.
ODD_BYTES = (
    *(b"{", b"}", b"[", b"]", b'"', b"\\", b'\\"', b"\\\\", b",", b":", b" ", b"\n", b"/", b"'"),
    *(b"\x00", b"\x1f", b"\x7f", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xe2\x80\xa8", _BOM),
    *(HEAD, TAIL, b"]},", b'{"time":', b'{"category":"c","properties":{}}', b'{"records":', b"{}"),
    *(b"null", b"true", b"NaN", b"-Infinity", b"1e400", b"-0", b"01", b"1" * 400, b"0.1e-9"),
    *(b"\\u", b"\\u00", b"\\ud800", b"\\udc00", b"\\x", b"\\ud83d\\ude00", b"[" * 70, b"{" * 70),
    *(b'{"a":' * 70, b"]" * 9, b"}" * 9, b" " * 65, b"/**/", b'"records":[', b'{"systemId":"'),
)
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 1e300, 2**63, 2**64, 10**40, "", "x", "\x00", "é\U0001f600"),
    *([], {}, [[]], [{}], {"flows": []}, {"flowTuples": ["x"]}, ["", None, {}], "a" * 300),
    *("]}", '{"time":"', '{"records":[', "\\", '"', ",", "," * 12, "1,2,3,4,5,6,7,8"),
)
ODD_FIELDS = (
    *("", " ", "-1", "+1", "01", "1e3", "65536", "9" * 30, "256", "NaN", "null", "\x00", '"', "\\"),
    *("::1", "fe80::1%1", "1.2.3.4/8", "1.2.3", "t", "é", "]}", "{", "253402300800000", "１"),
)


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes of a document; `entry` is their index in `ENTRIES` while they are one of these."""

    raw: bytes
    entry: int | None = None


@dataclass(frozen=True, slots=True)
class FuzzDocument:
    """A damaged document, and the entries in it that no mutation touched, as (start, index)."""

    blob: bytes
    untouched: tuple[tuple[int, int], ...]


def _make_entries() -> tuple[bytes, ...]:
    """Small entries of all formats, some of them pretty-printed, with keys in any order, odd."""
    generator = FlowLogGenerator(20)
    hour = datetime(2026, 1, 1, tzinfo=UTC)
    interfaces = {"nsg1": Interface.nsg(), "nsg2": Interface.nsg(), "vnet4": Interface.vnet()}
    made: list[bytes] = []
    for number in range(24):
        form = _FORMATS[number % 3]
        raw = generator.entry(form, interfaces[form], hour, number % 4).raw
        # Ids of a length that is nobody's make the documents half as long and twice as many.
        raw = re.sub(rb'(?<=")/[^"]*/', b"/S/", raw)
        value = json.loads(raw)
        if number % 5 == 1:
            raw = with_keys_shuffled(raw, number)
        elif number % 5 == 2:
            raw = json.dumps(value, indent=1).encode()
        elif number % 5 == 3:
            value["operationName"] = '\\"{[é]}\U0001f600\n{"time":"'
            raw = json.dumps(value, ensure_ascii=number % 2 == 0).encode()
        made.append(raw)
    return tuple(made)


ENTRIES = _make_entries()


def fuzz_document(seed: int) -> FuzzDocument:
    """The document of `seed`: one to three entries and up to four mutations."""
    rng = random.Random(seed)
    pieces = [Piece(HEAD)]
    for number in range(rng.randint(1, 3)):
        if number:
            pieces.append(Piece(rng.choice((b",", b",", b" ,\n"))))
        index = rng.randrange(len(ENTRIES))
        pieces.append(Piece(ENTRIES[index], index))
    pieces.append(Piece(rng.choice((TAIL, TAIL, TAIL, b"\n]\n}\n"))))
    if rng.random() < 0.05:
        pieces.insert(0, Piece(_BOM))
    for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3, 4))):
        rng.choice(MUTATIONS)(rng, pieces)
    return _joined(pieces)


def _joined(pieces: list[Piece]) -> FuzzDocument:
    at, untouched = 0, list[tuple[int, int]]()
    for piece in pieces:
        if piece.entry is not None:
            untouched.append((at, piece.entry))
        at += len(piece.raw)
    return FuzzDocument(b"".join(piece.raw for piece in pieces), tuple(untouched))


def _change_bytes(rng: random.Random, pieces: list[Piece]) -> None:
    """Replace, insert or remove a few bytes of one piece."""
    at = rng.randrange(len(pieces))
    raw = pieces[at].raw
    start = rng.randint(0, len(raw))
    removed = rng.choice((0, 0, 1, 1, 2, rng.randint(0, 40)))
    added = rng.choice((b"", rng.choice(ODD_BYTES), rng.randbytes(rng.randint(1, 3))))
    pieces[at] = Piece(raw[:start] + added + raw[start + removed :])


def _flip_a_bit(rng: random.Random, pieces: list[Piece]) -> None:
    at = rng.randrange(len(pieces))
    raw = bytearray(pieces[at].raw)
    if raw:
        raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
        pieces[at] = Piece(bytes(raw))


def _change_a_token(rng: random.Random, pieces: list[Piece]) -> None:
    """Remove, double, replace or swap JSON tokens of one piece."""
    at = rng.randrange(len(pieces))
    raw = pieces[at].raw
    spans = [found.span() for found in _JSON_TOKEN.finditer(raw)]
    if not spans:
        return
    start, end = rng.choice(spans)
    other = rng.choice(spans)
    instead = rng.choice(
        (b"", raw[start:end] * 2, rng.choice(ODD_BYTES), raw[other[0] : other[1]], b'"')
    )
    pieces[at] = Piece(raw[:start] + instead + raw[end:])


def _change_a_value(rng: random.Random, pieces: list[Piece]) -> None:
    """Put an odd value somewhere into an entry, which stays valid JSON."""
    index = rng.randrange(len(ENTRIES))
    entry: Any = json.loads(ENTRIES[index])
    holder: Any = {"": entry}
    key: Any = ""
    for _ in range(rng.randint(1, 8)):
        below: Any = holder[key]
        if not isinstance(below, dict | list) or not below:
            break
        holder, key = (
            below,
            rng.choice(list(below) if isinstance(below, dict) else [*range(len(below))]),
        )
    old = holder[key]
    if isinstance(old, str) and "," in old and rng.random() < 0.7:
        fields = old.split(",")
        fields[rng.randrange(len(fields))] = rng.choice(ODD_FIELDS)
        holder[key] = ",".join(fields)
    elif isinstance(holder, dict) and rng.random() < 0.2:
        del holder[key]
    else:
        holder[key] = rng.choice(ODD_VALUES)
    raw = json.dumps(entry, separators=(",", ":"), ensure_ascii=rng.random() < 0.5).encode()
    pieces.insert(rng.randint(0, len(pieces)), Piece(raw))


def _put_between(rng: random.Random, pieces: list[Piece]) -> None:
    pieces.insert(rng.randint(0, len(pieces)), Piece(rng.choice(ODD_BYTES)))


def _put_inside(rng: random.Random, pieces: list[Piece]) -> None:
    """Put a whole entry, or a part of one, into the middle of a piece."""
    at = rng.randrange(len(pieces))
    raw = pieces[at].raw
    middle = rng.randint(0, len(raw))
    index = rng.randrange(len(ENTRIES))
    inner = Piece(ENTRIES[index], index)
    if rng.random() < 0.5:
        start, end = sorted(rng.randint(0, len(inner.raw)) for _ in range(2))
        inner = Piece(inner.raw[start:end])
    halves = Piece(raw[:middle]), Piece(raw[middle:])
    # An untouched piece that is cut at its very edge is whole still.
    pieces[at : at + 1] = [half if half.raw != raw else pieces[at] for half in halves]
    pieces.insert(at + 1, inner)


def _copy(rng: random.Random, pieces: list[Piece]) -> None:
    pieces.insert(rng.randint(0, len(pieces)), rng.choice(pieces))


def _remove(rng: random.Random, pieces: list[Piece]) -> None:
    if len(pieces) > 1:
        del pieces[rng.randrange(len(pieces))]


def _swap(rng: random.Random, pieces: list[Piece]) -> None:
    one, other = (rng.randrange(len(pieces)) for _ in range(2))
    pieces[one], pieces[other] = pieces[other], pieces[one]


def _cut_off(rng: random.Random, pieces: list[Piece]) -> None:
    """End the document within a piece; its tail may follow nevertheless."""
    at = rng.randrange(len(pieces))
    raw = pieces[at].raw
    if raw:
        pieces[at:] = [Piece(raw[: rng.randrange(len(raw))])]
        if rng.random() < 0.5:
            pieces.append(Piece(TAIL))


MUTATIONS: tuple[Callable[[random.Random, list[Piece]], None], ...] = (
    *(_change_bytes, _change_bytes, _flip_a_bit, _change_a_token, _change_a_token),
    *(_change_a_value, _change_a_value, _put_between, _put_between, _put_inside),
    *(_copy, _remove, _swap, _cut_off),
)
