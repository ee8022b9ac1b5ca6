"""Records in a file of NDJSON, one per line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO

from flowlog_core.sinks import EntryRecords, Packed, Sink


class RecordFile:
    """A `Sink` that writes lines. Leaves out the records that are too large for the sink `like`.

    Those were never sent: they are in dead letters.
    """

    def __init__(self, out: IO[bytes], like: Sink) -> None:
        self._out, self._like = out, like

    def pack(self, entry: EntryRecords) -> Packed:
        """See `Sink.pack`; the one message is the text of the records that fit."""
        too_large = self._like.pack(entry).too_large
        left_out = {one.index for one in too_large}
        text = "".join(
            f"{line}\n" for index, line in enumerate(entry.lines) if index not in left_out
        )
        return Packed([text.encode()] if text else [], too_large)

    def send(self, messages: Iterable[bytes]) -> int:
        """See `Sink.send`. Raises `OSError` as the file does."""
        count = 0
        for count, message in enumerate(messages, start=1):  # noqa: B007 - the last is the answer
            self._out.write(message)
        self._out.flush()
        return count
