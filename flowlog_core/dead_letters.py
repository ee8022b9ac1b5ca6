"""Dead letters: input that could not be read, each in a JSON blob named by its position.

    2024-08-19T18Z/6045BDEC2532/<digest>.<generation>.<offset>[.<tuple index>].json

Name and content depend on the position alone, so a repeat replaces the same blob. Where the service
refuses a name, the part between hour and digest is left out.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Protocol

import orjson
from azure.storage.blob import ContainerClient, ContentSettings
from pybase64 import b64encode_as_string

from flowlog_core.blob import Position, hour_key
from flowlog_core.checkpoints.checkpoint import table_key
from flowlog_core.errors import Refused, storage_errors
from flowlog_core.observe.printable import printable
from flowlog_core.parallel import Parallel
from flowlog_core.parsing import BadTuple
from flowlog_core.sinks import EntryRecords, TooLarge
from flowlog_core.storage.create_on_demand import create_if_missing
from flowlog_core.storage.timeouts import time_limit

log = logging.getLogger(__name__)

SCHEMA = "flowlog-dead-letter/1"
CONTENT_SETTINGS = ContentSettings(content_type="application/json")
MAX_ITEMS_PER_ENTRY = 16
"""More bad tuples of one entry share a dead letter, so that an unknown format does not cost a
storage call a tuple."""
_CONTROLS = bytes(set(range(32)) - set(b"\b\t\n\f\r"))  # without a short escape in JSON
MAX_RAW_CHARACTERS = 256
"""Of each tuple in a shared dead letter, which holds the entry too."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Input that was not forwarded: where it was, what it was, and why."""

    position: Position
    """Of the entry, or of the damaged span."""
    reason: str
    raw: bytes
    """The damaged bytes, the entry or the tuple, as written."""
    tuple_index: int | None = None
    """Which tuple of the entry; None for a whole entry or span."""
    tuples: Sequence[BadTuple] = ()
    """The bad tuples, if many of one entry share a dead letter; long ones are cut."""

    @property
    def held_bytes(self) -> int:
        """About how much memory it takes, in bytes."""
        return 1000 + len(self.raw) + sum(300 + len(bad.raw) for bad in self.tuples)

    @property
    def id(self) -> str:
        """The id that the tuple's record would have had, or the id of the entry."""
        if self.tuple_index is None:
            return self.position.entry_id
        return self.position.record_id(self.tuple_index)

    @property
    def name(self) -> str:
        """The name of its blob."""
        of = self.position.blob.log
        return f"{hour_key(of.hour)}/{_segment(of.mac)}/{self.id}.json"

    @property
    def plain_name(self) -> str:
        """Without any part of the log's name, for a service that refuses `name`."""
        return f"{hour_key(self.position.blob.log.hour)}/{self.id}.json"

    def to_json(self) -> bytes:
        """The content of its blob.

        `raw_base64` takes the place of `raw` for bytes that are not UTF-8, and for bytes with so
        many control characters that escaping them would take more space.
        """
        item: dict[str, Any] = {
            "schema": SCHEMA,
            "id": self.id,
            "reason": self.reason,
            "source": {**self.position.source, "tuple_index": self.tuple_index},
        }
        text = _text(self.raw)
        if text is None:
            item["raw_base64"] = b64encode_as_string(self.raw)
        else:
            item["raw"] = text
        if self.tuples:
            item["tuples"] = [
                {"tuple_index": bad.index, "raw": bad.raw, "reason": bad.reason}
                for bad in self.tuples
            ]
        return orjson.dumps(item)


def _segment(text: str) -> str:
    """`text` as a segment of a blob's name: as in a key, and neither `.` nor `..`.

    HTTP libraries take those two out of a path, after the request was signed.
    """
    return text.replace(".", "!2e!") if text in (".", "..") else table_key(text)


def dead_letters_of(
    entry: EntryRecords, raw: bytes, bad: Sequence[BadTuple], too_large: Sequence[TooLarge] = ()
) -> list[DeadLetter]:
    """One dead letter for each bad tuple and too large record of an entry, or one for them all.

    One for them all holds the whole entry, `raw`. It is used if there are very many, or if a bad
    tuple's text is not found in the entry. Then the text was made by a parser, which may have lost
    digits of a long number, or a key that occurs twice.
    """
    count = len(bad) + len(too_large)
    if count <= MAX_ITEMS_PER_ENTRY and all(_bytes(one) in raw for one in bad):
        both = _both(entry, bad, too_large)
        return [DeadLetter(entry.position, b.reason, _bytes(b), b.index) for b in both]
    return [letter_with_entry(entry, raw, bad, too_large)]


def letter_with_entry(
    entry: EntryRecords, raw: bytes, bad: Sequence[BadTuple], too_large: Sequence[TooLarge] = ()
) -> DeadLetter:
    """One dead letter for all bad tuples and too large records, with the whole entry, `raw`."""
    tuples = tuple(replace(one, raw=_cut(one.raw)) for one in _both(entry, bad, too_large))
    told = "1 tuple" if len(tuples) == 1 else f"{len(tuples)} tuples"
    reason = f"{told} could not be read; the first: {tuples[0].reason}"
    return DeadLetter(entry.position, reason, raw, tuples=tuples)


def _both(
    entry: EntryRecords, bad: Sequence[BadTuple], too_large: Sequence[TooLarge]
) -> Iterator[BadTuple]:
    indexes = entry.tuple_indexes if too_large else ()
    refused = (
        BadTuple(indexes[one.index], entry.lines[one.index], one.reason) for one in too_large
    )
    return chain(bad, refused)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_RAW_CHARACTERS else text[:MAX_RAW_CHARACTERS] + "…"


def _text(raw: bytes) -> str | None:
    controls = len(raw) - len(raw.translate(None, _CONTROLS))
    if 5 * controls > len(raw) / 3:  # JSON needs six bytes for each, base64 four for three
        return None
    with suppress(UnicodeDecodeError):
        return raw.decode()
    return None


def _bytes(bad: BadTuple) -> bytes:
    return bad.raw.encode("utf-8", "surrogatepass")


class DeadLetterStore(Protocol):
    """Where dead letters are kept."""

    def put(self, letters: Iterable[DeadLetter]) -> None:
        """Store all; returns once all are stored. Raises a `StorageError`."""
        ...


class BlobDeadLetters:
    """Stores them in a blob container, which is created on first use."""

    def __init__(self, container: ContainerClient, parallel: Parallel) -> None:
        self._container, self._parallel = container, parallel

    def put(self, letters: Iterable[DeadLetter]) -> None:
        """See `DeadLetterStore.put`."""
        self._parallel(letters, self._put_one)

    def _put_one(self, letter: DeadLetter) -> None:
        name, content = letter.name, letter.to_json()
        try:
            self._upload(name, content, letter.position.entry_id)
        except Refused as refused:  # most likely for its name, whatever code says so
            name = letter.plain_name
            log.warning("%s; it is stored as %s", refused, name)
            self._upload(name, content)
        log.warning(
            "dead letter %s of %s: %s", name, letter.position.blob, printable(letter.reason)
        )

    def _upload(self, name: str, content: bytes, item_of: str = "") -> None:
        with storage_errors(f"storing dead letter {name}", item_of), time_limit():
            create_if_missing(
                lambda: self._container.upload_blob(
                    name,
                    content,
                    overwrite=True,
                    content_settings=CONTENT_SETTINGS,
                ),
                self._container.create_container,
            )
