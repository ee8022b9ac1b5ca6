"""Flow log blobs in their storage accounts: reading parts of them, and listing them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from azure.core import MatchConditions
from azure.core.pipeline import PipelineResponse
from azure.core.utils import CaseInsensitiveDict
from azure.storage.blob import BlobClient, BlobPrefix, BlobServiceClient, StandardBlobTier

from flowlog_core.blob import BlobRef, LogBlob
from flowlog_core.errors import Unavailable, UnknownAccount, storage_errors
from flowlog_core.source.listing import Listed, Others, Page
from flowlog_core.source.reading import Slice

_RANGE = re.compile(r"bytes ([0-9]+)-([0-9]+)/([0-9]+)", re.ASCII)  # RFC 9110, section 14.4
MAX_BLOBS_A_PAGE = 5000  # Microsoft's page "List Blobs": maxresults


class AzureBlobs:
    """A `LogReader` and `BlobLister` over the source accounts, by account name."""

    def __init__(
        self, accounts: Mapping[str, BlobServiceClient], blobs_a_page: int = MAX_BLOBS_A_PAGE
    ) -> None:
        self._accounts, self.blobs_a_page = accounts, blobs_a_page

    def read(self, blob: BlobRef, start: int, max_bytes: int, etag: str | None) -> Slice:
        """See `LogReader.read`."""
        pinned: dict[str, Any] = {}
        if etag is not None:
            pinned = {"etag": etag, "match_condition": MatchConditions.IfNotModified}
        client = self._client(blob)
        headers: dict[str, str] = {}

        def keep_headers(response: PipelineResponse[Any, Any]) -> None:
            # The SDK puts its own words in the place of what the service said of the range.
            headers.update(response.http_response.headers)

        reading = f"reading {blob} from byte {start}"
        with storage_errors(reading):
            stream = client.download_blob(
                start,
                max_bytes,
                max_concurrency=1,
                decompress=False,  # a checkpoint's offset counts the blob's own bytes
                raw_response_hook=keep_headers,
                **pinned,
            )
            data = stream.readall()
            blob_bytes = _checked_blob_bytes(headers, start, max_bytes, len(data))
        properties = stream.properties
        return Slice(
            data,
            str(properties.etag),
            blob_bytes,
            properties.creation_time,
            properties.last_modified,
        )

    def blob_bytes(self, blob: BlobRef) -> int:
        """See `LogReader.blob_bytes`."""
        client = self._client(blob)
        with storage_errors(f"reading the length of {blob}"):
            return client.get_blob_properties().size

    def _client(self, blob: BlobRef) -> BlobClient:
        account = self._accounts.get(blob.account)
        if account is None:
            raise UnknownAccount(f"{blob}: its account is none of FLOWLOG_SOURCES")
        return account.get_blob_client(blob.container, blob.name)

    def page(
        self, account: str, container: str, prefix: str, *, marker: str = "", by_folder: bool
    ) -> Page:
        """See `BlobLister.page`."""
        client = self._accounts[account].get_container_client(container)
        options: dict[str, Any] = {
            "name_starts_with": prefix or None,
            "results_per_page": self.blobs_a_page,
        }
        with storage_errors(f"listing {account}/{container}/{prefix}"):
            listing = client.walk_blobs(**options) if by_folder else client.list_blobs(**options)
            pages: Any = listing.by_page(marker or None)
            found = list(next(pages))
        blobs = [one for one in found if not isinstance(one, BlobPrefix)]
        logs = [(one, LogBlob.parse(one.name)) for one in blobs]
        others = [one.name for one, log in logs if log is None]
        return Page(
            [
                # A listing leaves out the quotes that all other answers put around an ETag.
                Listed(
                    BlobRef(account, container, log),
                    f'"{str(one.etag).strip(chr(34))}"',
                    one.size,
                    one.last_modified,
                    is_archived=one.blob_tier == StandardBlobTier.ARCHIVE,
                )
                for one, log in logs
                if log is not None
            ],
            [one.name for one in found if isinstance(one, BlobPrefix)],
            pages.continuation_token or "",
            Others(len(others), min(others, default="")),
        )


def _checked_blob_bytes(
    headers: Mapping[str, str], start: int, max_bytes: int, data_bytes: int
) -> int:
    """The length of the whole blob. Raises `Unavailable` if the answer is not what was asked for.

    A body that is cut short, or that somebody on the way replaced, must not be taken for the blob:
    offsets and the check for a rewritten blob depend on it.
    """
    said = CaseInsensitiveDict(headers)
    content_range = str(said.get("Content-Range", ""))
    content_bytes = said.get("Content-Length", str(data_bytes))
    found = _RANGE.fullmatch(content_range)
    if found is not None and content_bytes == str(data_bytes) and data_bytes <= max_bytes:
        first, last, blob_bytes = map(int, found.groups())
        if first == start and last - first + 1 == data_bytes and last < blob_bytes:
            return blob_bytes
    raise Unavailable(
        f"asked for {max_bytes} bytes from {start} on and got {data_bytes}, with Content-Range "
        f"{content_range!r} and Content-Length {content_bytes}"
    )
