"""One contract for every source of blobs: in memory, and on real containers of Azurite."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Protocol

import pytest
from azure.core.pipeline.transport import RequestsTransport
from azure.core.utils import CaseInsensitiveDict
from azure.storage.blob import (
    BlobClient,
    BlobServiceClient,
    BlobType,
    ContentSettings,
    StandardBlobTier,
)

from flowlog_core.blob import BlobRef
from flowlog_core.errors import (
    Archived,
    Conflict,
    NotFound,
    OutOfRange,
    Unavailable,
    UnknownAccount,
)
from flowlog_core.source.blobs import AzureBlobs
from flowlog_core.source.listing import BlobLister, Page
from flowlog_core.source.reading import LogReader, Slice
from flowlog_core.storage.whole_response import WholeResponse
from flowlog_core.testing.memory import MemoryBlobs, some_blob


class Source(LogReader, BlobLister, Protocol):
    """What `ingest` and the sweep need of a source."""

    blobs_a_page: int


class Storage(Protocol):
    """A source, and how to put something there."""

    container: str

    @property
    def source(self) -> Source: ...

    def put(self, blob: BlobRef, content: bytes) -> None: ...

    def archive(self, blob: BlobRef) -> None: ...


class InMemory:
    def __init__(self, container: str) -> None:
        self.source = MemoryBlobs()
        self.container = container

    def put(self, blob: BlobRef, content: bytes) -> None:
        self.source.put(blob, content)

    def archive(self, blob: BlobRef) -> None:
        self.source.archive(blob)


class InAzurite:
    def __init__(self, connection_string: str, container: str, blob_type: BlobType) -> None:
        service = BlobServiceClient.from_connection_string(connection_string)
        self._client = service.create_container(container)
        self._type = blob_type
        self.container = container
        self.source = AzureBlobs({"exampleaccount": service})

    def put(self, blob: BlobRef, content: bytes) -> None:
        client = self._client.get_blob_client(blob.name)
        if self._type is BlobType.BLOCKBLOB:
            client.upload_blob(content, overwrite=True)
        else:
            client.create_append_blob()
            if content:
                client.append_block(content)

    def client_of(self, blob: BlobRef) -> BlobClient:
        return self._client.get_blob_client(blob.name)

    def archive(self, blob: BlobRef) -> None:
        client = self._client.get_blob_client(blob.name)
        client.set_standard_blob_tier(StandardBlobTier.ARCHIVE)


@pytest.fixture(params=["memory", "block blob", "append blob"])
def storage(request: pytest.FixtureRequest, unique: Callable[[str], str]) -> Storage:
    if request.param == "memory":
        return InMemory(unique("logs"))
    kind = BlobType.BLOCKBLOB if request.param == "block blob" else BlobType.APPENDBLOB
    return InAzurite(request.getfixturevalue("connection_string"), unique("logs"), kind)


def test_a_part_comes_with_the_version_and_the_whole_length(storage: Storage) -> None:
    blob = some_blob(container=storage.container)
    storage.put(blob, b"0123456789")
    first = storage.source.read(blob, 2, 5, None)
    rest = storage.source.read(blob, 7, 100, first.etag)
    assert first == Slice(b"23456", first.etag, 10, first.created, first.last_modified)
    assert rest == Slice(b"789", first.etag, 10, first.created, first.last_modified)
    assert first.etag


def test_a_read_pinned_to_an_older_version_is_a_conflict(storage: Storage) -> None:
    blob = some_blob(container=storage.container)
    storage.put(blob, b"0123456789")
    etag = storage.source.read(blob, 0, 5, None).etag
    storage.put(blob, b"0123456789more")
    with pytest.raises(Conflict):
        storage.source.read(blob, 5, 5, etag)
    assert storage.source.read(blob, 5, 5, None).data == b"56789"


def test_there_is_nothing_behind_the_end(storage: Storage) -> None:
    blob = some_blob(container=storage.container)
    storage.put(blob, b"")
    with pytest.raises(OutOfRange):
        storage.source.read(blob, 0, 5, None)
    assert storage.source.blob_bytes(blob) == 0
    storage.put(blob, b"01234")
    with pytest.raises(OutOfRange):
        storage.source.read(blob, 6, 5, None)
    assert storage.source.blob_bytes(blob) == 5


def test_what_is_not_there_is_not_found(storage: Storage) -> None:
    storage.put(some_blob(container=storage.container), b"x")
    with pytest.raises(NotFound):
        storage.source.read(some_blob(hour=5, container=storage.container), 0, 5, None)
    with pytest.raises(NotFound):
        storage.source.blob_bytes(some_blob(hour=5, container=storage.container))


@pytest.mark.parametrize("content", [gzip.compress(b"0123456789" * 100), b"0123456789" * 100])
def test_a_blob_is_read_as_it_is_whatever_encoding_it_claims(
    connection_string: str, unique: Callable[[str], str], content: bytes
) -> None:
    """A checkpoint's offset counts the blob's own bytes. The second blob's header is wrong."""
    storage = InAzurite(connection_string, unique("logs"), BlobType.BLOCKBLOB)
    blob = some_blob(container=storage.container)
    client = storage.client_of(blob)
    client.upload_blob(content, content_settings=ContentSettings(content_encoding="gzip"))
    whole = storage.source.read(blob, 0, 10_000, None)
    part = storage.source.read(blob, 3, 10, whole.etag)
    assert (whole.data, whole.blob_bytes) == (content, len(content))
    assert (part.data, part.blob_bytes) == (content[3:13], len(content))


@pytest.mark.parametrize(
    ("range_of_answer", "body"),
    [
        ("bytes 5-14/100", b"01234"),  # shorter than it says
        ("bytes 5-14/100", b"0123456789more"),  # longer
        ("bytes 0-9/100", b"0123456789"),  # another part
        ("bytes 5-24/100", b"0123456789" * 2),  # more than was asked for
        ("bytes 5-14/*", b"0123456789"),
        ("lines 5-14/100", b"0123456789"),
        (None, b"0123456789"),
    ],
)
def test_an_answer_that_is_not_what_was_asked_for_is_none(
    range_of_answer: str | None, body: bytes
) -> None:
    with pytest.raises(Unavailable):
        read_answered(range_of_answer, body)


def test_an_answer_is_taken_for_what_it_says() -> None:
    found = read_answered("bytes 5-14/100", b"0123456789")
    assert (found.data, found.blob_bytes) == (b"0123456789", 100)


def read_answered(range_of_answer: str | None, body: bytes) -> Slice:
    """What is read of bytes 5 to 14 where the service gives this answer."""
    headers = CaseInsensitiveDict({"Content-Length": str(len(body)), "ETag": '"1"'})
    if range_of_answer is not None:
        headers["Content-Range"] = range_of_answer

    class Answering(RequestsTransport):  # type: ignore[misc]  # loaded lazily: Any
        def send(self, request: Any, **_: Any) -> Any:
            return WholeResponse(request, 206, "Partial Content", headers, body)

    blob = some_blob()
    client = BlobServiceClient(
        f"https://{blob.account}.blob.core.windows.net", transport=Answering(), retry_total=0
    )
    return AzureBlobs({blob.account: client}).read(blob, 5, 10, None)


def pages_of(storage: Storage, prefix: str, *, by_folder: bool) -> list[Page]:
    """All pages, as the markers lead from one to the next."""
    pages: list[Page] = []
    while not pages or pages[-1].marker:
        marker = pages[-1].marker if pages else ""
        pages.append(
            storage.source.page(
                "exampleaccount", storage.container, prefix, marker=marker, by_folder=by_folder
            )
        )
    return pages


def names_in(pages: list[Page]) -> list[str]:
    return sorted(one.blob.name for page in pages for one in page.listed)


def test_a_page_shows_the_flow_logs_with_version_length_and_time(storage: Storage) -> None:
    blobs = [some_blob(hour=hour, container=storage.container) for hour in (1, 2, 3)]
    for number, blob in enumerate(blobs):
        storage.put(blob, b"x" * number)
    (page,) = pages_of(storage, "", by_folder=False)
    assert page.folders == []
    assert [(one.blob, one.blob_bytes) for one in page.listed] == list(
        zip(blobs, range(3), strict=True)
    )
    assert page.listed[2].etag == storage.source.read(blobs[2], 0, 5, None).etag
    assert page.listed[0].last_modified <= page.listed[2].last_modified
    assert page.listed[0].last_modified.utcoffset() == timedelta(0)


def test_a_prefix_and_its_folders_narrow_a_listing(storage: Storage) -> None:
    blobs = [some_blob(hour=hour, container=storage.container) for hour in (1, 2)]
    for blob in blobs:
        storage.put(blob, b"")
    day = blobs[0].name.partition("h=01")[0]
    folders = [f"{day}h=01/", f"{day}h=02/"]
    assert pages_of(storage, day, by_folder=True) == [Page([], folders)]
    assert names_in(pages_of(storage, folders[1], by_folder=False)) == [blobs[1].name]
    file = blobs[1].name.removesuffix("PT1H.json")
    assert names_in(pages_of(storage, file, by_folder=True)) == [blobs[1].name]
    for by_folder in (False, True):
        assert pages_of(storage, "none", by_folder=by_folder) == [Page([], [])]


def test_markers_lead_through_all_that_one_page_does_not_hold(storage: Storage) -> None:
    storage.source.blobs_a_page = 2
    blobs = [some_blob(hour=hour, container=storage.container) for hour in range(5)]
    for blob in blobs:
        storage.put(blob, b"")
    pages = pages_of(storage, "", by_folder=False)
    assert [len(page.listed) for page in pages] == [2, 2, 1]
    assert names_in(pages) == [blob.name for blob in blobs]
    day = blobs[0].name.partition("h=00")[0]
    pages = pages_of(storage, day, by_folder=True)
    assert [list(page.folders) for page in pages] == [
        [f"{day}h=00/", f"{day}h=01/"],
        [f"{day}h=02/", f"{day}h=03/"],
        [f"{day}h=04/"],
    ]


def test_other_blobs_are_not_listed(connection_string: str, unique: Callable[[str], str]) -> None:
    storage = InAzurite(connection_string, unique("logs"), BlobType.BLOCKBLOB)
    storage.put(some_blob(container=storage.container), b"")
    service = BlobServiceClient.from_connection_string(connection_string)
    service.get_blob_client(storage.container, "readme.txt").upload_blob(b"hello")
    assert names_in(pages_of(storage, "", by_folder=False)) == [some_blob().name]


def test_a_container_that_is_not_there_is_not_found(connection_string: str) -> None:
    source = AzureBlobs({"a": BlobServiceClient.from_connection_string(connection_string)})
    for by_folder in (False, True):
        with pytest.raises(NotFound):
            source.page("a", "no-such-container", "", by_folder=by_folder)


@pytest.mark.parametrize("storage", ["memory", "block blob"], indirect=True)  # others have no tiers
def test_what_is_in_the_archive_tier_is_listed_as_such_and_cannot_be_read(storage: Storage) -> None:
    archived, other = (some_blob(hour=hour, container=storage.container) for hour in (1, 2))
    storage.put(archived, b"x")
    storage.put(other, b"x")
    storage.archive(archived)
    ((listed, *_),) = pages_of(storage, "", by_folder=False)
    assert [(one.blob, one.is_archived) for one in listed] == [(archived, True), (other, False)]
    with pytest.raises(Archived, match="409 BlobArchived"):
        storage.source.read(archived, 0, 5, None)


def test_an_account_that_is_no_source_is_named() -> None:
    blob = some_blob()
    with pytest.raises(UnknownAccount, match=re.escape(f"{blob}: its account is none of FLOWLOG_")):
        AzureBlobs({}).read(blob, 0, 5, None)
