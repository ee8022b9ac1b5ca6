"""What must be true of framing, normalizing and packing for any bytes of a blob."""

from __future__ import annotations

import random
import re
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import orjson

from flowlog_core.blob import Position
from flowlog_core.consume import decode
from flowlog_core.parsing.entry import Normalized, UnreadableEntry, normalize
from flowlog_core.parsing.framing import Damaged, Entry, Framer
from flowlog_core.parsing.record import FIELDS
from flowlog_core.sinks import EntryRecords
from flowlog_core.sinks.message import messages_of
from flowlog_core.testing.generate import TAIL
from flowlog_core.testing.memory import some_blob
from flowlog_core.testing.reference import Bad, reference
from fuzz.fuzz_documents import ENTRIES, FuzzDocument

Item = Entry | Damaged

_ID_PREFIX = "0123456789abcdef01234567.0.12."
_BLOB = some_blob()
_BOM = b"\xef\xbb\xbf"
_HEAD = re.compile(
    rb'\{\s*(?:"(?:[^"\\]|\\.)*"\s*:\s*(?:"(?:[^"\\]|\\.)*"|[^\s",{}[\]]+)\s*,\s*)*'
    rb'"records"\s*:\s*\[',
    re.DOTALL,
)
_TAIL = re.compile(rb"\]\s*\}\s*\Z")
_STRUCTURE = b" \t\r\n,]}"
_EXPECTED = [normalize(orjson.loads(raw), _ID_PREFIX).lines for raw in ENTRIES]
_LARGEST_ENTRY_BYTES = max(map(len, ENTRIES))


class BrokenPromiseError(AssertionError):
    """The reader did something that it must not do with any input."""


class Found(NamedTuple):
    """How much a document held."""

    entries: int
    damaged: int
    records: int


def check(document: FuzzDocument, seed: int, new_framer: type[Framer] = Framer) -> Found:
    """Read a document in several ways, chosen by `seed`, and hold what comes out against what must.

    Raises `BrokenPromiseError`, or whatever the reader raised, which it never may either.
    """
    rng = random.Random(seed)
    blob = document.blob
    limit = rng.choice((1 << 20, 1 << 20, _LARGEST_ENTRY_BYTES + rng.randint(0, 50)))
    read = partial(_framed, new_framer, limit)
    items = read(blob, [len(blob)])
    _hold_positions(blob, items)
    in_chunks = read(blob, _cuts(rng, len(blob)))
    _hold(in_chunks == items, "the items depend on the chunks")
    if items:
        at = rng.randrange(len(items))
        rest = read(blob, [len(blob)], offset=items[at].end)
        _hold(rest == items[at + 1 :], "the items depend on where reading was resumed")
    # The blob as it may have stood before its last append, with a tail; then the rest.
    committed = blob[: rng.randint(0, len(_TAIL.sub(b"", blob)))] + TAIL
    first = read(committed, [len(committed)], final=False)
    second = read(blob, [len(blob)], offset=first[-1].end if first else 0)
    _hold(first + second == items, "the items depend on how the blob grew")
    starts = {item.start: item for item in items}
    for start, index in document.untouched:
        found = starts.get(start)
        _hold(
            isinstance(found, Entry) and found.raw == ENTRIES[index],
            f"the untouched entry at {start} is not found",
        )
        if isinstance(found, Entry):
            lines = found.use(lambda value: normalize(value, _ID_PREFIX)).lines
            _hold(lines == _EXPECTED[index], f"the entry at {start} is read differently")
    records = sum(_hold_entry(rng, item) for item in items if isinstance(item, Entry))
    entries = sum(isinstance(item, Entry) for item in items)
    return Found(entries, len(items) - entries, records)


def _hold(condition: bool, what: str) -> None:
    if not condition:
        raise BrokenPromiseError(what)


def _framed(
    new_framer: type[Framer],
    limit: int,
    blob: bytes,
    edges: list[int],
    *,
    offset: int = 0,
    final: bool = True,
) -> list[Item]:
    framer = new_framer(offset, blob[max(0, offset - 256) : offset], max_entry_bytes=limit)
    items: list[Item] = []
    for start, end in pairwise([offset, *edges]):
        items += framer.feed(blob[start:end])
    items += framer.end(final=final)
    last = items[-1].end if items else offset
    _hold(framer.offset == last, "the offset is not behind the last item")
    _hold(framer.before == blob[max(0, last - 256) : last], "`before` is not before the offset")
    if final:
        _hold(framer.pending_bytes == 0, "something is pending for ever")
    else:
        pending = blob[len(blob) - framer.pending_bytes :]
        _hold_structure(blob[last : len(blob) - len(pending)], is_start=last == 0)
    return items


def _cuts(rng: random.Random, length: int) -> list[int]:
    count = rng.choice((1, 2, 5, 20))
    return sorted({rng.randint(0, length) for _ in range(count)} | {length})


def _hold_positions(blob: bytes, items: list[Item]) -> None:
    """Items ascend, are disjoint and as written, and nothing is between them but structure."""
    end = 0
    for item in items:
        _hold(end <= item.start < item.end <= len(blob), "items overlap")
        _hold(item.raw == blob[item.start : item.end], "an item is not as written")
        _hold_structure(blob[end : item.start], is_start=end == 0)
        end = item.end
    _hold_structure(blob[end:], is_start=end == 0)


def _hold_structure(gap: bytes, *, is_start: bool) -> None:
    if is_start:
        gap = gap.removeprefix(_BOM)
    if gap.strip(_STRUCTURE):
        gap = _HEAD.sub(b"", gap)
        _hold(not gap.strip(_STRUCTURE), f"{gap!r} is in no item")


def _hold_entry(rng: random.Random, entry: Entry) -> int:
    """Every tuple is a record or bad, once, in order; every record is in one message, as it is."""
    value = orjson.loads(entry.raw)
    try:
        normalized = normalize(value, _ID_PREFIX)
    except UnreadableEntry as error:
        _hold(bool(str(error)), "no reason is given")
        return 0
    records = [orjson.loads(line) for line in normalized.lines]
    _hold_reference(value, normalized, records)
    _hold_indexes(normalized, records)
    for record in records:
        _hold(tuple(record) == FIELDS, "a record has other fields")
    max_bytes = rng.choice((1 << 16, 1600, 1200))
    packed = EntryRecords(Position(_BLOB, offset=entry.start), normalized.lines)
    drawn, too_large = messages_of(packed, rng.choice(("json", "gzip")), max_bytes)
    messages = list(drawn)
    sent: list[Any] = []
    for message in messages:
        _hold(len(message.text) <= max_bytes, "a message is too large")
        batch = decode(message.text)
        _hold(batch.id == message.id, "a message has two ids")
        sent += batch.records
    _hold(len({message.id for message in messages}) == len(messages), "an id comes twice")
    left_out = {one.index for one in too_large}
    expected = [record for index, record in enumerate(records) if index not in left_out]
    _hold(sent == expected, "the messages hold something else than the records")
    return len(records)


def _hold_reference(value: object, normalized: Normalized, records: list[Any]) -> None:
    expected = reference(value, _ID_PREFIX)
    good = [one for one in expected if not isinstance(one, Bad)]
    _hold(records == good, "the records are not those of the reference")
    bad = [index for index, one in enumerate(expected) if isinstance(one, Bad)]
    _hold([one.index for one in normalized.bad] == bad, "other tuples are bad than should be")


def _hold_indexes(normalized: Normalized, records: list[Any]) -> None:
    good = [int(record["id"].removeprefix(_ID_PREFIX)) for record in records]
    bad = [one.index for one in normalized.bad]
    _hold(good == sorted(good) and bad == sorted(bad), "indexes do not ascend")
    _hold(sorted(good + bad) == [*range(len(good) + len(bad))], "an index is left out or doubled")
    for one in normalized.bad:
        _hold(bool(one.reason), "no reason is given")
