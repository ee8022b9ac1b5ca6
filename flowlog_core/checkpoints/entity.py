"""One entity of an Azure Storage table at a time: every write conditional, every answer timed.

An entity's `format` says how its properties are to be read; it is raised when their meaning
changes, and every format that was ever written stays readable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.core.pipeline import PipelineResponse
from azure.core.rest import HttpRequest
from azure.data.tables import TableClient

from flowlog_core.checkpoints.checkpoint import CheckpointKey
from flowlog_core.errors import Refused, Unavailable, storage_errors
from flowlog_core.storage.create_on_demand import create_if_missing, is_missing
from flowlog_core.storage.requests import TABLE_VERSIONS, answer_to, entity_path, table_json
from flowlog_core.storage.responses import server_time
from flowlog_core.storage.timeouts import time_limit

T = TypeVar("T")


class Stored(NamedTuple):
    """An answer. `entity` is None, and `etag` empty, where there is none."""

    entity: Mapping[str, Any] | None
    etag: str
    server_time: datetime


_REPLACES = {
    **TABLE_VERSIONS,
    "Accept": "application/json;odata=minimalmetadata",
    "Content-Type": "application/json",
}


class EntityTable:
    """One entity at a time, with the time and the ETag of each answer."""

    def __init__(self, client: TableClient) -> None:
        self.client = client

    def get(self, key: CheckpointKey) -> Stored:
        """The entity as it is now."""
        date = AnswerDate()
        with storage_errors(f"reading {_named(key)}"), time_limit():
            try:
                entity = self.client.get_entity(*key, raw_response_hook=date)
            except ResourceNotFoundError:
                return Stored(None, "", date.read())
            except HttpResponseError as error:
                if not is_missing(error):
                    raise
                return Stored(None, "", date.read())
        return Stored(entity, str(entity.metadata["etag"]), date.read())

    def create(self, entity: Mapping[str, Any]) -> tuple[str, datetime]:
        """Insert it, in a table that is created on first use. Raises `Conflict` if it exists."""
        date = AnswerDate()
        with storage_errors(f"creating {_named(_key_of(entity))}"), time_limit():
            said = create_if_missing(
                lambda: self.client.create_entity(entity, raw_response_hook=date),
                self.client.create_table,
            )
        return _whole_etag(said), date.read()

    def replace(self, entity: Mapping[str, Any], etag: str) -> tuple[str, datetime]:
        """Put it in place of the version `etag`. Raises `Conflict` if that is not there."""
        key = _key_of(entity)
        with storage_errors(f"updating {_named(key)}"), time_limit():
            answer = answer_to(
                HttpRequest(
                    "PUT",
                    f"{self.client.url}/{self.client.table_name}{entity_path(*key)}",
                    headers={**_REPLACES, "If-Match": etag},
                    content=table_json(entity),
                ),
                # Generated from Microsoft's description of the service (decision 0018).
                self.client._client,
            )
        return _whole_etag(answer.headers), _date(server_time(answer.headers))

    def remove(self, key: CheckpointKey, etag: str) -> None:
        """Remove the version `etag`. Raises `Conflict` if that is not there."""
        with storage_errors(f"removing {_named(key)}"), time_limit():
            self.client.delete_entity(
                *key, etag=etag, match_condition=MatchConditions.IfNotModified
            )


class AnswerDate:
    """Catches the `Date` of an answer, whether the call succeeds or not."""

    def __init__(self) -> None:
        self._date: datetime | None = None

    def __call__(self, response: PipelineResponse[Any, Any]) -> None:
        """Pass the object to a client as its `raw_response_hook`."""
        self._date = server_time(response.http_response.headers)

    def read(self) -> datetime:
        """Raises `Unavailable` without one: the answer was cut off in its head."""
        return _date(self._date)


def _date(said: datetime | None) -> datetime:
    if said is None:
        raise Unavailable("the table service answered without a Date: no claim can be timed")
    return said


def _whole_etag(said: Mapping[str, Any]) -> str:
    """The ETag of a write's answer. Raises `Unavailable` where the answer was cut off before it."""
    etag = str(said.get("etag", ""))
    if etag.count('"') != 2:
        raise Unavailable("the table service answered a write without an ETag")
    return etag


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


def _key_of(entity: Mapping[str, Any]) -> CheckpointKey:
    return CheckpointKey(entity["PartitionKey"], entity["RowKey"])
