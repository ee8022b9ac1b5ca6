"""Flow log blobs in their storage accounts: reading parts of them, and listing them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from azure.core import MatchConditions
from azure.storage.blob import BlobServiceClient

from flowlog_core import blob_name
from flowlog_core.appended import Slice
from flowlog_core.checkpoint import BlobRef
from flowlog_core.errors import storage_errors


class Listed(NamedTuple):
    """A flow log blob as a listing shows it."""

    blob: BlobRef
    etag: str
    blob_bytes: int


class AzureBlobs:
    """A `LogReader` over the source accounts, by account name."""

    def __init__(self, accounts: Mapping[str, BlobServiceClient]) -> None:
        self._accounts = accounts

    def read(self, blob: BlobRef, start: int, most_bytes: int, etag: str | None) -> Slice:
        """See `LogReader.read`."""
        pinned: dict[str, Any] = {}
        if etag is not None:
            pinned = {"etag": etag, "match_condition": MatchConditions.IfNotModified}
        client = self._accounts[blob.account].get_blob_client(blob.container, blob.name)
        with storage_errors(f"reading {blob} from byte {start}"):
            stream = client.download_blob(start, most_bytes, max_concurrency=1, **pinned)
            data = stream.readall()
        properties = stream.properties
        blob_bytes = int(str(properties.content_range).rpartition("/")[2])
        return Slice(data, str(properties.etag), blob_bytes)

    def flow_logs(self, account: str, container: str, prefix: str = "") -> Iterator[Listed]:
        """The flow log blobs of a container, in the order of their names.

        A container that does not exist yet (Network Watcher makes it) raises `NotFound`.
        """
        client = self._accounts[account].get_container_client(container)
        with storage_errors(f"listing {account}/{container}"):
            for found in client.list_blobs(name_starts_with=prefix or None):
                log = blob_name.parse(found.name)
                if log is not None:
                    # A listing leaves out the quotes that stand in every other answer.
                    etag = f'"{str(found.etag).strip(chr(34))}"'
                    yield Listed(BlobRef(account, container, log), etag, int(found.size))
