"""Flow log blobs in their storage accounts: reading parts of them, and listing them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from urllib.parse import quote, urlencode

from azure.storage.blob import BlobServiceClient

from flowlog_core.blob import BlobRef
from flowlog_core.errors import Unavailable, UnknownAccount, storage_errors
from flowlog_core.source.list_page import read_list_page
from flowlog_core.source.listing import Page
from flowlog_core.source.reading import Slice
from flowlog_core.storage.requests import Sender
from flowlog_core.storage.responses import http_date

_RANGE = re.compile(r"bytes ([0-9]+)-([0-9]+)/([0-9]+)", re.ASCII)  # RFC 9110, section 14.4


class AzureBlobs:
    """A `LogReader` and `BlobLister` over the source accounts, by account name."""

    def __init__(self, accounts: Mapping[str, BlobServiceClient]) -> None:
        self._services = {name: _Service(client) for name, client in accounts.items()}
        self.blobs_a_page = 5000  # Microsoft's page "List Blobs": the most that it allows

    def read(self, blob: BlobRef, start: int, max_bytes: int, etag: str | None) -> Slice:
        """See `LogReader.read`."""
        service = self._service_of(blob)
        headers = {**service.headers, "x-ms-range": f"bytes={start}-{start + max_bytes - 1}"}
        if etag is not None:
            headers["If-Match"] = etag
        with storage_errors(f"reading {blob} from byte {start}"):
            # Not by `download_blob`: it takes four times as long, and it may decode the body. A
            # checkpoint's offset counts the blob's own bytes.
            said, data = service.sender.ask("GET", _path(blob.container, blob.name), headers)
            return Slice(
                data,
                said["ETag"],
                _checked_blob_bytes(said, start, max_bytes, len(data)),
                _moment(said.get("x-ms-creation-time")),
                _moment(said.get("Last-Modified")),
            )

    def blob_bytes(self, blob: BlobRef) -> int:
        """See `LogReader.blob_bytes`."""
        client = self._service_of(blob).client.get_blob_client(blob.container, blob.name)
        with storage_errors(f"reading the length of {blob}"):
            return client.get_blob_properties().size

    def _service_of(self, blob: BlobRef) -> _Service:
        service = self._services.get(blob.account)
        if service is None:
            raise UnknownAccount(f"{blob}: its account is none of FLOWLOG_SOURCES")
        return service

    def page(
        self,
        account: str,
        container: str,
        prefix: str,
        *,
        marker: str = "",
        by_folder: bool,
        since: datetime | None = None,
    ) -> Page:
        """See `BlobLister.page`."""
        # Not by `list_blobs`, whose models take most of a sweep's time (decision 0024).
        service = self._services[account]
        asked = {"restype": "container", "comp": "list", "maxresults": str(self.blobs_a_page)}
        asked |= {"prefix": prefix} if prefix else {}
        asked |= {"marker": marker} if marker else {}
        asked |= {"delimiter": "/"} if by_folder else {}
        path = f"/{quote(container)}?{urlencode(asked, quote_via=quote)}"
        with storage_errors(f"listing {account}/{container}/{prefix}"):
            answer = service.sender.ask("GET", path, service.headers)
            return read_list_page(answer.body, account, container, since)


class _Service:
    """The blob service of an account, for requests of our own too."""

    def __init__(self, client: BlobServiceClient) -> None:
        self.client, self.sender = client, Sender(client)
        self.headers = {"x-ms-version": client.api_version, "Accept": "application/xml"}


@lru_cache(maxsize=4096)  # a blob is read at each append, and quoting its name takes long
def _path(container: str, name: str) -> str:
    return f"/{quote(container)}/{quote(name)}"


def _moment(said: str | None) -> datetime | None:
    return None if said is None else http_date(said)


def _checked_blob_bytes(
    headers: Mapping[str, str], start: int, max_bytes: int, data_bytes: int
) -> int:
    """The length of the whole blob. Raises `Unavailable` if the answer is not what was asked for.

    A body that is cut short, or that somebody on the way replaced, must not be taken for the blob:
    offsets and the check for a rewritten blob depend on it.
    """
    content_range = headers.get("Content-Range", "")
    content_bytes = headers.get("Content-Length", str(data_bytes))
    found = _RANGE.fullmatch(content_range)
    if found is not None and content_bytes == str(data_bytes) and data_bytes <= max_bytes:
        first, last, blob_bytes = map(int, found.groups())
        if first == start and last - first + 1 == data_bytes and last < blob_bytes:
            return blob_bytes
    raise Unavailable(
        f"asked for {max_bytes} bytes from {start} on and got {data_bytes}, with Content-Range "
        f"{content_range!r} and Content-Length {content_bytes}"
    )
