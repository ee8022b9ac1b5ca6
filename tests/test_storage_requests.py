from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from azure.core.exceptions import HttpResponseError
from azure.core.rest import HttpRequest
from azure.data.tables import EdmType, EntityProperty, TableClient

from flowlog_core.errors import Conflict, NotFound, StorageError, storage_errors
from flowlog_core.storage.requests import TABLE_VERSIONS, answer_to, entity_path, table_json
from flowlog_core.storage.responses import error_code

# Keys with characters that an address or an OData text must not hold as they are.
KEYS = [("a|b", "2026|x"), ("it's", "100 %"), ("a+b&c=d", "é\N{SNOWMAN}"), ("(x)", "a,b")]


@pytest.fixture
def table(connection_string: str, unique: Callable[[str], str]) -> TableClient:
    table = TableClient.from_connection_string(connection_string, unique("rows"))
    table.create_table()
    return table


def put(table: TableClient, entity: dict[str, Any], etag: str) -> HttpRequest:
    path = entity_path(entity["PartitionKey"], entity["RowKey"])
    headers = {**TABLE_VERSIONS, "Content-Type": "application/json", "If-Match": etag}
    url = f"{table.url}/{table.table_name}{path}"
    return HttpRequest("PUT", url, headers=headers, content=table_json(entity))


@pytest.mark.parametrize(("partition", "row"), KEYS)
def test_an_entity_is_stored_as_the_sdk_would_store_it(
    table: TableClient, partition: str, row: str
) -> None:
    at = datetime(2026, 1, 31, 9, 59, 59, 123456, tzinfo=timezone(timedelta(hours=2)))
    values = {
        "text": 'it\'s "quoted"',
        "empty": "",
        "small": 2**31 - 1,
        "large": EntityProperty(2**53 + 1, EdmType.INT64),
        "yes": True,
        "at": at,
    }
    entity = {"PartitionKey": partition, "RowKey": row, **values}
    table.create_entity(entity)
    by_the_sdk = table.get_entity(partition, row)
    table.update_entity({"PartitionKey": partition, "RowKey": row, "text": "other"})

    answer = answer_to(put(table, entity, "*"), table._client)
    stored = table.get_entity(partition, row)
    assert dict(stored) == dict(by_the_sdk)
    assert stored["at"] == at.astimezone(UTC)
    assert stored.metadata["etag"] == answer.headers["etag"]
    assert answer.body == b""


@pytest.mark.parametrize(
    ("etag", "row", "kind", "code"),
    [
        ("W/\"datetime'2020-01-01T00%3A00%3A00Z'\"", "r", Conflict, "UpdateConditionNotSatisfied"),
        ("*", "missing", NotFound, "ResourceNotFound"),
    ],
)
def test_a_refused_write_is_the_services_error(
    table: TableClient, etag: str, row: str, kind: type[StorageError], code: str
) -> None:
    """The codes are on Microsoft's page "Table service error codes"."""
    table.create_entity({"PartitionKey": "p", "RowKey": "r"})
    request = put(table, {"PartitionKey": "p", "RowKey": row}, etag)
    with pytest.raises(HttpResponseError) as caught:
        answer_to(request, table._client)
    assert error_code(caught.value) == code
    with pytest.raises(kind, match=code), storage_errors("writing"):
        answer_to(request, table._client)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (
            b"<Error><Code>X</Code><Message>Not &lt;here&gt;</Message></Error>",
            "<here>",
        ),
        (orjson.dumps({"odata.error": {"code": "X", "message": {"value": 'a "b"'}}}), 'a "b"'),
        (b"", "Operation returned an invalid status 'Teapot'"),
        (b"\xff", "Operation returned an invalid status 'Teapot'"),
    ],
)
def test_the_services_own_sentence_is_told(body: bytes, told: str) -> None:
    class Response:
        status_code, reason = 418, "Teapot"
        headers: dict[str, str] = {}  # noqa: RUF012 - nobody changes it

        def __enter__(self) -> Response:
            return self

        def __exit__(self, *_: object) -> None: ...

        def read(self) -> bytes:
            return body

        def text(self) -> str:
            return body.decode("utf-8", "replace")

    class Refuses:
        def send_request(self, request: HttpRequest, *, stream: bool) -> Any:
            assert (request.url, stream) == ("http://x", True)
            return Response()

    with pytest.raises(HttpResponseError) as caught:
        answer_to(HttpRequest("GET", "http://x"), Refuses())
    assert told in caught.value.message
    assert caught.value.status_code == 418
