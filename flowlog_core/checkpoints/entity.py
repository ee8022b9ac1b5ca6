"""One entity of an Azure Storage table at a time: every write conditional, every answer timed.

An entity's `format` says how its properties are to be read; it is raised when their meaning
changes, and every format that was ever written stays readable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote, urlencode

import orjson
from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.data.tables import TableClient

from flowlog_core.checkpoints.checkpoint import CheckpointKey
from flowlog_core.errors import Refused, Unavailable, storage_errors
from flowlog_core.storage.create_on_demand import create_if_missing, is_missing
from flowlog_core.storage.requests import TABLE_VERSIONS, Sender, entity_path, table_json
from flowlog_core.storage.responses import error_code, server_time
from flowlog_core.storage.timeouts import time_limit

T = TypeVar("T")


class Found(NamedTuple):
    """A page of what a query finds; it may be empty, and still not be the last one."""

    entities: list[dict[str, Any]]
    after: str
    """Leads to the next page; empty on the last one."""
    server_time: datetime


class Stored(NamedTuple):
    """An answer. `entity` is None, and `etag` empty, where there is none."""

    entity: Mapping[str, Any] | None
    etag: str
    server_time: datetime


_READS = {**TABLE_VERSIONS, "Accept": "application/json;odata=minimalmetadata"}
_REPLACES = {**_READS, "Content-Type": "application/json"}
_CREATES = {**_REPLACES, "Prefer": "return-no-content"}
_NEXT = ("NextPartitionKey", "NextRowKey")
_TYPE = "@odata.type"
_READERS: dict[str, Callable[[str], Any]] = {
    "Edm.Int64": int,
    "Edm.DateTime": datetime.fromisoformat,
}
"""How text in an answer's JSON is read, by its type. All other types come as they are."""


class EntityTable:
    """One entity at a time, with the time and the ETag of each answer."""

    def __init__(self, client: TableClient) -> None:
        self.client, self._sender = client, Sender(client)

    def get(self, key: CheckpointKey) -> Stored:
        """The entity as it is now."""
        with storage_errors(f"reading {_named(key)}"), time_limit():
            try:
                answer = self._sender.ask("GET", self._path(key), _READS)
            except HttpResponseError as error:
                # Of the entity or its table; a 404 without a code is another program's.
                if error.status_code != HTTPStatus.NOT_FOUND or not error_code(error):
                    raise
                said: Any = error.response
                return Stored(None, "", _date(said.headers))
            entity = _entity(orjson.loads(answer.body))
        return Stored(entity, *_version(answer.headers))

    def query(self, where: str, *, select: Sequence[str] = (), after: str = "") -> Iterator[Found]:
        """What a filter finds, page by page; nothing where the table does not exist.

        All properties, or those in `select`; from the page on that `after` leads to.
        """
        asked = {"$filter": where} | ({"$select": ",".join(select)} if select else {})
        path = f"/{self.client.table_name}()"
        while True:
            marks = dict(zip(_NEXT, after.split("\n"), strict=False))
            query = urlencode({**asked, **marks}, quote_via=quote)
            with storage_errors(f"reading the checkpoints where {where}"):
                try:
                    # Not by `query_entities`, which takes many times as long (decision 0024).
                    answer = self._sender.ask("GET", f"{path}?{query}", _READS)
                except HttpResponseError as error:
                    if not is_missing(error):
                        raise
                    return
                said = [answer.headers.get(f"x-ms-continuation-{name}") for name in _NEXT]
                after = "\n".join(one for one in said if one)
                entities = [_entity(one) for one in orjson.loads(answer.body)["value"]]
                found = Found(entities, after, _date(answer.headers))
            yield found
            if not after:
                return

    def create(self, entity: Mapping[str, Any]) -> tuple[str, datetime]:
        """Insert it, in a table that is created on first use. Raises `Conflict` if it exists."""
        path, content = f"/{self.client.table_name}", table_json(entity)
        with storage_errors(f"creating {_named(key_of(entity))}"), time_limit():
            answer = create_if_missing(
                lambda: self._sender.ask("POST", path, _CREATES, content),
                self.client.create_table,
            )
        return _version(answer.headers)

    def replace(self, entity: Mapping[str, Any], etag: str) -> tuple[str, datetime]:
        """Put it in place of the version `etag`. Raises `Conflict` if that is not there."""
        key = key_of(entity)
        with storage_errors(f"updating {_named(key)}"), time_limit():
            answer = self._sender.ask(
                "PUT",
                self._path(key),
                {**_REPLACES, "If-Match": etag},
                table_json(entity),
            )
        return _version(answer.headers)

    def remove(self, key: CheckpointKey, etag: str) -> None:
        """Remove the version `etag`. Raises `Conflict` if that is not there."""
        with storage_errors(f"removing {_named(key)}"), time_limit():
            self.client.delete_entity(
                *key, etag=etag, match_condition=MatchConditions.IfNotModified
            )

    def _path(self, key: CheckpointKey) -> str:
        return f"/{self.client.table_name}{entity_path(*key)}"


def text_in_filter(text: str) -> str:
    """A text as a filter of a query writes it."""
    return f"'{text.replace(chr(39), 2 * chr(39))}'"


def moment_in_filter(moment: datetime) -> str:
    """A moment as a filter of a query writes it."""
    return f"datetime'{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}'"


def _entity(said: dict[str, Any]) -> dict[str, Any]:
    """What an answer's JSON says, with numbers and moments for the text that they are sent as."""
    for name in [name for name in said if name.endswith(_TYPE)]:
        read = _READERS.get(said.pop(name))
        if read is not None:
            of = name.removesuffix(_TYPE)
            said[of] = read(said[of])
    return said


def _date(said: Mapping[str, str]) -> datetime:
    date = server_time(said)
    if date is None:
        raise Unavailable("the table service answered without a Date: no claim can be timed")
    return date


def _version(said: Mapping[str, str]) -> tuple[str, datetime]:
    """An answer's ETag and Date. Raises `Unavailable` if it was cut off before them."""
    etag = said.get("etag", "")
    if etag.count('"') != 2:
        raise Unavailable("the table service answered without an ETag")
    return etag, _date(said)


def read_entity(
    entity: Mapping[str, Any],
    readers: Mapping[int, Callable[[Mapping[str, Any]], T]],
    kind: str,
    name: str | None,
) -> T:
    """What the reader of the entity's format makes of it. Raises `Refused` if there is none."""
    reader = readers.get(entity.get("format", 0))
    if reader is None:
        raise Refused(
            f"{kind} {name} has format {entity.get('format')}, and this version of Flowlog reads "
            f"{', '.join(map(str, readers))}: was it written by a newer one?"
        )
    return reader(entity)


def _named(key: CheckpointKey) -> str:
    return f"the checkpoint {key.partition} {key.row}"


def key_of(entity: Mapping[str, Any]) -> CheckpointKey:
    """Where an entity is stored."""
    return CheckpointKey(entity["PartitionKey"], entity["RowKey"])
