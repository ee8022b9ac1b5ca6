"""Stored dead letters: one contract for both stores, and the formats that stay readable."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from azure.storage.blob import BlobServiceClient

from flowlog_core.blob import Position
from flowlog_core.dead_letters import BlobDeadLetters, DeadLetter, DeadLetterStore
from flowlog_core.errors import Conflict, NotFound
from flowlog_core.operate.letters import (
    BadLetter,
    BlobLetters,
    LetterStore,
    StoredLetter,
    kind_of,
    read_letter,
)
from flowlog_core.parallel import Parallel
from flowlog_core.parsing import BadTuple
from flowlog_core.testing.letters import MemoryLetters
from flowlog_core.testing.memory import EPOCH, some_blob

BLOB = some_blob(7)
TUPLE = DeadLetter(Position(BLOB, 3, 12), "not an address: x", b"1,x", 2)
ENTRY = DeadLetter(Position(BLOB, 0, 5_000_000_000), "not valid JSON", b"\xff\x00")
MANY = DeadLetter(
    Position(BLOB, 0, 12), "2 tuples", b"{}", tuples=(BadTuple(0, "a", "b"), BadTuple(7, "c", "d"))
)
Stores = tuple[DeadLetterStore, LetterStore]


@pytest.fixture(params=["memory", "azurite"])
def stores(request: pytest.FixtureRequest, unique: Callable[[str], str]) -> Iterator[Stores]:
    """Where they are put, and where they are found."""
    if request.param == "memory":
        letters = MemoryLetters()
        yield letters, letters
        return
    service = BlobServiceClient.from_connection_string(request.getfixturevalue("connection_string"))
    container = service.get_container_client(unique("dead"))
    parallel = Parallel(2)
    yield BlobDeadLetters(container, parallel), BlobLetters(container)
    parallel.close()


def test_where_nothing_was_ever_stored_there_is_none(stores: Stores) -> None:
    _, letters = stores
    assert list(letters.all()) == []
    with pytest.raises(NotFound):
        letters.read(TUPLE.name)
    with pytest.raises(NotFound):
        letters.remove(TUPLE.name, '"x"')


def test_what_is_stored_is_listed_and_read_back_whole(stores: Stores) -> None:
    dead_letters, letters = stores
    dead_letters.put([TUPLE, ENTRY, MANY])
    listed = list(letters.all())
    assert [one.name for one in listed] == sorted(one.name for one in (TUPLE, ENTRY, MANY))
    assert {one.id for one in listed} == {TUPLE.id, ENTRY.id, MANY.id}
    digest = TUPLE.position.blob_digest
    assert {one[1:4] for one in listed} == {("2026-01-01T07Z", "000D3AF87856", digest)}
    for letter in (TUPLE, ENTRY, MANY):
        assert read_letter(letters.read(letter.name)[0]) == letter


def test_many_are_read_in_the_order_given_and_what_is_gone_is_left_out(stores: Stores) -> None:
    dead_letters, letters = stores
    many = [replace(TUPLE, tuple_index=index) for index in range(40)]
    dead_letters.put(many)
    backwards = list(letters.all())[::-1]
    gone = backwards.pop(5)
    letters.remove(gone.name, letters.read(gone.name)[1])
    read = list(letters.read_each([*backwards[:5], gone, *backwards[5:]]))
    assert [letter for letter, _ in read] == backwards
    by_name = {one.name: one for one in many}
    assert [read_letter(content) for _, content in read] == [by_name[one.name] for one in backwards]


def test_several_are_read_at_the_same_time() -> None:
    together = threading.Barrier(4, timeout=10)

    class SlowContainer:
        def download_blob(self, name: str) -> Any:
            together.wait()
            return SimpleNamespace(
                readall=name.encode, properties=SimpleNamespace(etag=f'"{name}"')
            )

    container: Any = SlowContainer()
    letters = [StoredLetter(f"{number}", "", "", "", EPOCH) for number in range(4)]
    read = BlobLetters(container).read_each(letters)
    assert [content for _, content in read] == [b"0", b"1", b"2", b"3"]


def test_one_is_removed_only_as_it_was_read(stores: Stores) -> None:
    dead_letters, letters = stores
    dead_letters.put([TUPLE])
    _, etag = letters.read(TUPLE.name)
    dead_letters.put([DeadLetter(TUPLE.position, "another reason", TUPLE.raw, 2)])
    with pytest.raises(Conflict):
        letters.remove(TUPLE.name, etag)
    letters.remove(TUPLE.name, letters.read(TUPLE.name)[1])
    assert list(letters.all()) == []


def test_one_is_created_once_and_replaced_only_as_it_was_read(stores: Stores) -> None:
    dead_letters, letters = stores
    dead_letters.put([ENTRY])  # which creates the container
    letters.create(TUPLE)
    with pytest.raises(Conflict):
        letters.create(TUPLE)
    other = DeadLetter(TUPLE.position, "another reason", TUPLE.raw, 2)
    _, etag = letters.read(TUPLE.name)
    letters.replace(TUPLE.name, other, etag)
    with pytest.raises(Conflict):
        letters.replace(TUPLE.name, TUPLE, etag)
    assert read_letter(letters.read(TUPLE.name)[0]) == other


# As 0.1 wrote them. Written out here, so that no later version loses the way to read them.
SOURCE: dict[str, Any] = {
    "account": "exampleaccount",
    "container": "insights-logs-example",
    "blob": BLOB.name,
    "generation": 3,
    "offset": 12,
    "tuple_index": 2,
}
HEAD = {"schema": "flowlog-dead-letter/1", "id": "x"}
GOLDEN: dict[str, tuple[dict[str, Any], DeadLetter]] = {
    "a tuple": ({**HEAD, "reason": "not an address: x", "source": SOURCE, "raw": "1,x"}, TUPLE),
    "bytes that are no text": (
        {
            **HEAD,
            "reason": "not valid JSON",
            "source": {**SOURCE, "generation": 0, "offset": 5_000_000_000, "tuple_index": None},
            "raw_base64": "/wA=",
        },
        ENTRY,
    ),
    "many tuples": (
        {
            **HEAD,
            "reason": "2 tuples",
            "source": {**SOURCE, "generation": 0, "tuple_index": None},
            "raw": "{}",
            "tuples": [
                {"tuple_index": 0, "raw": "a", "reason": "b"},
                {"tuple_index": 7, "raw": "c", "reason": "d"},
            ],
        },
        MANY,
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_a_letter_of_every_schema_reads_the_same_for_ever(name: str) -> None:
    stored, letter = GOLDEN[name]
    assert read_letter(orjson.dumps(stored)) == letter


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"{", "it is not a dead letter: "),
        (b"[]", "it is not a dead letter: "),
        (b"{}", "it is not a dead letter: "),
        (orjson.dumps({**HEAD, "schema": "x/2"}), "its schema is 'x/2'"),
        (orjson.dumps({**HEAD, "schema": ["x"]}), "it is not a dead letter: "),
        (
            orjson.dumps({**HEAD, "reason": "r", "source": {**SOURCE, "blob": "x"}, "raw": ""}),
            "its source is not a flow log: 'x'",
        ),
    ],
    ids=["cut off", "a list", "empty", "a later schema", "an odd schema", "no flow log"],
)
def test_what_cannot_be_read_says_why(content: bytes, why: str) -> None:
    with pytest.raises(BadLetter, match=why):
        read_letter(content)


def test_a_name_without_the_mac_is_known_too() -> None:
    """As it is stored where the service refuses a name with it."""
    assert StoredLetter.of(TUPLE.plain_name, EPOCH) == (
        *(TUPLE.plain_name, "2026-01-01T07Z", "", TUPLE.position.blob_digest, EPOCH),
    )


@pytest.mark.parametrize("name", ["x.json", "2026-01-01T07Z/mac/abc.0.12.json", "a/b/c"])
def test_other_blobs_of_the_container_are_left_alone(name: str) -> None:
    assert StoredLetter.of(name, EPOCH) is None


def test_reasons_of_one_kind_have_one_name() -> None:
    assert kind_of("not an address: 'x:y'") == "not an address"
    assert kind_of("17 tuples could not be read; the first: not an address: x") == "not an address"
    assert kind_of("the blob ends before the entry does") == "the blob ends before the entry does"
