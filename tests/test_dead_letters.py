"""Dead letters: named by position, complete, identical when stored again."""

from __future__ import annotations

import tracemalloc
from base64 import b64decode
from collections.abc import Callable, Sequence
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobServiceClient

from flowlog_core.blob import Position
from flowlog_core.dead_letters import (
    MAX_ITEMS_PER_ENTRY,
    MAX_RAW_CHARACTERS,
    BlobDeadLetters,
    DeadLetter,
    dead_letters_of,
)
from flowlog_core.errors import Refused
from flowlog_core.parallel import Parallel
from flowlog_core.parsing import BadTuple
from flowlog_core.sinks import EntryRecords, TooLarge
from flowlog_core.testing.memory import some_blob

BLOB = some_blob()
POSITION = Position(BLOB, generation=3, offset=12)
ID = f"{POSITION.blob_digest}.3.12"


def bad(count: int) -> list[BadTuple]:
    return [BadTuple(index * 2, f"tuple {index}", "not good") for index in range(count)]


def letters_of(
    raw: bytes,
    bad: list[BadTuple],
    lines: Sequence[str] = (),
    too_large: Sequence[TooLarge] = (),
) -> list[DeadLetter]:
    entry = EntryRecords(POSITION, lines, [one.index for one in bad])
    return dead_letters_of(entry, raw, bad, too_large)


def record(index: int, **fields: str) -> str:
    return orjson.dumps({"id": f"{ID}.{index}", **fields}).decode()


def test_each_bad_tuple_has_an_item_of_its_own() -> None:
    letters = letters_of(b'["tuple 0","","tuple 1"]', bad(2))
    assert letters == [
        DeadLetter(POSITION, "not good", b"tuple 0", 0),
        DeadLetter(POSITION, "not good", b"tuple 1", 2),
    ]
    assert [letter.name for letter in letters] == [
        f"2026-01-01T00Z/000D3AF87856/{ID}.0.json",
        f"2026-01-01T00Z/000D3AF87856/{ID}.2.json",
    ]


def test_very_many_bad_tuples_of_an_entry_share_one_item() -> None:
    many = bad(MAX_ITEMS_PER_ENTRY + 1)
    (letter,) = letters_of(b"{raw}", many)
    assert letter.name == f"2026-01-01T00Z/000D3AF87856/{ID}.json"
    item = orjson.loads(letter.to_json())
    assert item["raw"] == "{raw}"
    assert item["reason"] == "17 tuples could not be read; the first: not good"
    assert item["tuples"] == [
        {"tuple_index": t.index, "raw": t.raw, "reason": t.reason} for t in many
    ]


@pytest.mark.parametrize(
    ("raw", "parsed"),
    [
        (b'["tuple 0",{"mac":1,"mac":2}]', '{"mac":2}'),
        (b'["tuple 0",123456789012345678901234567890]', "1.2345678901234568e29"),
        (b'["tuple 0",[[[[[[[[[[]]]]]]]]]]]', "[[[[[[[...]]]]]]]"),
    ],
)
def test_what_the_parser_may_have_changed_is_kept_with_the_whole_entry(
    raw: bytes, parsed: str
) -> None:
    both = [*bad(1), BadTuple(1, parsed, "not a string")]
    (letter,) = letters_of(raw, both)
    reason = "2 tuples could not be read; the first: not good"
    assert letter == DeadLetter(POSITION, reason, raw, None, tuple(both))
    assert letter.name == f"2026-01-01T00Z/000D3AF87856/{ID}.json"


def test_what_is_long_is_cut_in_the_list_of_very_many() -> None:
    """The entry, which is kept too, has all of it."""
    many = bad(MAX_ITEMS_PER_ENTRY + 2)
    many[0] = BadTuple(0, "é" * MAX_RAW_CHARACTERS, "not good")
    many[1] = BadTuple(2, "é" * (MAX_RAW_CHARACTERS + 1), "not good")
    (letter,) = letters_of(b"{raw}", many)
    cut = BadTuple(2, "é" * MAX_RAW_CHARACTERS + "…", "not good")
    assert letter.tuples == (many[0], cut, *many[2:])


def test_a_record_too_large_need_not_stand_in_the_entry() -> None:
    """Its index is that of its tuple: those that made no record are counted too."""
    lines = [record(index) for index in (1, 3, 4)]
    too_large = [TooLarge(0, "long"), TooLarge(2, "too")]
    *both_bad, one, two = letters_of(b"tuple 0 tuple 1", bad(2), lines, too_large)
    assert [letter.tuple_index for letter in both_bad] == [0, 2]
    assert one == DeadLetter(POSITION, "long", lines[0].encode(), 1)
    assert two == DeadLetter(POSITION, "too", lines[2].encode(), 4)


def test_very_many_records_too_large_take_little_more_than_their_entry() -> None:
    """Each repeats a name, and is more than a hundred times as long as its tuple."""
    lines = [record(index, rule="😀" + "r" * 70_000) for index in range(1, 201)]
    entry = EntryRecords(POSITION, lines, [0])
    too_large = [TooLarge(index, "long") for index in range(200)]
    tracemalloc.start()
    (letter,) = dead_letters_of(entry, b"tuple 0", bad(1), too_large)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000 < sum(map(len, entry.lines))
    assert letter.reason == "201 tuples could not be read; the first: not good"
    assert [one.index for one in letter.tuples] == list(range(201))
    assert len(letter.to_json()) < letter.held_bytes < 200_000


def test_bytes_that_are_no_text_are_kept_as_base64() -> None:
    letter = DeadLetter(POSITION, "not valid JSON", b"\xff\x00")
    assert orjson.loads(letter.to_json()) == {
        "schema": "flowlog-dead-letter/1",
        "id": ID,
        "reason": "not valid JSON",
        "source": {
            "account": "exampleaccount",
            "container": "insights-logs-example",
            "blob": BLOB.name,
            "generation": 3,
            "offset": 12,
            "tuple_index": None,
        },
        "raw_base64": "/wA=",
    }


def test_a_mac_that_is_no_mac_cannot_lead_a_name_astray() -> None:
    letter = DeadLetter(Position(some_blob(mac="..\\x?#"), 3, 12), "reason", b"")
    assert letter.name == f"2026-01-01T00Z/..!5c!x!3f!!23!/{letter.id}.json"


@pytest.mark.parametrize(
    ("mac", "segment"),
    [(".", "!2e!"), ("..", "!2e!!2e!"), ("...", "..."), ("a.", "a."), ("m" * 480, "m" * 480)],
)
def test_no_segment_of_a_name_is_one_that_a_path_loses(mac: str, segment: str) -> None:
    letter = DeadLetter(Position(some_blob(mac=mac)), "reason", b"")
    assert letter.name == f"2026-01-01T00Z/{segment}/{letter.id}.json"


def test_a_name_is_never_longer_than_a_blobs_may_be() -> None:
    """1,024 characters: Microsoft's "Naming and referencing containers, blobs, and metadata"."""
    letter = DeadLetter(Position(some_blob(mac="\U0001f600" * 200), 10**9, 10**12), "", b"", 10**6)
    assert len(letter.name) < 700


@pytest.mark.parametrize("code", ["InvalidResourceName", "InvalidInput", "NotYetInvented"])
def test_a_letter_whose_name_is_refused_is_stored_under_a_plain_one(
    caplog: pytest.LogCaptureFixture, code: str
) -> None:
    """It never keeps its blob from going on, whatever code the service has for it."""
    letter, stored, max_folders = DeadLetter(POSITION, "why", b"raw"), {}, 1

    class Strict:
        """A container that refuses names with more folders."""

        def upload_blob(self, name: str, content: bytes, **_: object) -> None:
            if name.count("/") > max_folders:
                answer: Any = SimpleNamespace(status_code=400, reason="")
                error = HttpResponseError("no", response=answer)
                error.error_code = code  # type: ignore[attr-defined]
                raise error
            stored[name] = content

        def create_container(self) -> None:
            raise AssertionError

    with closing(Parallel(2)) as parallel:
        store = BlobDeadLetters(Strict(), parallel)  # type: ignore[arg-type]
        store.put([letter])
        assert stored == {f"2026-01-01T00Z/{ID}.json": letter.to_json()}
        assert letter.plain_name in caplog.text
        stored.clear()
        max_folders = 0  # then it is not the name
        with pytest.raises(Refused):
            store.put([letter])
        assert stored == {}


def test_items_are_blobs_in_a_container_that_comes_into_being_by_itself(
    connection_string: str, unique: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    container = BlobServiceClient.from_connection_string(connection_string).get_container_client(
        unique("dead")
    )
    parallel = Parallel(4)
    store = BlobDeadLetters(container, parallel)
    letters = [
        *letters_of(b"tuple 0 tuple 1 tuple 2", bad(3)),
        *(DeadLetter(Position(some_blob(mac=mac)), "x", b"x") for mac in (".", "..", "m" * 500)),
        DeadLetter(POSITION.at(1), "x", b"\xff"),
    ]
    for _ in range(2):
        store.put(letters)
    parallel.close()
    kept = {b.name: container.download_blob(b.name).readall() for b in container.list_blobs()}
    assert kept == {letter.name: letter.to_json() for letter in letters}
    told = [f"dead letter {one.name} of {one.position.blob}: {one.reason}" for one in letters]
    assert sorted(caplog.messages) == sorted(told * 2)


def test_text_that_is_mostly_control_characters_is_kept_as_base64_as_that_is_shorter() -> None:
    """A blob full of zeroes would take six times its bytes."""
    zeroes = DeadLetter(POSITION, "not an entry", b"{" + bytes(1_000_000))
    few = DeadLetter(POSITION, "not an entry", b"\n\t\r\x00" + b"text" * 9)
    assert len(zeroes.to_json()) < 1_400_000
    assert b64decode(orjson.loads(zeroes.to_json())["raw_base64"]) == zeroes.raw
    assert orjson.loads(few.to_json())["raw"] == few.raw.decode()


@pytest.mark.parametrize(("controls", "key"), [(62, "raw"), (67, "raw_base64")])
def test_the_shorter_of_the_two_ways_is_taken(controls: int, key: str) -> None:
    letter = DeadLetter(POSITION, "not an entry", bytes(controls) + b"x" * (1000 - controls))
    assert key in orjson.loads(letter.to_json())
