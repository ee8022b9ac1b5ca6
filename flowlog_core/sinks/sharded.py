"""Several sinks of one kind as one: each interface has a shard, and that is always the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from flowlog_core.shards import shard_of
from flowlog_core.sinks import EntryRecords, Packed, Sink


class ShardMessage(NamedTuple):
    """What a shard's own sink packed, and which shard that is."""

    shard: int
    message: Any


class ShardedSink:
    """Hands each entry to the sink of its interface."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = sinks

    def pack(self, entry: EntryRecords) -> Packed:
        """See `Sink.pack`; the messages are `ShardMessage`s."""
        shard = shard_of(entry.position.blob, len(self._sinks))
        messages, too_large = self._sinks[shard].pack(entry)
        return Packed((ShardMessage(shard, message) for message in messages), too_large)

    def send(self, messages: Iterable[ShardMessage]) -> int:
        """See `Sink.send`. Messages of one blob all have one shard, so they go out side by side."""
        return sum(
            self._sinks[shard].send(message.message for message in run)
            for shard, run in groupby(messages, key=lambda message: message.shard)
        )
