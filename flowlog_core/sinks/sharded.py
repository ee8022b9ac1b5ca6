"""Combines several sinks of one kind. An interface always has the same shard."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from flowlog_core.sinks import EntryRecords, Packed, Sink
from flowlog_core.sinks.shards import shard_of


class ShardMessage(NamedTuple):
    """A message, and the shard whose sink packed it."""

    shard: int
    message: Any


class ShardedSink:
    """Passes each entry to the sink of its interface's shard."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = sinks

    def pack(self, entry: EntryRecords) -> Packed:
        """See `Sink.pack`; the messages are `ShardMessage`s."""
        shard = shard_of(entry.position.blob, len(self._sinks))
        messages, too_large = self._sinks[shard].pack(entry)
        return Packed((ShardMessage(shard, message) for message in messages), too_large)

    def send(self, messages: Iterable[ShardMessage]) -> int:
        """See `Sink.send`. All messages of a blob have one shard, so they are sent in parallel."""
        return sum(
            self._sinks[shard].send(message.message for message in run)
            for shard, run in groupby(messages, key=lambda message: message.shard)
        )
