"""Dead letters as they are stored: list them, read one back, remove one that has not changed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import orjson
from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import ContainerClient
from pybase64 import b64decode

from flowlog_core.blob import BlobRef, Position
from flowlog_core.dead_letters import CONTENT_SETTINGS, SCHEMA, DeadLetter
from flowlog_core.errors import NotFound, Refused, storage_errors
from flowlog_core.parsing import BadTuple
from flowlog_core.storage.create_on_demand import is_missing

_AT_A_TIME = 16
_NAME = re.compile(
    r"(?P<hour>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}Z)/(?:(?P<mac>[^/]+)/)?(?P<digest>[0-9a-f]{24})"
    r"\.[0-9]+\.[0-9]+(?:\.[0-9]+)?\.json",
    re.ASCII,
)


class StoredLetter(NamedTuple):
    """A dead letter as a listing shows it."""

    name: str
    hour: str
    """Of the flow log that it is of, such as 2024-08-19T18Z."""
    mac: str
    """Empty where the service refused a name that has it."""
    blob_digest: str
    """`Position.blob_digest` of that flow log."""
    stored_at: datetime
    """Aware UTC. When it was written last: a repeat replaces it."""

    @property
    def id(self) -> str:
        """The id of the entry, or of the tuple's record."""
        return self.name.rsplit("/", 1)[-1].removesuffix(".json")

    @classmethod
    def of(cls, name: str, stored_at: datetime) -> StoredLetter | None:
        """What a blob's name says. None if it is not the name of a dead letter."""
        match = _NAME.fullmatch(name)
        return match and cls(name, match["hour"], match["mac"] or "", match["digest"], stored_at)


class LetterStore(Protocol):
    """Where dead letters are kept. All methods raise a `StorageError`."""

    def all(self) -> Iterator[StoredLetter]:
        """All of them, in the order of their names; none where no container exists."""
        ...

    def read(self, name: str) -> tuple[bytes, str]:
        """The content of one, and its ETag. Raises `NotFound`."""
        ...

    def read_each(self, letters: Sequence[StoredLetter]) -> Iterator[tuple[StoredLetter, bytes]]:
        """The content of each that is still there, in the order given."""
        ...

    def create(self, letter: DeadLetter) -> None:
        """Store one. Raises `Conflict` if there is one of its name."""
        ...

    def replace(self, name: str, letter: DeadLetter, etag: str) -> None:
        """Replace the letter of its name. Raises `Conflict` unless that is still `etag`."""
        ...

    def remove(self, name: str, etag: str) -> None:
        """Remove one. Raises `Conflict` unless its ETag is still `etag`, or `NotFound`."""
        ...


class BlobLetters:
    """A `LetterStore` on a blob container. Creates nothing."""

    def __init__(self, container: ContainerClient) -> None:
        self._container = container

    def all(self) -> Iterator[StoredLetter]:
        """See `LetterStore.all`."""
        with storage_errors(f"listing the dead letters in {self._container.container_name}"):
            try:
                for blob in self._container.list_blobs():
                    letter = StoredLetter.of(blob.name, blob.last_modified)
                    if letter is not None:
                        yield letter
            except HttpResponseError as error:
                if not is_missing(error):
                    raise

    def read(self, name: str) -> tuple[bytes, str]:
        """See `LetterStore.read`."""
        with storage_errors(f"reading dead letter {name}"):
            stream = self._container.download_blob(name)
            return stream.readall(), str(stream.properties.etag)

    def read_each(self, letters: Sequence[StoredLetter]) -> Iterator[tuple[StoredLetter, bytes]]:
        """See `LetterStore.read_each`. Reads `_AT_A_TIME` at the same time."""
        with ThreadPoolExecutor(_AT_A_TIME, thread_name_prefix="flowlog-letters") as threads:
            for first in range(0, len(letters), _AT_A_TIME):
                page = letters[first : first + _AT_A_TIME]
                for letter, content in zip(page, threads.map(self._content, page), strict=True):
                    if content is not None:
                        yield letter, content

    def _content(self, letter: StoredLetter) -> bytes | None:
        with suppress(NotFound):  # removed since it was listed
            return self.read(letter.name)[0]
        return None

    def create(self, letter: DeadLetter) -> None:
        """See `LetterStore.create`."""
        try:
            self._create(letter.name, letter)
        except Refused:  # as `BlobDeadLetters` has it
            self._create(letter.plain_name, letter)

    def _create(self, name: str, letter: DeadLetter) -> None:
        with storage_errors(f"storing dead letter {name}", letter.position.entry_id):
            self._container.upload_blob(name, letter.to_json(), content_settings=CONTENT_SETTINGS)

    def replace(self, name: str, letter: DeadLetter, etag: str) -> None:
        """See `LetterStore.replace`."""
        with storage_errors(f"replacing dead letter {name}"):
            self._container.upload_blob(
                name,
                letter.to_json(),
                overwrite=True,
                content_settings=CONTENT_SETTINGS,
                etag=etag,
                match_condition=MatchConditions.IfNotModified,
            )

    def remove(self, name: str, etag: str) -> None:
        """See `LetterStore.remove`."""
        with storage_errors(f"removing dead letter {name}"):
            self._container.delete_blob(
                name, etag=etag, match_condition=MatchConditions.IfNotModified
            )


class BadLetter(ValueError):
    """A dead letter that this version cannot read; the text says why."""


def read_letter(content: bytes) -> DeadLetter:
    """The dead letter that a blob of any known schema holds. Raises `BadLetter`."""
    try:
        item = orjson.loads(content)
        schema = item["schema"]
        if schema in _READERS:
            return _READERS[schema](item)
    except BadLetter:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadLetter(f"it is not a dead letter: {type(error).__name__}: {error}") from error
    raise BadLetter(
        f"its schema is {schema!r}, and this version of Flowlog reads {', '.join(_READERS)}: was "
        "it written by a newer one?"
    )


def _letter_of_1(item: Mapping[str, Any]) -> DeadLetter:
    source = item["source"]
    blob = BlobRef.parse(f"{source['account']}/{source['container']}/{source['blob']}")
    if blob is None:
        raise BadLetter(f"its source is not a flow log: {source['blob']!r}")
    has_text = "raw" in item
    return DeadLetter(
        Position(blob, int(source["generation"]), int(source["offset"])),
        str(item["reason"]),
        item["raw"].encode() if has_text else b64decode(item["raw_base64"], validate=True),
        source["tuple_index"],
        tuple(
            BadTuple(one["tuple_index"], one["raw"], one["reason"])
            for one in item.get("tuples", ())
        ),
    )


_READERS: dict[str, Callable[[Mapping[str, Any]], DeadLetter]] = {SCHEMA: _letter_of_1}


def kind_of(reason: str) -> str:
    """What reasons of one kind have in common: the text before the value that was found.

    `17 tuples could not be read; the first: not an address: x` is `not an address`.
    """
    return reason.rpartition("; the first: ")[2].partition(": ")[0]
