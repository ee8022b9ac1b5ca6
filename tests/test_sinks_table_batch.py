"""A batch of rows in one request: stored just as the SDK's own batch would store it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import orjson
import pytest
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import AzureError, HttpResponseError
from azure.core.pipeline.transport import RequestsTransport
from azure.core.rest import HttpRequest
from azure.core.utils import CaseInsensitiveDict
from azure.data.tables import EdmType, EntityProperty, TableClient, TableServiceClient, UpdateMode
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from requests.exceptions import RequestException
from simulation.fault_proxy import Fault, FaultProxy

from flowlog_core.demo.azurite import Azurite
from flowlog_core.sinks.table_batch import upsert
from flowlog_core.storage.requests import Sender
from flowlog_core.storage.whole_response import WholeResponse

Row = dict[str, Any]

# What a key may hold, and nothing that Azure forbids in one: / \ # ? and control characters.
KEYS = st.text("aZ09 |'%+&=(),;:@$é世~", min_size=1, max_size=12)
VALUES = (
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9)
    | st.integers(-(2**31), 2**31 - 1)
    | st.integers(0, 2**63 - 1).map(lambda number: EntityProperty(number, EdmType.INT64))
)
ROWS = st.dictionaries(
    KEYS, st.dictionaries(st.sampled_from(["id", "rule", "n"]), VALUES), min_size=1, max_size=4
)


@pytest.fixture
def service(connection_string: str) -> TableServiceClient:
    return TableServiceClient.from_connection_string(connection_string)


@pytest.fixture
def table(service: TableServiceClient, unique: Callable[[str], str]) -> TableClient:
    return service.create_table(unique("batch"))


def upserted(table: TableClient, rows: list[Row]) -> bool:
    return upsert(Sender(table), table.table_name, rows)


def stored(table: TableClient) -> list[Row]:
    return [dict(row) for row in table.list_entities()]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(partition=KEYS, rows=ROWS)
def test_what_is_stored_is_what_the_sdk_stores(
    service: TableServiceClient, unique: Callable[[str], str], partition: str, rows: dict[str, Row]
) -> None:
    ours, theirs = (service.create_table(unique("batch")) for _ in range(2))
    batch = [{**row, "PartitionKey": partition, "RowKey": key} for key, row in rows.items()]
    assert upserted(ours, batch)
    theirs.submit_transaction([("upsert", row, {"mode": UpdateMode.REPLACE}) for row in batch])
    assert stored(ours) == stored(theirs)
    assert len(stored(ours)) == len(batch)


def test_a_row_replaces_what_has_its_key(table: TableClient) -> None:
    for row in ({"a": 1, "b": "x"}, {"a": 2}):
        assert upserted(table, [{**row, "PartitionKey": "p", "RowKey": "r"}])
    assert stored(table) == [{"a": 2, "PartitionKey": "p", "RowKey": "r"}]


def test_what_is_refused_is_said_not_to_be_written(service: TableServiceClient) -> None:
    absent = service.get_table_client("nosuchtable")
    assert not upserted(absent, [{"PartitionKey": "p", "RowKey": ""}])


@contextmanager
def proxied(azurite: Azurite, table: TableClient, fault: Fault) -> Iterator[TableClient]:
    """The table behind a proxy where each request meets this fault."""
    with FaultProxy(azurite.table_url, 1, rate=1, faults={fault: 1}) as proxy:
        text = replace(azurite, table_url=proxy.url).connection_string
        with TableServiceClient.from_connection_string(text, retry_total=0) as tables:
            proxy.arm()
            yield tables.get_table_client(table.table_name)


@pytest.mark.parametrize(
    "fault", [Fault.CUT_BEFORE, Fault.CUT_AFTER, Fault.CUT_IN_HEAD, Fault.CUT_IN_BODY]
)
def test_no_batch_is_taken_for_written_whose_whole_answer_did_not_come(
    azurite: Azurite, table: TableClient, fault: Fault
) -> None:
    """Whether it was written or not: the status of the whole says nothing of the rows."""
    rows = [{"PartitionKey": "p", "RowKey": str(number)} for number in range(9)]
    outcomes: list[bool | None] = []
    with proxied(azurite, table, fault) as behind:
        for _ in range(9):
            try:
                outcomes.append(upserted(behind, rows))
            except (AzureError, RequestException):  # which `storage_errors` maps
                outcomes.append(None)
    assert len(outcomes) == 9
    assert True not in outcomes


@pytest.mark.parametrize(
    ("fault", "status"), [(Fault.BUSY, 503), (Fault.TOO_MANY, 429), (Fault.ERROR, 500)]
)
def test_a_refusal_of_the_whole_is_raised_as_it_is(
    azurite: Azurite, table: TableClient, fault: Fault, status: int
) -> None:
    """And not tried again with the SDK, which would take as long once more."""
    with proxied(azurite, table, fault) as behind, pytest.raises(HttpResponseError) as caught:
        upserted(behind, [{"PartitionKey": "p", "RowKey": ""}])
    assert caught.value.status_code == status


def answered(status: int, *statuses: int, rows: int = 3) -> tuple[bool, HttpRequest]:
    """What `upsert` makes of an answer with these statuses in it, and its request."""
    requests: list[HttpRequest] = []
    body = "".join(f"--x\r\n\r\nHTTP/1.1 {one} said\r\n\r\n" for one in statuses).encode()

    class Answering(RequestsTransport):  # type: ignore[misc]  # loaded lazily: Any
        def send(self, request: HttpRequest, **_: Any) -> WholeResponse:
            requests.append(request)
            return WholeResponse(
                request, status, "so", CaseInsensitiveDict({"Content-Length": str(len(body))}), body
            )

    table = TableClient(
        "https://x.table.core.windows.net",
        "t",
        transport=Answering(),
        retry_total=0,
        credential=AzureNamedKeyCredential("x", "a2V5"),
    )
    batch = [{"PartitionKey": "p", "RowKey": str(n), "rule": "é" * n} for n in range(rows)]
    return upserted(table, batch), requests[0]


@pytest.mark.parametrize(
    ("status", "statuses", "is_written"),
    [
        (202, (204, 204, 204), True),
        (202, (204, 204), False),
        (202, (204, 204, 204, 204), False),
        (202, (204, 404, 204), False),
        (202, (404,), False),
        (202, (), False),
        (200, (204, 204, 204), False),
        (400, (), False),
        (403, (), False),
        (404, (), False),
    ],
)
def test_only_an_accepted_batch_with_a_204_for_each_row_is_written(
    status: int, statuses: tuple[int, ...], is_written: bool
) -> None:
    """Of all else the SDK makes what it makes of it, in the service's words."""
    assert answered(status, *statuses)[0] is is_written


def test_each_part_says_how_many_bytes_its_row_has() -> None:
    _, request = answered(202, 204, 204, 204)
    content = request.content
    parts = re.findall(rb"Content-Length: (\d+)\r\n(?:[^\r]+\r\n)*\r\n(.*?)\r\n--", content)
    assert [(int(length), orjson.loads(row)["rule"]) for length, row in parts] == [
        (len(row), "é" * number) for number, (_, row) in enumerate(parts)
    ]
    assert len(parts) == 3
    boundary = request.headers["Content-Type"].partition("boundary=")[2].encode()
    assert content.startswith(b"--" + boundary + b"\r\n")
    assert content.endswith(b"\r\n--" + boundary + b"--\r\n")
