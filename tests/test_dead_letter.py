"""Dead letters: named by position, whole, the same when they are kept twice."""

from __future__ import annotations

from collections.abc import Callable

import orjson
import pytest
from azure.storage.blob import BlobServiceClient

from flowlog_core.dead_letter import (
    MOST_ITEMS_PER_ENTRY,
    BlobDeadLetters,
    DeadLetter,
    dead_letters_of,
)
from flowlog_core.normalize import BadTuple
from flowlog_core.records import Source
from flowlog_core.sinks.parallel import Parallel
from flowlog_core.testing.memory import some_blob

BLOB = some_blob()
SOURCE = Source(BLOB.account, BLOB.container, BLOB.name, 3)
POSITION = f"{SOURCE.digest}.3.12"


def bad(count: int) -> list[BadTuple]:
    return [BadTuple(index * 2, f"tuple {index}", "not good") for index in range(count)]


def test_each_bad_tuple_has_an_item_of_its_own() -> None:
    letters = dead_letters_of(BLOB, SOURCE, 12, b'["tuple 0","","tuple 1"]', bad(2))
    assert letters == [
        DeadLetter(BLOB, SOURCE, 12, "not good", b"tuple 0", 0),
        DeadLetter(BLOB, SOURCE, 12, "not good", b"tuple 1", 2),
    ]
    assert [letter.name for letter in letters] == [
        f"2026-01-01T00Z/000D3AF87856/{POSITION}.0.json",
        f"2026-01-01T00Z/000D3AF87856/{POSITION}.2.json",
    ]


def test_very_many_bad_tuples_of_an_entry_share_one_item() -> None:
    many = bad(MOST_ITEMS_PER_ENTRY + 1)
    (letter,) = dead_letters_of(BLOB, SOURCE, 12, b"{raw}", many)
    assert letter.name == f"2026-01-01T00Z/000D3AF87856/{POSITION}.json"
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
    (letter,) = dead_letters_of(BLOB, SOURCE, 12, raw, both)
    reason = "2 tuples could not be read; the first: not good"
    assert letter == DeadLetter(BLOB, SOURCE, 12, reason, raw, None, tuple(both))
    assert letter.name == f"2026-01-01T00Z/000D3AF87856/{POSITION}.json"


def test_a_record_too_large_need_not_stand_in_the_entry() -> None:
    (letter,) = dead_letters_of(BLOB, SOURCE, 12, b"", [], bad(1))
    assert letter == DeadLetter(BLOB, SOURCE, 12, "not good", b"tuple 0", 0)


def test_bytes_that_are_no_text_are_kept_as_base64() -> None:
    letter = DeadLetter(BLOB, SOURCE, 12, "not valid JSON", b"\xff\x00")
    assert orjson.loads(letter.to_json()) == {
        "schema": "flowlog-dead-letter/1",
        "id": POSITION,
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
    letter = DeadLetter(some_blob(mac="..\\x?#"), SOURCE, 12, "reason", b"")
    assert letter.name == f"2026-01-01T00Z/..!5c!x!3f!!23!/{POSITION}.json"


def test_items_are_blobs_in_a_container_that_comes_into_being_by_itself(
    connection_string: str, unique: Callable[[str], str]
) -> None:
    container = BlobServiceClient.from_connection_string(connection_string).get_container_client(
        unique("dead")
    )
    parallel = Parallel(4)
    store = BlobDeadLetters(container, parallel)
    letters = [
        *dead_letters_of(BLOB, SOURCE, 12, b"tuple 0 tuple 1 tuple 2", bad(3)),
        DeadLetter(BLOB, SOURCE, 1, "x", b"\xff"),
    ]
    for _ in range(2):
        store.put(letters)
    parallel.close()
    kept = {b.name: container.download_blob(b.name).readall() for b in container.list_blobs()}
    assert kept == {letter.name: letter.to_json() for letter in letters}
