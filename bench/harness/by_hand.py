"""The requests of one append by `http.client` alone: the least that a Python process can pay."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPResponse
from urllib.parse import urlsplit

import orjson
from azure.core.credentials import AzureNamedKeyCredential
from azure.data import tables
from azure.storage.blob import BlobClient, generate_account_sas
from azure.storage.blob import ResourceTypes as BlobResourceTypes
from azure.storage.queue import QueueServiceClient

from flowlog_core.demo.azurite import ACCOUNT, ACCOUNT_KEY, Azurite

DAY = timedelta(days=1)
_JSON = {"Accept": "application/json;odata=nometadata", "Content-Type": "application/json"}


class ByHand:
    """One kept connection to each service of the account, and a signature made once.

    `append` makes the requests of an append as it was before messages were compressed: read the
    checkpoint, claim, read the blob, put the messages (three for 100 tuples), commit.
    """

    def __init__(self, azurite: Azurite, name: str) -> None:
        entity: dict[str, object] = {"PartitionKey": "p", "RowKey": "r", "text": "x" * 700}
        until = datetime.now(UTC) + DAY
        of_blobs = generate_account_sas(
            ACCOUNT,
            ACCOUNT_KEY,
            BlobResourceTypes(object=True, container=True),
            "rwac",
            until,
            services="bq",
        )
        of_tables = tables.generate_account_sas(
            AzureNamedKeyCredential(ACCOUNT, ACCOUNT_KEY),
            tables.ResourceTypes(object=True),
            tables.AccountSasPermissions(read=True, write=True, add=True, update=True),
            until,
        )
        self._blobs, self._queues, self._tables = (
            HTTPConnection(urlsplit(url).netloc)
            for url in (azurite.blob_url, azurite.queue_url, azurite.table_url)
        )
        service = tables.TableServiceClient.from_connection_string(azurite.connection_string)
        table = service.create_table_if_not_exists(name)
        table.upsert_entity(entity)
        queues = QueueServiceClient.from_connection_string(azurite.connection_string)
        queues.create_queue(name)
        self._entity_path = f"/{ACCOUNT}/{name}(PartitionKey='p',RowKey='r')?{of_tables}"
        self._blob_signature = of_blobs
        self._queue_path = f"/{ACCOUNT}/{name}/messages?{of_blobs}"

    def append(self, blob: BlobClient, offset: int, messages: list[bytes]) -> None:
        """Make the requests; `messages` are the texts to put, `offset` is where to read from."""
        answer, body = self._ask(self._tables, "GET", self._entity_path, None, _JSON)
        etag, entity = answer.getheader("ETag", ""), orjson.loads(body)
        etag = self._write(entity, etag)
        path = urlsplit(blob.url).path
        header = {"x-ms-range": f"bytes={offset}-", "x-ms-version": "2021-12-02"}
        self._ask(self._blobs, "GET", f"{path}?{self._blob_signature}", None, header)
        for message in messages:
            body = b"<QueueMessage><MessageText>%b</MessageText></QueueMessage>" % message
            self._ask(self._queues, "POST", self._queue_path, body, {})
        self._write(entity, etag)

    def _write(self, entity: dict[str, object], etag: str) -> str:
        headers = _JSON | {"If-Match": etag}
        answer, _ = self._ask(self._tables, "PUT", self._entity_path, orjson.dumps(entity), headers)
        return answer.getheader("ETag", "")

    @staticmethod
    def _ask(
        connection: HTTPConnection,
        method: str,
        path: str,
        body: bytes | None,
        headers: dict[str, str],
    ) -> tuple[HTTPResponse, bytes]:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        if answer.status >= 300:
            raise SystemExit(f"{method} {path.partition('?')[0]}: {answer.status} {content!r}")
        return answer, content

    def close(self) -> None:
        """Close the connections."""
        for connection in (self._blobs, self._queues, self._tables):
            connection.close()
