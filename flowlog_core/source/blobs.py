"""Flow log blobs in their storage accounts: reading parts of them, and listing them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from azure.core import MatchConditions
from azure.storage.blob import BlobPrefix, BlobServiceClient, StandardBlobTier

from flowlog_core.blob import BlobRef, LogBlob
from flowlog_core.errors import UnknownAccount, storage_errors
from flowlog_core.source.listing import Listed, Page
from flowlog_core.source.reading import Slice

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
        account = self._accounts.get(blob.account)
        if account is None:
            raise UnknownAccount(f"{blob}: its account is none of FLOWLOG_SOURCES")
        client = account.get_blob_client(blob.container, blob.name)
        with storage_errors(f"reading {blob} from byte {start}"):
            stream = client.download_blob(start, max_bytes, max_concurrency=1, **pinned)
            data = stream.readall()
        properties = stream.properties
        blob_bytes = int(str(properties.content_range).rpartition("/")[2])
        return Slice(
            data,
            str(properties.etag),
            blob_bytes,
            properties.creation_time,
            properties.last_modified,
        )

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
        logs = ((one, LogBlob.parse(one.name)) for one in blobs)
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
        )
