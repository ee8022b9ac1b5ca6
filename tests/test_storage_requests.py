from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from azure.core.credentials import AccessToken, AzureNamedKeyCredential, AzureSasCredential
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.transport import RequestsTransport
from azure.core.rest import HttpRequest
from azure.core.utils import CaseInsensitiveDict
from azure.data.tables import EdmType, EntityProperty, TableClient
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueClient

from flowlog_core.errors import Conflict, NotFound, Refused, StorageError, storage_errors
from flowlog_core.storage.requests import (
    TABLE_VERSIONS,
    Answer,
    Sender,
    _Request,
    entity_path,
    table_json,
)
from flowlog_core.storage.responses import error_code
from flowlog_core.storage.whole_response import WholeResponse

# Keys with characters that an address or an OData text must not hold as they are.
KEYS = [("a|b", "2026|x"), ("it's", "100 %"), ("a+b&c=d", "é\N{SNOWMAN}"), ("(x)", "a,b")]


@pytest.fixture
def table(connection_string: str, unique: Callable[[str], str]) -> TableClient:
    table = TableClient.from_connection_string(connection_string, unique("rows"))
    table.create_table()
    return table


def put(table: TableClient, entity: dict[str, Any], etag: str) -> Answer:
    path = f"/{table.table_name}{entity_path(entity['PartitionKey'], entity['RowKey'])}"
    headers = {**TABLE_VERSIONS, "Content-Type": "application/json", "If-Match": etag}
    return Sender(table).ask("PUT", path, headers, table_json(entity))


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

    answer = put(table, entity, "*")
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
    entity = {"PartitionKey": "p", "RowKey": row}
    with pytest.raises(HttpResponseError) as caught:
        put(table, entity, etag)
    assert error_code(caught.value) == code
    with pytest.raises(kind, match=code), storage_errors("writing"):
        put(table, entity, etag)


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
    error = refused_with(418, body)
    assert told in error.message
    assert error.status_code == 418


def test_the_code_may_come_in_the_head_alone() -> None:
    """Microsoft's page "Status and error codes": the header is there even without a body."""
    assert error_code(refused_with(503, b"", {"x-ms-error-code": "ServerBusy"})) == "ServerBusy"


def refused_with(status: int, body: bytes, head: dict[str, str] | None = None) -> HttpResponseError:
    """What is raised where a service answers so."""
    with pytest.raises(HttpResponseError) as caught:
        Sender(queue_client(status, body, head)).ask("GET", "/x", {})
    return caught.value


def queue_client(
    status: int, body: bytes = b"", head: dict[str, str] | None = None, **options: Any
) -> QueueClient:
    """A queue of a service that answers the same to every request."""

    class Answering(RequestsTransport):  # type: ignore[misc]  # loaded lazily: Any
        def send(self, request: HttpRequest, **_: Any) -> WholeResponse:
            headers = CaseInsensitiveDict({"Content-Length": str(len(body)), **(head or {})})
            return WholeResponse(request, status, "Teapot", headers, body)

    options = {"credential": "a2V5", **options}
    return QueueClient(
        "https://a.queue.core.windows.net", "q", transport=Answering(), retry_total=0, **options
    )


@pytest.mark.parametrize("status", [301, 302, 307])
def test_a_redirection_is_no_answer_of_a_storage_service(status: int) -> None:
    """It is not followed, and no success."""
    client = queue_client(status, head={"Location": "http://elsewhere"})
    with pytest.raises(Refused, match=f"sending: {status}"), storage_errors("sending"):
        Sender(client).ask("GET", "/x", {})


class Token:
    """A credential of an identity."""

    def get_token(self, *_: str, **__: Any) -> AccessToken:
        return AccessToken("t", 2**40)


def policies_of(client: BlobServiceClient | QueueClient | TableClient) -> list[str]:
    runners: Any = Sender(client)._pipeline._impl_policies
    return [type(getattr(one, "_policy", one)).__name__ for one in runners]


def test_what_signs_dates_and_retries_is_what_remains_of_the_pipelines() -> None:
    """Fails where another version of the SDK has other policies: which of them are needed?"""
    blobs, tables = "https://a.blob.core.windows.net", "https://a.table.core.windows.net"
    assert policies_of(BlobServiceClient(blobs, credential="a2V5")) == [
        "ExponentialRetry",
        "StorageHeadersPolicy",
        "SharedKeyCredentialPolicy",
    ]
    assert policies_of(queue_client(200, credential=Token())) == [
        "ExponentialRetry",
        "StorageHeadersPolicy",
        "StorageBearerTokenCredentialPolicy",
    ]
    assert policies_of(queue_client(200, credential=AzureSasCredential("sig=x"))) == [
        "ExponentialRetry",
        "StorageHeadersPolicy",
        "AzureSasCredentialPolicy",
    ]
    key = AzureNamedKeyCredential("a", "a2V5")
    assert policies_of(TableClient(tables, "t", credential=key)) == [
        "RequestIdPolicy",
        "StorageHeadersPolicy",
        "SharedKeyCredentialPolicy",
        "TablesRetryPolicy",
    ]
    assert policies_of(TableClient(tables, "t", credential=Token())) == [
        "RequestIdPolicy",
        "StorageHeadersPolicy",
        "BearerTokenChallengePolicy",
        "TablesRetryPolicy",
    ]


def test_the_clients_own_pipeline_stays_whole() -> None:
    client: Any = queue_client(200)
    before = list(client._pipeline._impl_policies)
    following = [one.next for one in before]
    Sender(client)
    assert client._pipeline._impl_policies == before
    assert [one.next for one in before] == following


@pytest.mark.parametrize(
    ("signature", "path", "address"),
    [
        (
            "",
            "/messages?messagettl=-1",
            "https://a.queue.core.windows.net/q/messages?messagettl=-1",
        ),
        ("?sig=x%3D", "/messages", "https://a.queue.core.windows.net/q/messages?sig=x%3D"),
        ("?sig=x", "/messages?a=b", "https://a.queue.core.windows.net/q/messages?a=b&sig=x"),
    ],
)
def test_an_address_carries_the_signature_that_the_client_was_given(
    signature: str, path: str, address: str
) -> None:
    key = None if signature else "a2V5"
    client = QueueClient("https://a.queue.core.windows.net" + signature, "q", credential=key)
    assert Sender(client)._address(path) == address


def test_a_request_is_the_sdks_own_to_all_that_ask_it() -> None:
    """What its policies and its records of retries ask for, with a body and without."""
    url, headers = "https://a.test/q?comp=list&a=b%3D", {"Accept": "x"}
    for content in (b"", b"body"):
        theirs: Any = HttpRequest("PUT", url, headers=headers, content=content or None)
        ours = _Request("PUT", url, headers, content)
        copied: Any = deepcopy(ours)
        for request in (ours, copied):
            for name in ("method", "url", "content", "body", "query", "files"):
                assert getattr(request, name) == getattr(theirs, name), name
            assert request.multipart_mixed_info is None
            assert [one.prepare_multipart_body() for one in (request, theirs)] == [0, 0]
            assert dict(request.headers) == dict(theirs.headers)
    assert headers == {"Accept": "x"}


@pytest.mark.parametrize("signs", ["key", "signature"])
def test_each_try_is_signed_and_dated(signs: str) -> None:
    """By the SDK, and what is sent is signed: its own check is that of the service."""
    seen: list[Any] = []

    class Busy(RequestsTransport):  # type: ignore[misc]  # loaded lazily: Any
        def send(self, request: HttpRequest, **_: Any) -> WholeResponse:
            seen.append((request.url, dict(request.headers), request.content))
            return WholeResponse(
                request, 503, "x", CaseInsensitiveDict({"Content-Length": "0"}), b""
            )

        def sleep(self, duration: float) -> None: ...

    url = "https://a.queue.core.windows.net" + ("?sig=x" if signs == "signature" else "")
    key = "a2V5" if signs == "key" else None
    client = QueueClient(url, "q", credential=key, transport=Busy(), retry_total=2)
    with pytest.raises(HttpResponseError):
        Sender(client).ask("POST", "/messages", {"x-ms-version": "2021-12-02"}, b"<x/>")
    assert len(seen) == 3
    for address, headers, content in seen:
        assert content == b"<x/>"
        assert headers["Content-Length"] == "4"
        assert "x-ms-date" in headers
        assert headers["x-ms-client-request-id"]
        if signs == "key":
            assert headers["Authorization"].startswith("SharedKey a:")
        else:
            assert address.endswith("/messages?sig=x")
