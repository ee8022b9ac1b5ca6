"""Every malformed blob has an outcome: forwarded or dead letters, and reading continues.

docs/hostile-input.md lists these outcomes; the last test here compares it with the tests.
"""

from __future__ import annotations

import gzip
import json
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from azure.data.tables import TableClient
from support import records_in, tuple_of

from flowlog_core.blob import BlobRef, Position
from flowlog_core.checkpoints.checkpoint import Progress, checkpoint_key
from flowlog_core.ingest import Outcome, ingest
from flowlog_core.parallel import Parallel
from flowlog_core.pipeline import Pipeline
from flowlog_core.sinks import EntryRecords
from flowlog_core.sinks.table import TableSink
from flowlog_core.source.reading import Slice
from flowlog_core.testing.generate import (
    HEAD,
    TAIL,
    FlowLogGenerator,
    Format,
    GeneratedEntry,
    Interface,
    document,
    pretty_printed,
    with_byte_order_mark,
    with_keys_shuffled,
)
from flowlog_core.testing.memory import (
    ManualClock,
    MemoryBlobs,
    MemoryCheckpoints,
    MemoryDeadLetters,
    MemorySink,
    some_blob,
)

ROOT = Path(__file__).parents[1]
BLOB = some_blob()
HOUR = datetime(2026, 1, 1, tzinfo=UTC)
TUPLE = "1767225564,10.0.1.4,203.0.113.60,46013,443,T,O,A,E,1,66,2,132"
INCOMPRESSIBLE = random.Random(1).randbytes(66_000).hex()  # too long even when compressed


def made(seed: int, log_format: Format = "nsg2", tuples: int = 3) -> GeneratedEntry:
    interface = Interface.vnet() if log_format == "vnet4" else Interface.nsg()
    return FlowLogGenerator(seed).entry(log_format, interface, HOUR, tuples)


BEFORE, AFTER, OTHER = made(1), made(2, "vnet4"), made(3, "nsg1")


@dataclass
class World:
    """One blob and everything that `ingest` touches."""

    blobs: MemoryBlobs = field(default_factory=MemoryBlobs)
    sink: MemorySink = field(default_factory=MemorySink)
    letters: MemoryDeadLetters = field(default_factory=MemoryDeadLetters)
    clock: ManualClock = field(default_factory=ManualClock)
    chunk_bytes: int = 4 * 1024 * 1024

    def __post_init__(self) -> None:
        self.checkpoints = MemoryCheckpoints(self.clock)

    def ingest(self, content: bytes | None = None, *, final: bool = False) -> Outcome:
        """Commit `content`, if any is given, and forward what is new."""
        if content is not None:
            self.blobs.put(BLOB, content)
        pipeline = Pipeline(
            self.blobs,
            self.checkpoints,
            self.sink,
            self.letters,
            180,
            self.clock,
            chunk_bytes=self.chunk_bytes,
        )
        return ingest(BLOB, pipeline, final=final)

    @property
    def progress(self) -> Progress:
        found = self.checkpoints.get(checkpoint_key(BLOB)).checkpoint
        assert found is not None
        assert found.owner == ""
        return found.progress

    def received(self) -> list[str]:
        """The tuples in the order in which they were sent."""
        return [tuple_of(record) for record in records_in(self.sink.messages)]

    def set_aside(self) -> list[tuple[int, int | None, bytes]]:
        """Offset, tuple index and content of each dead letter, by offset; each has a reason."""
        kept = sorted(self.letters.letters.values(), key=lambda letter: letter.position.offset)
        assert all(letter.reason for letter in kept)
        for letter in kept:
            assert orjson.loads(letter.to_json())["reason"] == letter.reason
        return [(letter.position.offset, letter.tuple_index, letter.raw) for letter in kept]


@pytest.fixture
def world() -> World:
    return World()


def tuples_of(*entries: GeneratedEntry) -> list[str]:
    return [text for entry in entries for text in entry.tuples]


# --- Something odd between two good entries


def vnet(*tuples: object) -> bytes:
    """An entry of VNet version 4, in the order of keys that Azure writes."""
    return orjson.dumps(
        {
            "time": "2026-01-01T00:00:00.0000001Z",
            "category": "FlowLogFlowEvent",
            "flowLogVersion": 4,
            "flowRecords": {
                "flows": [{"aclID": "a", "flowGroups": [{"rule": "r", "flowTuples": tuples}]}]
            },
        }
    )


def nsg(*tuples: object, rule: str = "UserRule_x", mac: str = "002248000001") -> bytes:
    """An entry of NSG version 2, compact as Azure writes it."""
    return orjson.dumps(
        {
            "time": "2026-01-01T00:00:00.0000001Z",
            "category": "NetworkSecurityGroupFlowEvent",
            "resourceId": "/SUBSCRIPTIONS/S",
            "properties": {
                "Version": 2,
                "flows": [{"rule": rule, "flows": [{"mac": mac, "flowTuples": tuples}]}],
            },
        }
    )


def with_mac(value: bytes) -> bytes:
    """An entry of one valid tuple, with `value` unchanged as the group's MAC."""
    return nsg(TUPLE).replace(b'"mac":"002248000001"', b'"mac":' + value)


@dataclass(frozen=True)
class Odd:
    """What is between two good entries, and its outcome.

    `set_aside` holds (where it begins in `content`, tuple index, bytes) of each dead letter.
    """

    content: bytes
    forwarded: int = 0
    set_aside: tuple[tuple[int, int | None, bytes], ...] = ()


def whole(content: bytes) -> Odd:
    """All of it is one dead letter."""
    return Odd(content, 0, ((0, None, content),))


def forwarded(content: bytes, tuples: int = 1) -> Odd:
    return Odd(content, tuples)


DEEP = b"[" * 300 + b"]" * 300
BAD_GROUP = b'{"mac":5,"flowTuples":["%b"]}' % TUPLE.encode()

# The tuples in here are all TUPLE.
ODD: dict[str, Callable[[], Odd]] = {
    # not JSON
    "misspelt-literal": lambda: whole(with_mac(b"nul")),
    "value-missing": lambda: whole(with_mac(b"")),
    "comma-missing": lambda: whole(nsg(TUPLE).replace(b'","category"', b'" "category"')),
    "brace-missing": lambda: whole(nsg(TUPLE)[:-1]),
    "bracket-missing": lambda: whole(nsg(TUPLE).replace(b"]}]}]", b"}]}]")),
    "wrong-bracket": lambda: whole(nsg(TUPLE).replace(b"]}]}]", b"}}]}]")),
    "quote-missing": lambda: whole(nsg(TUPLE).replace(b'"resourceId":"', b'"resourceId":')),
    "quote-too-many": lambda: whole(nsg(TUPLE).replace(b"UserRule", b'User"Rule')),
    "invalid-utf-8": lambda: whole(nsg(TUPLE, rule="@").replace(b"@", b"\xff\xfe")),
    "utf-8-of-a-surrogate": lambda: whole(nsg(TUPLE, rule="@").replace(b"@", b"\xed\xa0\x80")),
    "nul-in-a-string": lambda: whole(nsg(TUPLE, rule="@").replace(b"@", b"\x00")),
    "nul-bytes": lambda: whole(b"\x00" * 4096),
    "lone-surrogate": lambda: whole(with_mac(b'"\\ud800"')),
    "low-surrogate-first": lambda: whole(with_mac(b'"\\udc00\\ud800"')),
    "truncated-escape": lambda: whole(with_mac(b'"\\u12"')),
    "unknown-escape": lambda: whole(with_mac(b'"\\x41"')),
    "backslash-before-the-quote": lambda: whole(with_mac(b'"a\\"')),
    "nan": lambda: whole(with_mac(b"NaN")),
    "leading-zero": lambda: whole(with_mac(b"007")),
    "single-quotes": lambda: whole(b"{'time':'t','category':'c'}"),
    "comment": lambda: whole(b"/* nothing */"),
    "error-page": lambda: whole(b"<html><body>503 {retry} later</body></html>"),
    "log-line": lambda: whole(b"2026-01-01 00:00:00 ERROR could not write: [Errno 28]"),
    "compressed": lambda: whole(b"\x1f\x8b\x08" + bytes(range(256)).replace(b"{", b"")),
    "byte-order-mark": lambda: whole(b"\xef\xbb\xbf"),
    # JSON that the parser does not take
    "number-beyond-a-double": lambda: whole(with_mac(b"1e400")),
    "number-of-400-digits": lambda: whole(with_mac(b"1" + b"0" * 400)),
    "number-of-a-million-digits": lambda: whole(with_mac(b"7" * 1_000_000)),
    "nested-too-deep": lambda: whole(with_mac(b"[" * 1100 + b"]" * 1100)),
    "bomb-of-brackets": lambda: whole(with_mac(b"[" * 250_000 + b"]" * 250_000)),
    "bomb-of-objects": lambda: whole(with_mac(b'{"a":' * 250_000 + b"1" + b"}" * 250_000)),
    "bomb-of-open-brackets": lambda: whole(b"[" * 250_000),
    "bomb-of-open-objects": lambda: whole(b'{"a":' * 250_000),
    "bomb-of-quotes": lambda: whole(b'"' * 250_001),
    # no object
    "null": lambda: whole(b"null"),
    "true": lambda: whole(b"true"),
    "number": lambda: whole(b"-17.5e3"),
    "string": lambda: whole(b'"text, with a comma"'),
    "empty-string": lambda: whole(b'""'),
    "list": lambda: whole(b'[1,{"a":2},[3]'),
    # an object of no known format
    "empty-object": lambda: whole(b"{}"),
    "no-category": lambda: whole(nsg(TUPLE).replace(b'"category"', b'"categories"')),
    "unknown-category": lambda: whole(nsg(TUPLE).replace(b"FlowEvent", b"FlowEvents")),
    "unknown-version": lambda: whole(nsg(TUPLE).replace(b'n":2', b'n":3')),
    "version-as-text": lambda: whole(nsg(TUPLE).replace(b'n":2', b'n":"2"')),
    "version-as-fraction": lambda: whole(nsg(TUPLE).replace(b'n":2', b'n":2.0')),
    "flows-no-list": lambda: whole(re.sub(rb'"flows":\[.*\]', b'"flows":{}', nsg(TUPLE))),
    "properties-no-object": lambda: whole(re.sub(rb'(?<=es":).*\}', b"[]}", nsg(TUPLE))),
    "time-no-text": lambda: whole(nsg(TUPLE).replace(b'"time":"', b'"time":0,"was":"')),
    # commas
    "nothing": lambda: forwarded(b"", 0),
    "many-commas": lambda: forwarded(b", ,,\n,", 0),
    "white-space": lambda: forwarded(b" \t\r\n" * 10_000, 0),
    "comma-between-missing": lambda: forwarded(nsg(TUPLE) + nsg(TUPLE), 2),
    "another-head": lambda: forwarded(TAIL + b"\n" + HEAD, 0),
    # unusual, but good
    "no-flows": lambda: forwarded(re.sub(rb'"flows":\[.*\]', b'"flows":[]', nsg(TUPLE)), 0),
    "no-tuples": lambda: forwarded(nsg(), 0),
    "unknown-keys": lambda: forwarded(nsg(TUPLE).replace(b'"time"', b'"new":[{"a":1}],"time"')),
    "keys-in-another-case": lambda: forwarded(
        re.sub(rb'"\w+":', lambda key: key[0].swapcase(), nsg(TUPLE))
    ),
    "escaped-text": lambda: forwarded(nsg(TUPLE).replace(b",T,", b"\\u002c\\u0054\\u002C")),
    "escaped-keys": lambda: forwarded(nsg(TUPLE).replace(b"flowTuples", b"flow\\u0054uples")),
    "surrogate-pair": lambda: forwarded(with_mac(b'"\\ud83d\\ude00"')),
    "braces-in-text": lambda: forwarded(nsg(TUPLE, rule='}]}"{[\\"{"time":"')),
    "escaped-nul": lambda: forwarded(nsg(TUPLE, rule="a\x00b")),
    "equal-tuples": lambda: forwarded(nsg(TUPLE, TUPLE, TUPLE), 3),
    "text-of-megabytes": lambda: forwarded(
        nsg(TUPLE).replace(b'"time"', b'"x":"' + b'\\"{[' * 500_000 + b'","time"')
    ),
    "entry-of-8-megabytes": lambda: forwarded(
        nsg(TUPLE).replace(b'"time"', b'"x":"' + b"x" * 8_000_000 + b'","time"')
    ),
    "entry-of-250000-lists": lambda: forwarded(
        nsg(TUPLE).replace(b'"time"', b'"x":[' + b"[]," * 249_999 + b'[]],"time"')
    ),
    # equal keys
    "key-twice": lambda: forwarded(
        nsg(TUPLE).replace(b'"flowTuples"', b'"flowTuples":["earlier"],"flowTuples"')
    ),
    # bad among the good: only what is bad is set aside
    "bad-tuple": lambda: Odd(nsg(TUPLE, "1,2,3", TUPLE), 2, ((0, 1, b"1,2,3"),)),
    "empty-tuple": lambda: Odd(nsg(TUPLE, "", TUPLE), 2, ((0, 1, b""),)),
    "tuple-null": lambda: Odd(nsg(TUPLE, None, TUPLE), 2, ((0, 1, b"null"),)),
    "tuple-list": lambda: Odd(nsg(TUPLE, ["a", 1]), 1, ((0, 1, b'["a",1]'),)),
    "tuple-of-megabytes": lambda: Odd(
        nsg(TUPLE, "1," * 1_000_000), 1, ((0, 1, b"1," * 1_000_000),)
    ),
    "field-of-megabytes": lambda: Odd(
        nsg(TUPLE, TUPLE + "9" * 1_000_000), 1, ((0, 1, TUPLE.encode() + b"9" * 1_000_000),)
    ),
    "group-null": lambda: Odd(
        nsg(TUPLE).replace(b'[{"mac"', b'[null,{"mac"'), 1, ((0, 0, b"null"),)
    ),
    "group-with-a-bad-name": lambda: Odd(
        nsg(TUPLE).replace(b'[{"mac"', b"[" + BAD_GROUP + b',{"mac"'), 1, ((0, 0, BAD_GROUP),)
    ),
    # bad among the good, and written anew it would be less than it was: the whole entry is kept
    "group-nested-deep": lambda: whole(with_mac(DEEP)),
    "group-with-a-key-twice": lambda: whole(with_mac(b'5,"flowTuples":["earlier"]')),
    "group-with-white-space": lambda: whole(with_mac(b" 5 ")),
    "tuple-of-30-digits": lambda: Odd(
        nsg(TUPLE, "@").replace(b'"@"', b"7" * 30),
        1,
        ((0, None, nsg(TUPLE, "@").replace(b'"@"', b"7" * 30)),),
    ),
    "tuple-escaped": lambda: Odd(
        nsg(TUPLE, "@").replace(b"@", b"\\u0040"),
        1,
        ((0, None, nsg(TUPLE, "@").replace(b"@", b"\\u0040")),),
    ),
    # very many
    "20000-tuples": lambda: forwarded(nsg(*[TUPLE] * 20_000), 20_000),
    "10000-bad-tuples": lambda: whole(nsg(*["bad"] * 10_000)),
    "10001-bad-tuples": lambda: whole(nsg(TUPLE, *["bad"] * 10_001)),
    "10001-numbers-for-groups": lambda: whole(
        nsg(TUPLE).replace(b'[{"mac"', b"[" + b"5," * 10_001 + b'{"mac"')
    ),
    "20000-tuples-every-other-bad": lambda: Odd(
        nsg(*[TUPLE, "bad"] * 10_000), 10_000, ((0, None, nsg(*[TUPLE, "bad"] * 10_000)),)
    ),
    "20000-groups": lambda: forwarded(
        nsg(TUPLE).replace(
            b'[{"mac"', b'[{"flowTuples":[]},' + b'{"flowTuples":[]},' * 19_998 + b'{"mac"'
        )
    ),
    "20000-entries-of-nothing": lambda: Odd(
        b",".join([b"{}"] * 20_000), 0, ((0, None, b",".join([b"{}"] * 20_000)),)
    ),
    # names that each record would repeat
    "rule-too-long-for-a-message": lambda: Odd(
        nsg(*[TUPLE] * 17, rule=INCOMPRESSIBLE),
        0,
        ((0, None, nsg(*[TUPLE] * 17, rule=INCOMPRESSIBLE)),),
    ),
    "rule-of-a-megabyte-many-tuples": lambda: whole(nsg(*[TUPLE] * 400, rule="x" * 1_000_000)),
}


@pytest.mark.parametrize("name", ODD)
def test_between_two_entries(name: str, world: World) -> None:
    odd = ODD[name]()
    start = len(HEAD + BEFORE.raw) + 1
    blob = HEAD + BEFORE.raw + b"," + odd.content + b"," + AFTER.raw + TAIL
    outcome = world.ingest(blob)
    expected = [(start + at, index, raw) for at, index, raw in odd.set_aside]
    assert world.set_aside() == expected
    assert world.received() == [*BEFORE.tuples, *[TUPLE] * odd.forwarded, *AFTER.tuples]
    assert (outcome.how, outcome.dead_letters) == ("forwarded", len(expected))
    assert world.progress.offset == len(blob) - len(TAIL)
    world.sink.messages.clear()
    world.ingest(blob + b" ", final=True)  # whatever comes next, nothing of it comes again
    assert (world.received(), world.set_aside()) == ([], expected)


# --- Any value in any place of an entry

ANY_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 2, 4, 1.5, 1e300, 2**64, "", "x", "1,2,3", [], {}, [[]], [{}]),
    *([None], ["x"], [1], {"flows": []}, {"flows": [{}]}, {"flowTuples": []}, {"flowTuples": "x"}),
)


def with_any_value_anywhere(value: Any) -> Iterator[Any]:
    """Copies of a JSON value, each with one of `ANY_VALUES` in one place."""
    yield from ANY_VALUES
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for key in keys:
        for inner in with_any_value_anywhere(value[key]):
            copy = value.copy()
            copy[key] = inner
            yield copy


@pytest.mark.parametrize("log_format", ["nsg1", "nsg2", "vnet4"])
def test_any_value_in_any_place(log_format: Format, world: World) -> None:
    """Each tuple that an entry still holds is forwarded, or is in a dead letter of that entry."""
    entry = made(7, log_format)
    raws = [
        json.dumps(one, separators=(",", ":")).encode()
        for one in with_any_value_anywhere(json.loads(entry.raw))
    ]
    starts, at = list[int](), len(HEAD)
    for raw in raws:
        starts.append(at)
        at += len(raw) + 1
    blob = HEAD + b",".join([*raws, AFTER.raw]) + TAIL
    world.ingest(blob, final=True)
    forwarded_at = {start: list[str]() for start in [*starts, at]}
    for record in records_in(world.sink.messages):
        forwarded_at[int(record["id"].split(".")[2])].append(tuple_of(record))
    kept_at = dict.fromkeys(starts, b"")
    # Neighbours that cannot be read share a dead letter, which holds them as they are in the blob.
    for offset, _, content in world.set_aside():
        for start, raw in zip(starts, raws, strict=True):
            if offset <= start < offset + len(content):
                kept_at[start] += content[start - offset :][: len(raw)]
    assert len(raws) > 500
    for start, raw in zip(starts, raws, strict=True):
        for text in entry.tuples:
            held, sent = raw.count(text.encode()), forwarded_at[start].count(text)
            # A dead letter of the whole entry holds again what was forwarded of it.
            assert sent <= held <= sent + kept_at[start].count(text.encode())
    assert forwarded_at[at] == list(AFTER.tuples)
    assert world.progress.offset == len(blob) - len(TAIL)


# --- Whole blobs


@pytest.mark.parametrize(
    "blob",
    [
        pytest.param(b"", id="0-bytes"),
        pytest.param(HEAD + TAIL, id="14-bytes"),
        pytest.param(HEAD, id="head-only"),
        pytest.param(TAIL, id="tail-only"),
        pytest.param(b"\xef\xbb\xbf", id="byte-order-mark-only"),
        pytest.param(b"\n\n  \n", id="white-space-only"),
        pytest.param(b'\xef\xbb\xbf{\r\n  "records": [\r\n  ]\r\n}\r\n', id="pretty-printed-empty"),
    ],
)
def test_a_blob_without_entries(blob: bytes, world: World) -> None:
    world.ingest(blob)
    world.ingest(final=True)
    assert (world.received(), world.set_aside()) == ([], [])
    assert (world.progress.offset, world.progress.pending_bytes) == (0, 0)
    assert world.ingest(document([BEFORE])).records == 3


def lines_of(*entries: GeneratedEntry) -> bytes:
    return b"".join(entry.raw + b"\n" for entry in entries)


TWO = document([BEFORE, AFTER])


@pytest.mark.parametrize(
    ("blob", "set_aside"),
    [
        pytest.param(with_byte_order_mark(TWO), [], id="byte-order-mark"),
        pytest.param(pretty_printed(TWO), [], id="pretty-printed"),
        pytest.param(pretty_printed(TWO).replace(b"\n", b"\r\n"), [], id="windows-lines"),
        pytest.param(with_keys_shuffled(TWO, 5), [], id="keys-in-another-order"),
        pytest.param(TWO.replace(HEAD, b'{"version":1,"records":['), [], id="head-with-more"),
        pytest.param(TWO.replace(HEAD, b""), [], id="head-missing"),
        pytest.param(TWO.removesuffix(TAIL), [], id="tail-missing"),
        pytest.param(TWO + TWO.replace(HEAD + BEFORE.raw, HEAD), [], id="two-documents"),
        pytest.param(lines_of(BEFORE, AFTER), [], id="json-lines"),
        pytest.param(
            b"[" + BEFORE.raw + b"," + AFTER.raw + b"]", [(0, None, b"[")], id="list-at-the-top"
        ),
        pytest.param(
            TWO.replace(HEAD, b'{"meta":{"a":1},"records":['),
            [(0, None, b'{"meta":{"a":1},"records":[')],
            id="head-with-an-object",
        ),
        pytest.param(
            TWO.replace(HEAD, b'{"Records":['), [(0, None, b'{"Records":[')], id="head-misspelt"
        ),
        pytest.param(
            TWO.removesuffix(TAIL) + b'],"count":2}',
            [(len(TWO), None, b'"count":2}')],
            id="tail-with-more",
        ),
    ],
)
def test_a_blob_of_unusual_form(
    blob: bytes, set_aside: list[tuple[int, int | None, bytes]], world: World
) -> None:
    world.ingest(blob, final=True)
    twice = blob.count(b"FlowLogFlowEvent") > TWO.count(b"FlowLogFlowEvent")
    assert world.received() == tuples_of(BEFORE, AFTER, *[AFTER] * twice)
    assert world.set_aside() == set_aside


@pytest.mark.parametrize(
    "blob",
    [
        pytest.param(gzip.compress(TWO, mtime=0), id="compressed"),
        pytest.param(TWO.decode().encode("utf-16"), id="utf-16"),
        pytest.param(b'{"records":null}', id="records-null"),
        pytest.param(b'{"records":{}}', id="records-an-object"),
        pytest.param(b"<?xml version='1.0'?><Error><Code>BlobNotFound</Code></Error>", id="xml"),
    ],
)
def test_a_blob_that_is_something_else(blob: bytes, world: World) -> None:
    """It is kept, once nothing will follow, and what follows all the same is forwarded."""
    world.ingest(blob)
    world.ingest(final=True)
    ((offset, index, raw),) = world.set_aside()
    assert (offset, index, world.received()) == (0, None, [])
    assert blob.removeprefix(raw).strip(b"]}") == b""
    world.ingest(blob + b"," + AFTER.raw)
    assert world.received() == list(AFTER.tuples)


def test_the_version_may_change_within_a_blob(world: World) -> None:
    formats: list[Format] = ["nsg2", "nsg1", "vnet4", "nsg2", "nsg1"]
    entries = [made(number, log_format) for number, log_format in enumerate(formats)]
    for count in range(len(entries) + 1):
        world.ingest(document(entries[:count]))
    assert world.received() == tuples_of(*entries)
    assert world.set_aside() == []


@pytest.mark.parametrize("tail", [pytest.param(TAIL, id="tail"), pytest.param(b"", id="no-tail")])
def test_committed_at_any_byte(tail: bytes) -> None:
    """What is cut short waits, whether or not a tail closes its brackets by chance."""
    for cut in range(0, len(TWO), 3):
        world = World()
        world.ingest(TWO[:cut] + tail)
        world.ingest(TWO)
        assert (world.received(), world.set_aside()) == (tuples_of(BEFORE, AFTER), [])


def test_never_completed(world: World) -> None:
    """The last entry is cut short for good: it waits, and is kept once nothing will follow."""
    blob = document([BEFORE])[: -len(TAIL)] + b"," + AFTER.raw[:200] + TAIL
    world.ingest(blob)
    assert (world.set_aside(), world.progress.pending_bytes) == ([], 200 + len(TAIL))
    world.ingest(final=True)
    assert world.received() == list(BEFORE.tuples)
    assert world.set_aside() == [(len(HEAD + BEFORE.raw) + 1, None, AFTER.raw[:200])]


def test_larger_than_an_entry_may_be(world: World) -> None:
    """Beyond 8 MiB it is kept in pieces, which together are all of it."""
    large = nsg(TUPLE).replace(b'"time"', b'"x":"' + b"x" * 9_000_000 + b'","time"')
    world.ingest(HEAD + BEFORE.raw + b"," + large + b"," + AFTER.raw + TAIL)
    assert world.received() == tuples_of(BEFORE, AFTER)
    kept = world.set_aside()
    assert [len(raw) for _, _, raw in kept] == [
        8 * 1024 * 1024 - 1,
        len(large) - 8 * 1024 * 1024 + 1,
    ]
    assert b"".join(raw for _, _, raw in kept) == large


# --- Names


@pytest.mark.parametrize(
    "mac",
    [
        pytest.param(".", id="dot"),
        pytest.param("..", id="dot-dot"),
        pytest.param("m" * 500, id="500-characters"),
        pytest.param("\U0001f600" * 200, id="emoji"),
        pytest.param("'\\?#%", id="forbidden-characters"),
    ],
)
def test_a_name_that_no_key_or_path_can_hold(mac: str, world: World) -> None:
    """Its records are forwarded and its damage is set aside, under names that a service takes."""
    blob = some_blob(mac=mac)
    world.blobs.put(blob, HEAD + BEFORE.raw + b',{"time":tru},' + AFTER.raw + TAIL)
    pipeline = Pipeline(world.blobs, world.checkpoints, world.sink, world.letters, 180, world.clock)
    assert ingest(blob, pipeline).dead_letters == 1
    assert world.received() == tuples_of(BEFORE, AFTER)
    (name,) = world.letters.letters
    segments = name.split("/")
    assert len(segments) == 3
    assert {".", ".."}.isdisjoint(segments)
    assert len(name) <= 1024
    records = records_in(world.sink.messages)
    entry = EntryRecords(Position(blob, 0, 12), [orjson.dumps(r).decode() for r in records])
    table = TableClient("https://a.table.core.windows.net?sig=x", "records")
    for batch in TableSink(table, Parallel(1), "|07").pack(entry).messages:
        for row in batch.rows:
            for key in (row["PartitionKey"], row["RowKey"]):
                assert len(key) <= 512
                assert re.search(r"[/\\#?\x00-\x1f\x7f-\uffff]", key) is None


# --- Blobs that do not only grow

FIRST, SECOND, THIRD = ([made(10 * n + i) for i in range(n)] for n in (2, 3, 1))


@pytest.mark.parametrize(
    ("then", "expected"),
    [
        pytest.param(SECOND, SECOND, id="longer"),
        pytest.param(THIRD, THIRD, id="shorter"),
        pytest.param(FIRST[:1], FIRST[:1], id="its-own-beginning"),
        pytest.param([FIRST[1], FIRST[0]], [FIRST[1], FIRST[0]], id="as-long"),
        pytest.param([], [], id="empty"),
        pytest.param(FIRST, [], id="the-same"),
        pytest.param([*FIRST, *THIRD], THIRD, id="the-same-and-more"),
    ],
)
@pytest.mark.parametrize(
    "deleted", [pytest.param(False, id="rewritten"), pytest.param(True, id="deleted-first")]
)
def test_written_anew(
    then: list[GeneratedEntry], expected: list[GeneratedEntry], deleted: bool, world: World
) -> None:
    """Read again as a new generation, unless it is the same blob with the same bytes as before."""
    world.ingest(document(FIRST))
    assert world.received() == tuples_of(*FIRST)
    world.sink.messages.clear()
    if deleted:
        world.blobs.delete(BLOB)
        assert world.ingest().how == "deleted"
        world.blobs.clock.sleep(60)
    outcome = world.ingest(document(then))
    assert world.received() == tuples_of(*(then if deleted else expected))
    is_new = deleted or then[: len(FIRST)] != FIRST
    assert (outcome.rewrites, world.progress.generation) == (is_new, is_new)
    generations = {record["id"].split(".")[1] for record in records_in(world.sink.messages)}
    assert generations <= {str(int(is_new))}
    world.sink.messages.clear()
    world.ingest(document([*then, OTHER]))
    assert (world.received(), world.set_aside()) == (list(OTHER.tuples), [])


def test_made_anew_with_entries_that_end_alike(world: World) -> None:
    """Entries of denied IPv6 probes end in 64 bytes, and more, that hold no time."""
    probe = "1767225600000,2001:db8::1,2001:db8::2,1,443,6,I,D,NX,0,0,0,0"
    old = vnet(*[probe] * 20)
    new = vnet(*[probe.replace("1767225600000", "1767225660000")] * 10, *[probe] * 10)
    assert old[-256:] == new[-256:]
    world.ingest(HEAD + old + TAIL)
    world.sink.messages.clear()
    world.blobs.delete(BLOB)
    world.blobs.clock.sleep(60)
    outcome = world.ingest(HEAD + new + TAIL)
    assert (outcome.rewrites, len(world.received())) == (1, 20)


def test_deleted_before_the_first_event(world: World) -> None:
    world.blobs.put(BLOB, TWO)
    world.blobs.delete(BLOB)
    assert world.ingest().how == "deleted"
    world.ingest(TWO)
    assert world.received() == tuples_of(BEFORE, AFTER)
    assert world.progress.generation == 0


@dataclass
class Changing(MemoryBlobs):
    """Blobs of which one changes just before a given read."""

    before_read: int = 0
    change: Callable[[MemoryBlobs], None] = lambda _: None

    def __post_init__(self) -> None:
        MemoryBlobs.__init__(self)

    def read(self, blob: BlobRef, start: int, max_bytes: int, etag: str | None) -> Slice:
        if self.calls["read"] + 1 == self.before_read:
            self.before_read = 0
            self.change(self)
        return super().read(blob, start, max_bytes, etag)


LONG = [made(100 + n, tuples=1) for n in range(12)]
CHUNK_BYTES = 1000


@pytest.mark.parametrize("before_read", range(1, 8))
def test_changed_while_it_is_read(before_read: int) -> None:
    """Written anew between two reads: what was sent is sent, and all of what is there now."""
    new = document(SECOND)
    blobs = Changing(before_read=before_read, change=lambda blobs: blobs.put(BLOB, new))
    world = World(blobs=blobs, chunk_bytes=CHUNK_BYTES)
    world.ingest(document(LONG))
    received, sent = world.received(), tuples_of(*LONG)
    count = len(received) - len(tuples_of(*SECOND))
    assert received == [*sent[:count], *tuples_of(*SECOND)]
    assert world.set_aside() == []
    assert world.progress.offset == len(new) - len(TAIL)


@pytest.mark.parametrize("before_read", range(1, 8))
def test_deleted_while_it_is_read(before_read: int) -> None:
    blobs = Changing(before_read=before_read, change=lambda blobs: blobs.delete(BLOB))
    world = World(blobs=blobs, chunk_bytes=CHUNK_BYTES)
    assert world.ingest(document(LONG)).how == "deleted"
    received = world.received()
    assert received == tuples_of(*LONG)[: len(received)]
    world.sink.messages.clear()
    world.ingest(document(SECOND))
    assert world.received() == tuples_of(*SECOND)
    assert world.set_aside() == []


# --- Large blobs


@pytest.mark.slow
def test_a_large_backlog_takes_little_memory() -> None:
    """`ingest` and `flowlog parse` of 64 MB, and 16 blobs at once, each in a process of its own."""
    command = [sys.executable, "-m", "bench.memory", "--megabytes", "64", "--max-megabytes", "128"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, ""), run.stdout
    assert len(run.stdout.splitlines()) == 4


# --- The table


def names_of_tests() -> set[str]:
    """Every test of this file, with the name of each case that has a name and not just a number."""
    names: set[str] = set()
    for name, test in globals().items():
        if name.startswith("test_"):
            cases = [""]
            marks = getattr(test, "pytestmark", [])
            for mark in (one for one in marks if one.name == "parametrize"):
                ids = [getattr(value, "id", None) or str(value) for value in mark.args[1]]
                cases = [f"{case}-{one}".strip("-") for case in cases for one in ids]
            names |= {f"{name}[{one}]" if one and not one.isdecimal() else name for one in cases}
    return names


def test_the_table_names_every_test_and_no_other() -> None:
    text = (ROOT / "docs" / "hostile-input.md").read_text(encoding="utf-8")
    rows = [row.split("|") for row in text.splitlines() if row.startswith("| ")]
    named = [name for row in rows for name in re.findall(r"`(test_[^`]+)`", row[-2])]
    for file, name in (one for row in rows for one in re.findall(r"`(tests/.*?)::(\w+)`", row[-2])):
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8")
    mine = "test_the_table_names_every_test_and_no_other"
    assert sorted(named) == sorted(names_of_tests() - {mine})
