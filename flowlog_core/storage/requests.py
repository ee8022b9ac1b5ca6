"""Requests that Flowlog writes itself, and the SDK's pipeline signs, sends and retries.

Only for the calls that every append makes, because the SDK's own code around its pipeline takes
several times as long as the pipeline itself (decision 0018).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from html import unescape
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

import orjson
from azure.core.exceptions import HttpResponseError
from azure.core.rest import HttpRequest, HttpResponse
from azure.data.tables import EntityProperty

TABLE_VERSIONS = {"x-ms-version": "2019-02-02", "DataServiceVersion": "3.0"}

_MESSAGE = re.compile(r'<Message>([^<]*)|"value":\s*("(?:[^"\\]|\\.)*")')


class Sender(Protocol):
    """What sends a request through a pipeline: a `PipelineClient`, or the client of a table."""

    def send_request(self, request: HttpRequest, *, stream: bool) -> HttpResponse:
        """See `azure.core.PipelineClient.send_request`."""


class Answer(NamedTuple):
    """What a service answered to a request that it carried out."""

    headers: Mapping[str, str]
    """Their names may be asked for in any letter case."""
    body: bytes
    """As it came: never decoded, whatever Content-Encoding says."""


def answer_to(request: HttpRequest, sender: Sender) -> Answer:
    """Send a request and wait for the whole answer.

    Raises `HttpResponseError` for any status of 400 and above, and errors of the pipeline.
    """
    # As a stream, since the pipeline would parse a body that it reads.
    with sender.send_request(request, stream=True) as response:
        if response.status_code >= HTTPStatus.BAD_REQUEST:
            response.read()
            raise _error_of(response)
        return Answer(response.headers, b"".join(response.iter_raw()))


def _error_of(response: HttpResponse) -> HttpResponseError:
    """The error with the service's own sentence. Its text ends in the body, with the code."""
    found = _MESSAGE.search(response.text())
    if found is None:
        return HttpResponseError(response=response)
    in_xml, in_json = found.groups()
    sentence = unescape(in_xml) if in_json is None else str(orjson.loads(in_json))
    return HttpResponseError(sentence, response=response)


def table_json(row: Mapping[str, Any]) -> bytes:
    """A row as JSON. Without a type annotation text is Edm.String, a number Edm.Int32."""
    return orjson.dumps(dict(_typed(row)))


def _typed(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if isinstance(value, EntityProperty):
            yield name, str(value.value)
            yield f"{name}@odata.type", value.edm_type
        elif isinstance(value, datetime):
            yield name, value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            yield f"{name}@odata.type", "Edm.DateTime"
        else:
            yield name, value


@lru_cache(
    maxsize=4096
)  # a blob's entity is written twice an append, and quoting its key takes long
def entity_path(partition: str, row: str) -> str:
    """What follows a table's name in the address of an entity."""
    return f"(PartitionKey='{_quoted(partition)}',RowKey='{_quoted(row)}')"


def _quoted(key: str) -> str:
    return quote(key.replace("'", "''"), safe="")
