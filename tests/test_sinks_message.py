"""Queue messages and back: nothing lost, nothing too large, the same every time."""

from __future__ import annotations

import gzip
import random
from base64 import b64decode
from collections.abc import Sequence

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlog_core.blob import Position
from flowlog_core.consume import Batch, decode
from flowlog_core.parsing.record import Lines
from flowlog_core.sinks import EntryRecords, TooLarge
from flowlog_core.sinks import message as module
from flowlog_core.sinks.message import MAX_MESSAGE_BYTES, Encoding, Message
from flowlog_core.testing.memory import some_blob

BLOB = some_blob()
POSITION = Position(BLOB, generation=2, offset=12)
LIMIT = 2400
ENCODINGS: list[Encoding] = ["json", "gzip"]


def messages_of(
    entry: EntryRecords, encoding: Encoding = "json", max_message_bytes: int = MAX_MESSAGE_BYTES
) -> tuple[list[Message], list[TooLarge]]:
    """All of them, drawn."""
    drawn, too_large = module.messages_of(entry, encoding, max_message_bytes)
    return list(drawn), too_large


def entry_of(texts: list[str]) -> EntryRecords:
    lines = [orjson.dumps({"id": f"x.{i}", "rule": text}).decode() for i, text in enumerate(texts)]
    return EntryRecords(POSITION, Lines.of(lines))


@given(
    st.lists(st.text(max_size=300) | st.text(min_size=1500, max_size=2500), max_size=30),
    st.sampled_from(ENCODINGS),
)
def test_every_record_is_in_one_message_or_too_large_for_any(
    texts: list[str], encoding: Encoding
) -> None:
    entry = entry_of(texts)
    messages, too_large = messages_of(entry, encoding, LIMIT)
    batches = [decode(message.text) for message in messages]
    carried = [orjson.dumps(record).decode() for batch in batches for record in batch.records]
    refused = [entry.lines[one.index] for one in too_large]
    assert sorted(carried + refused) == sorted(entry.lines)
    assert carried == [line for line in entry.lines if line not in refused]
    assert all(len(message.text) <= LIMIT for message in messages)
    assert all(batch.records for batch in batches)
    assert [batch.id for batch in batches] == [
        f"{POSITION.blob_digest}.2.12.p{part}" for part in range(len(batches))
    ]
    assert [message.id for message in messages] == [batch.id for batch in batches]
    assert messages_of(entry, encoding, LIMIT) == (messages, too_large)


def test_a_message_says_where_its_records_come_from() -> None:
    messages, too_large = messages_of(entry_of(["a", "b"]))
    assert too_large == []
    assert [decode(message.text) for message in messages] == [
        Batch(
            f"{POSITION.blob_digest}.2.12.p0",
            {
                "account": "exampleaccount",
                "container": "insights-logs-example",
                "blob": BLOB.name,
                "generation": 2,
                "offset": 12,
                "part": 0,
                "parts": 1,
            },
            [{"id": "x.0", "rule": "a"}, {"id": "x.1", "rule": "b"}],
        )
    ]


def test_an_entry_without_records_makes_no_message() -> None:
    assert messages_of(entry_of([])) == ([], [])


def test_messages_are_filled_to_the_limit() -> None:
    entry = entry_of(["x" * 500] * 1000)
    messages, _ = messages_of(entry)
    assert [decode(m.text).source["parts"] for m in messages] == [len(messages)] * len(messages)
    assert sum(len(m.text) for m in messages[:-1]) > 0.97 * MAX_MESSAGE_BYTES * (len(messages) - 1)


def test_gzip_packs_more_into_a_message() -> None:
    entry = entry_of([f"rule {i % 7}" * 40 for i in range(2000)])
    assert len(messages_of(entry, "gzip")[0]) * 5 < len(messages_of(entry, "json")[0])


def test_a_record_too_large_for_any_message_is_given_back_with_the_reason() -> None:
    entry = entry_of(["a", "x" * 70_000, "b"])
    messages, too_large = messages_of(entry)
    assert too_large == [TooLarge(1, "the record fits no queue message of 65536 bytes")]
    assert [r["rule"] for m in messages for r in decode(m.text).records] == ["a", "b"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_consumer_may_decode_what_the_functions_host_already_unpacked(
    encoding: Encoding,
) -> None:
    text = messages_of(entry_of(["a"]), encoding)[0][0].text
    assert decode(b64decode(text)) == decode(text) == decode(text.encode())


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("", "not a Flowlog message: "),
        ("{", "not a Flowlog message: "),
        ("no base64!", "not a Flowlog message: "),
        (b"\x1f\x8bnot gzip", "not a Flowlog message: "),
        (gzip.compress(b"{}", mtime=0)[:-4], "not a Flowlog message: "),
        ("[]", "not a Flowlog message"),
        ("{}", "not a Flowlog message of schema 'flowlog/1'"),
        ('{"schema":"flowlog/2"}', "not a Flowlog message of schema 'flowlog/1'"),
        (
            '{"schema":"flowlog/1","id":"m","source":{},"count":2,"records":[{}]}',
            "message m: 2 records announced, 1 found",
        ),
        (
            '{"schema":"flowlog/1","id":"m","source":{},"records":[{}]}',
            "message m: None records announced, 1 found",
        ),
        (
            '{"schema":"flowlog/1","id":"m","source":{},"count":1,"records":[5]}',
            "message m: a record is not an object",
        ),
        *[
            (
                f'{{"schema":"flowlog/1","count":0{rest}}}',
                "not a Flowlog message of schema 'flowlog/1': id, source or records amiss",
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


def test_no_message_is_too_large_whatever_its_numbers_do_to_gzip(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A beginning may take all that one can, where that of the widest numbers took nothing."""

    def unlucky(parts: Sequence[bytes | memoryview]) -> bytes:
        start, *others = parts
        most = len(start) + module._GZIP_ADDS_BYTES if start else 0
        return b"".join((b"x" * most, *others))

    monkeypatch.setattr(module, "_gzipped", unlucky)
    monkeypatch.setattr(module, "_WIDEST", 99)  # no more than there may be here
    entry = entry_of(["some text"] * 32)
    for limit in range(1600, 3200, 4):  # so that some messages are just as large as they may be
        messages, too_large = messages_of(entry, "gzip", limit)
        assert (max(len(message.text) for message in messages) <= limit, too_large) == (True, [])


@given(st.binary(max_size=2000), st.binary(max_size=300))
def test_what_a_beginning_adds_to_gzip_is_bounded(start: bytes, behind: bytes) -> None:
    alone = module._gzipped((b"", behind))
    whole = module._gzipped((start, behind))
    assert gzip.decompress(whole) == start + behind
    assert len(whole) <= len(alone) + len(start) + module._GZIP_ADDS_BYTES


def test_what_follows_the_beginning_does_not_refer_back_to_it() -> None:
    """So it takes the same room behind any other."""
    start = random.Random(1).randbytes(1000)
    assert len(module._gzipped((start, start))) > 2000
