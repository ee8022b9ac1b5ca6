from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from azure.core.exceptions import HttpResponseError
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

from flowlog_core.storage.responses import error_code, server_time


def blob(connection: str, name: str) -> None:
    BlobServiceClient.from_connection_string(connection).get_blob_client(name, "x").download_blob()


def queue(connection: str, name: str) -> None:
    QueueServiceClient.from_connection_string(connection).get_queue_client(name).send_message("x")


def row(connection: str, name: str) -> None:
    table = TableServiceClient.from_connection_string(connection).get_table_client(name)
    table.get_entity("p", "r")


def insert(connection: str, name: str) -> None:
    table = TableServiceClient.from_connection_string(connection).get_table_client(name)
    table.create_entity({"PartitionKey": "p", "RowKey": "r"})


def batch(connection: str, name: str) -> None:
    table = TableServiceClient.from_connection_string(connection).get_table_client(name)
    table.submit_transaction([("upsert", {"PartitionKey": "p", "RowKey": "r"})])


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (blob, "ContainerNotFound"),
        (queue, "QueueNotFound"),
        (row, "TableNotFound"),
        (insert, "TableNotFound"),
        (batch, "TableNotFound"),
    ],
)
def test_the_error_code_of_every_kind_of_call(
    connection_string: str,
    unique: Callable[[str], str],
    call: Callable[[str, str], None],
    code: str,
) -> None:
    """Microsoft's pages "Blob/Queue/Table service error codes" list them."""
    with pytest.raises(HttpResponseError) as caught:
        call(connection_string, unique("missing"))
    assert error_code(caught.value) == code


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ('{"odata.error":{"code":"TableNotFound","message":{}}}', "TableNotFound"),
        ("<Error><Code>QueueNotFound</Code></Error>", "QueueNotFound"),
        ('<m:error xmlns:m="x"><m:code>TableNotFound</m:code></m:error>', "TableNotFound"),
        ("the message of a queue was: TableNotFound", ""),
        ("", ""),
    ],
)
def test_an_error_code_in_the_body_alone(message: str, code: str) -> None:
    assert error_code(HttpResponseError(message)) == code


def test_the_time_of_an_answer_is_its_date() -> None:
    """The example of RFC 9110, section 5.6.7."""
    date = {"Date": "Sun, 06 Nov 1994 08:49:37 GMT"}
    assert server_time(date) == datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)
    assert server_time({}) is None
    with pytest.raises(ValueError, match="Sun"):
        server_time({"Date": "Sun"})
