"""Queue messages and back: nothing lost, nothing too large, the same every time."""

from __future__ import annotations

import gzip
import importlib
import random
import sys
import zlib
from base64 import b64decode, b64encode
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlog_core.blob import Position
from flowlog_core.consume import Batch, decode
from flowlog_core.parsing.entry import normalize
from flowlog_core.sinks import EntryRecords, TooLarge
from flowlog_core.sinks import message as module
from flowlog_core.sinks.message import MAX_MESSAGE_BYTES, Encoding, Message
from flowlog_core.testing.generate import FlowLogGenerator, Interface
from flowlog_core.testing.memory import some_blob

BLOB = some_blob()
POSITION = Position(BLOB, generation=2, offset=12)
LIMIT = 2400
ENCODINGS: list[Encoding] = ["json", "gzip"]


def messages_of(
    entry: EntryRecords, encoding: Encoding = "gzip", max_message_bytes: int = MAX_MESSAGE_BYTES
) -> tuple[list[Message], list[TooLarge]]:
    """All of them, drawn."""
    drawn, too_large = module.messages_of(entry, encoding, max_message_bytes)
    return list(drawn), too_large


def entry_of(texts: list[str], bad_indexes: frozenset[int] = frozenset()) -> EntryRecords:
    indexes = [i for i in range(len(texts) + len(bad_indexes)) if i not in bad_indexes]
    lines = [
        orjson.dumps({"id": f"x.{index}", "rule": text}).decode()
        for index, text in zip(indexes, texts, strict=False)
    ]
    return EntryRecords(POSITION, list(lines), bad_indexes)


def incompressible(texts: int, characters: int, seed: int = 1) -> list[str]:
    """Hexadecimal digits, which no compression makes less than half as long."""
    order = random.Random(seed)
    return [order.randbytes(characters // 2).hex() for _ in range(texts)]


@given(
    st.lists(
        st.text(max_size=300)
        | st.text(min_size=1500, max_size=2500)
        | st.integers(600, 4000).map(lambda size: incompressible(1, size, size)[0]),
        max_size=30,
    ),
    st.sampled_from(ENCODINGS),
    st.frozensets(st.integers(0, 30)),
)
def test_every_record_is_in_one_message_or_too_large_for_any(
    texts: list[str], encoding: Encoding, bad_indexes: frozenset[int]
) -> None:
    bad_indexes &= frozenset(range(len(texts)))
    entry = entry_of(texts, bad_indexes)
    messages, too_large = messages_of(entry, encoding, LIMIT)
    batches = [decode(message.text) for message in messages]
    carried = [orjson.dumps(record).decode() for batch in batches for record in batch.records]
    refused = [entry.lines[one.index] for one in too_large]
    assert sorted(carried + refused) == sorted(entry.lines)
    assert carried == [line for line in entry.lines if line not in refused]
    assert all(len(message.text) <= LIMIT for message in messages)
    assert all(batch.records for batch in batches)
    indexes = [[int(r["id"][2:]) for r in batch.records] for batch in batches]
    assert [batch.id for batch in batches] == [POSITION.message_id(carried) for carried in indexes]
    assert [batch.source["first_tuple"] for batch in batches] == [one[0] for one in indexes]
    assert [message.id for message in messages] == [batch.id for batch in batches]
    assert messages_of(entry, encoding, LIMIT) == (messages, too_large)


def test_a_message_says_where_its_records_come_from() -> None:
    messages, too_large = messages_of(entry_of(["a", "b"]))
    assert too_large == []
    assert [decode(message.text) for message in messages] == [
        Batch(
            f"{POSITION.blob_digest}.2.12.m0.2",
            {
                "account": "exampleaccount",
                "container": "insights-logs-example",
                "blob": BLOB.name,
                "generation": 2,
                "offset": 12,
                "first_tuple": 0,
            },
            [{"id": "x.0", "rule": "a"}, {"id": "x.1", "rule": "b"}],
        )
    ]


def test_an_entry_without_records_makes_no_message() -> None:
    assert messages_of(entry_of([])) == ([], [])


def test_messages_are_filled_to_the_limit() -> None:
    entry = entry_of(["x" * 500] * 1000)
    messages, _ = messages_of(entry, "json")
    assert len(messages) > 10
    assert sum(len(m.text) for m in messages[:-1]) > 0.97 * MAX_MESSAGE_BYTES * (len(messages) - 1)


@given(st.lists(st.text(max_size=300), max_size=30), st.integers(1000, 3000))
def test_the_same_id_has_the_same_content_whatever_made_the_message(
    texts: list[str], limit: int
) -> None:
    """However the entry was divided: by another encoding, library, level or limit."""
    found: dict[str, Batch] = {}
    for encoding in ENCODINGS:
        for max_bytes in (LIMIT, limit, MAX_MESSAGE_BYTES):
            for message in messages_of(entry_of(texts), encoding, max_bytes)[0]:
                batch = decode(message.text)
                assert found.setdefault(message.id, batch) == batch


def test_gzip_is_text_inside_which_a_queue_trigger_can_pass_on() -> None:
    """Base64 of base64 of gzip: what the extension decodes once is ASCII."""
    entry = entry_of(["a", "b"])
    ((_, text),), _ = messages_of(entry, "gzip")
    inside = b64decode(text, validate=True)
    assert inside.isascii()
    message = orjson.loads(gzip.decompress(b64decode(inside, validate=True)))
    assert message["records"] == [{"id": "x.0", "rule": "a"}, {"id": "x.1", "rule": "b"}]


def test_a_gzip_message_holds_36864_bytes_of_gzip_and_no_more() -> None:
    """64 KiB less two layers of base64."""
    sizes = []
    for messages, _ in (messages_of(entry_of(incompressible(n, 400))) for n in range(100, 200)):
        sizes += [len(b64decode(b64decode(message.text))) for message in messages]
        assert all(len(message.text) <= 65536 for message in messages)
    assert 36_600 < max(sizes) <= 36_864


def test_gzip_takes_at_most_256_kib_of_json_into_a_message() -> None:
    messages, _ = messages_of(entry_of([f"rule {i % 7}" * 40 for i in range(5000)]), "gzip")
    sizes = [len(gzip.decompress(b64decode(b64decode(message.text)))) for message in messages]
    assert max(sizes) <= 256 * 1024
    assert min(sizes[:-1]) > 250 * 1024


def test_what_does_not_fit_compressed_is_halved() -> None:
    messages, too_large = messages_of(entry_of(incompressible(128, 1000)))
    assert too_large == []
    assert [decode(message.text).id for message in messages] == [
        POSITION.message_id(range(first, first + 64)) for first in (0, 64)
    ]


def test_a_hundred_tuples_are_one_message_of_gzip_and_three_of_json() -> None:
    made = FlowLogGenerator(1).entry(
        "vnet4", Interface.vnet(), datetime(2026, 1, 1, tzinfo=UTC), 100
    )
    lines = normalize(orjson.loads(made.raw), f"{POSITION.entry_id}.").lines
    entry = EntryRecords(POSITION, lines)
    (packed,), _ = messages_of(entry, "gzip")
    plain, _ = messages_of(entry, "json")
    assert len(plain) == 3
    assert 10 * len(packed.text) < sum(len(message.text) for message in plain)


def test_without_igzip_the_messages_are_made_by_zlib(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = entry_of([f"rule {i % 7}" for i in range(200)])
    (by_igzip,), _ = messages_of(entry)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "isal.isal_zlib", None)  # as where there is no wheel
        importlib.reload(module)
        assert vars(module)["compress"] is zlib.compress
        (by_zlib,), _ = messages_of(entry)
    importlib.reload(module)
    assert vars(module)["compress"] is not zlib.compress
    assert by_zlib.text != by_igzip.text
    assert decode(by_zlib.text) == decode(by_igzip.text)


def test_a_record_too_large_for_any_message_is_given_back_with_the_reason() -> None:
    entry = entry_of(["a", incompressible(1, 80_000)[0], "b"])
    for encoding in ENCODINGS:
        messages, too_large = messages_of(entry, encoding)
        assert too_large == [TooLarge(1, "the record fits no queue message of 65536 bytes")]
        assert [r["rule"] for m in messages for r in decode(m.text).records] == ["a", "b"]


def test_a_long_record_that_fits_compressed_is_sent() -> None:
    entry = entry_of(["x" * 200_000])
    messages, too_large = messages_of(entry)
    assert ([decode(m.text).records[0]["rule"] for m in messages], too_large) == (
        ["x" * 200_000],
        [],
    )


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_consumer_may_decode_what_the_functions_host_already_unpacked(
    encoding: Encoding,
) -> None:
    text = messages_of(entry_of(["a"]), encoding)[0][0].text
    assert decode(b64decode(text)) == decode(text) == decode(text.encode())
    assert decode(b64decode(text).decode()) == decode(text)  # a trigger gives text


FIRST_VERSION = (
    b'{"schema":"flowlog/1","id":"d.2.12.p0","source":{"part":0,"parts":1},"count":1,'
    b'"records":[{"id":"d.2.12.0"}]}'
)


@pytest.mark.parametrize(
    "content",
    [
        FIRST_VERSION,
        b64encode(FIRST_VERSION),
        gzip.compress(FIRST_VERSION),
        b64encode(gzip.compress(FIRST_VERSION)),
    ],
    ids=["json", "json in base64", "gzip", "gzip in base64"],
)
def test_messages_of_the_first_version_are_read(content: bytes) -> None:
    assert decode(content) == Batch("d.2.12.p0", {"part": 0, "parts": 1}, [{"id": "d.2.12.0"}])


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("", "not a Flowlog message: "),
        ("{", "not a Flowlog message: "),
        ("no base64!", "not a Flowlog message: "),
        (b"\x1f\x8bnot gzip", "not a Flowlog message: "),
        (b64encode(b64encode(b64encode(b"{}"))), "not a Flowlog message: "),
        (gzip.compress(b"{}", mtime=0)[:-4], "not a Flowlog message: "),
        ("[]", "not a Flowlog message"),
        ("{}", "not a Flowlog message of schema 'flowlog/1'"),
        ('{"schema":"flowlog/2"}', "not a Flowlog message of schema 'flowlog/1'"),
        (
            '{"schema":"flowlog/1","id":"m","source":{},"count":2,"records":[{}]}',
            "message 'm': 2 records announced, 1 found",
        ),
        (
            '{"schema":"flowlog/1","id":"m","source":{},"records":[{}]}',
            "message 'm': None records announced, 1 found",
        ),
        (
            '{"schema":"flowlog/1","id":"m","source":{},"count":1,"records":[5]}',
            "message 'm': a record is not an object",
        ),
        *[
            (
                f'{{"schema":"flowlog/1","count":0{rest}}}',
                "not a Flowlog message of schema 'flowlog/1': id, source or records is wrong",
            )
            for rest in (
                "",
                ',"id":5,"source":{},"records":[]',
                ',"id":"m","source":[],"records":[]',
                ',"id":"m","source":{},"records":{}',
            )
        ],
    ],
)
def test_what_is_no_message_is_refused_with_a_reason(content: str | bytes, fault: str) -> None:
    with pytest.raises(ValueError, match=f"^{fault}"):
        decode(content)
