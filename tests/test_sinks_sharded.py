"""Several sinks as one: every entry goes to its interface's, and a failure comes out as theirs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from flowlog_core.blob import BlobRef, Position
from flowlog_core.errors import Unavailable
from flowlog_core.sinks import EntryRecords, TooLarge
from flowlog_core.sinks.message import Message, messages_of
from flowlog_core.sinks.sharded import ShardedSink
from flowlog_core.sinks.shards import shard_of
from flowlog_core.testing.memory import MemorySink, some_blob

BLOBS = [some_blob(mac=f"000D3A{number:06X}") for number in range(20)]


def entry(blob: BlobRef, records: Sequence[str] = ('{"id":"a"}', '{"id":"b"}')) -> EntryRecords:
    return EntryRecords(Position(blob, offset=12), list(records))


def shards_met() -> set[int]:
    return {shard_of(blob, 3) for blob in BLOBS}


def test_each_entry_goes_to_its_shard_as_that_packs_it() -> None:
    """Several interfaces in one sending, one after the other: all arrive, in the order given."""
    sinks = [MemorySink() for _ in range(3)]
    sharded = ShardedSink(sinks)
    assert shards_met() == {0, 1, 2}
    expected: list[list[Message]] = [[], [], []]
    messages: list[Any] = []
    for blob in BLOBS:
        expected[shard_of(blob, 3)] += messages_of(entry(blob))[0]
        messages += sharded.pack(entry(blob)).messages
    assert sharded.send(iter(messages)) == len(BLOBS)
    assert [sink.messages for sink in sinks] == expected


def test_what_is_too_large_for_a_shard_is_given_back() -> None:
    long = "x" * 70_000
    packed = ShardedSink([MemorySink("json"), MemorySink("json")]).pack(entry(BLOBS[0], [long]))
    reason = "the record fits no queue message of 65536 bytes"
    assert (list(packed.messages), packed.too_large) == ([], [TooLarge(0, reason)])


def test_nothing_to_send_is_nothing_sent() -> None:
    assert ShardedSink([MemorySink(), MemorySink()]).send([]) == 0


def test_messages_are_drawn_one_by_one_and_what_drawing_raises_comes_out() -> None:
    """The claim is kept while messages are drawn: see `Sink.send`."""
    sinks = [MemorySink() for _ in range(3)]
    sharded = ShardedSink(sinks)
    (message,) = sharded.pack(entry(BLOBS[0])).messages
    sent_before = []

    def messages() -> Iterator[Any]:
        for _ in range(3):
            sent_before.append(sum(len(sink.messages) for sink in sinks))
            yield message
        raise Unavailable("the claim cannot be kept")

    with pytest.raises(Unavailable, match="the claim cannot be kept"):
        sharded.send(messages())
    assert sent_before == [0, 1, 2]
    assert sum(len(sink.messages) for sink in sinks) == 3
