"""flowlog_core.testing.network_watcher, on Azurite: what is committed, and in which blocks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import islice

import pytest
from azure.storage.blob import BlobClient, BlobServiceClient, ContainerClient

from flowlog_core.testing.generate import (
    FlowLogGenerator,
    Format,
    GeneratedEntry,
    Interface,
    tuples_in,
)
from flowlog_core.testing.network_watcher import (
    AppendBlobWriter,
    LogWriter,
    NetworkWatcherWriter,
    ReblockedWriter,
    WholeBlobWriter,
)

NOON = datetime(2025, 3, 9, 12, tzinfo=UTC)
NSG = Interface.nsg()
WRITERS = (NetworkWatcherWriter, ReblockedWriter, WholeBlobWriter, AppendBlobWriter)
WHOLE_DOCUMENT_WRITERS = (NetworkWatcherWriter, ReblockedWriter, WholeBlobWriter)


@pytest.fixture
def container(connection_string: str, unique: Callable[[str], str]) -> Iterator[ContainerClient]:
    with BlobServiceClient.from_connection_string(connection_string) as service:
        yield service.create_container(unique("logs"))


@pytest.fixture
def blob(container: ContainerClient) -> BlobClient:
    return container.get_blob_client(NSG.blob_name(NOON))


@pytest.fixture
def generator() -> FlowLogGenerator:
    return FlowLogGenerator(1)


def entries(generator: FlowLogGenerator, number: int) -> list[GeneratedEntry]:
    """Of both NSG versions, one after the other."""
    formats: tuple[Format, ...] = ("nsg2", "nsg1")
    return [generator.entry(formats[index % 2], NSG, NOON, 3) for index in range(number)]


def download(blob: BlobClient) -> bytes:
    return blob.download_blob().readall()


def blocks(blob: BlobClient) -> list[bytes]:
    """The bytes of each committed block, in the order of the block list."""
    data, start, found = download(blob), 0, []
    committed, _ = blob.get_block_list("committed")
    for block in committed:
        found.append(data[start : start + block.size])
        start += block.size
    assert start == len(data)
    return found


def block_ids(blob: BlobClient) -> list[str]:
    committed, _ = blob.get_block_list("committed")
    return [block.id for block in committed]


@pytest.mark.parametrize("make", WRITERS)
def test_after_every_append_the_blob_holds_what_the_writer_tells(
    make: Callable[..., LogWriter], blob: BlobClient, generator: FlowLogGenerator
) -> None:
    writer = make(blob, seed=5)
    appended: list[GeneratedEntry] = []
    for number in (0, 1, 0, 4, 2):
        new = entries(generator, number)
        writer.append(*new)
        appended += new
        assert download(blob) == writer.content
        assert writer.entries == appended
        assert writer.written == [text for entry in appended for text in entry.tuples]


@pytest.mark.parametrize("make", WHOLE_DOCUMENT_WRITERS)
def test_the_content_is_head_entries_joined_by_commas_and_tail(
    make: Callable[..., LogWriter], blob: BlobClient, generator: FlowLogGenerator
) -> None:
    writer = make(blob)
    appended: list[bytes] = []
    for number in (1, 3):
        new = entries(generator, number)
        writer.append(*new)
        appended += [entry.raw for entry in new]
        data = download(blob)
        assert data == b'{"records":[' + b",".join(appended) + b"]}"
        assert tuples_in(data) == writer.written


@pytest.mark.parametrize("seed", range(5))
def test_network_watcher_puts_whole_entries_between_head_and_tail(
    seed: int, blob: BlobClient, generator: FlowLogGenerator
) -> None:
    writer = NetworkWatcherWriter(blob, seed=seed)
    before = [b'{"records":[']
    for number in (0, 1, 5, 2):
        writer.append(*entries(generator, number))
        first, *data, last = blocks(blob)
        assert (first, last) == (b'{"records":[', b"]}")
        assert [first, *data][: len(before)] == before  # what was committed stays as it was
        assert [block.startswith(b",") for block in data] == [
            index > 0 for index in range(len(data))
        ]
        for block in data:
            json.loads(b"[" + block.removeprefix(b",") + b"]")
        before = [first, *data]


def test_network_watchers_blob_may_begin_with_head_and_tail_alone(blob: BlobClient) -> None:
    NetworkWatcherWriter(blob).append()
    assert download(blob) == b'{"records":[]}'
    assert [len(block) for block in blocks(blob)] == [12, 2]


def test_network_watcher_both_moves_its_tail_and_stages_it_anew(
    blob: BlobClient, generator: FlowLogGenerator
) -> None:
    writer = NetworkWatcherWriter(blob, seed=1)
    tails, splits = [], []
    for _ in range(8):
        length = len(block_ids(blob)) if writer.entries else 2
        writer.append(*entries(generator, 3))
        ids = block_ids(blob)
        assert len(set(ids)) == len(ids)
        tails.append(ids[-1])
        splits.append(len(ids) - length)
    assert 1 < len(set(tails)) < len(tails)
    assert min(splits) < 3  # a data block may hold several entries
    assert max(splits) > 1  # and an append may bring several blocks


def test_a_commit_of_nothing_new_changes_the_etag_alone(
    blob: BlobClient, generator: FlowLogGenerator
) -> None:
    writer = NetworkWatcherWriter(blob)
    writer.append(*entries(generator, 2))
    before, etag = download(blob), blob.get_blob_properties().etag
    writer.append()
    assert download(blob) == before
    assert blob.get_blob_properties().etag != etag


def test_a_reblocked_blob_is_cut_elsewhere_on_every_append(
    blob: BlobClient, generator: FlowLogGenerator
) -> None:
    writer = ReblockedWriter(blob, seed=1)
    sizes: set[int] = set()
    for _ in range(6):
        writer.append(*entries(generator, 1))
        sizes.update(len(block) for block in blocks(blob)[:-1])
    assert not sizes & {12}  # the head is not a block of its own
    assert len(sizes) > 6


def test_a_blob_put_whole_has_no_block_list(blob: BlobClient, generator: FlowLogGenerator) -> None:
    WholeBlobWriter(blob).append(*entries(generator, 2))
    assert block_ids(blob) == []
    assert blob.get_blob_properties().blob_type == "BlockBlob"


def test_an_append_blob_has_no_tail_until_it_is_closed(
    blob: BlobClient, generator: FlowLogGenerator
) -> None:
    writer = AppendBlobWriter(blob)
    with pytest.raises(ValueError, match="does not exist yet"):
        writer.close()
    writer.append()
    assert download(blob) == b'{"records":['
    for number in (2, 1):
        writer.append(*entries(generator, number))
    assert blob.get_blob_properties().blob_type == "AppendBlob"
    with pytest.raises(json.JSONDecodeError):
        json.loads(download(blob))
    writer.close()
    assert download(blob) == writer.content
    assert tuples_in(download(blob)) == writer.written
    with pytest.raises(ValueError, match="closed"):
        writer.append()


def test_an_append_above_four_mebibytes_reaches_an_append_blob_whole(blob: BlobClient) -> None:
    writer = AppendBlobWriter(blob)
    big = GeneratedEntry(b'{"filler":"' + b"x" * (9 * 1024 * 1024) + b'"}', ())
    writer.append(big)
    assert download(blob) == writer.content == b'{"records":[' + big.raw


@pytest.mark.parametrize("make", WRITERS)
def test_a_blob_started_over_holds_only_what_came_since(
    make: Callable[..., LogWriter], blob: BlobClient, generator: FlowLogGenerator
) -> None:
    writer = make(blob)
    writer.append(*entries(generator, 5))
    long = len(download(blob))
    (new,) = entries(generator, 1)
    writer.start_over(new)
    assert (writer.entries, writer.written) == ([new], list(new.tuples))
    assert download(blob) == writer.content
    assert len(writer.content) < long
    writer.append(*entries(generator, 1))
    assert download(blob) == writer.content


def test_several_threads_write_several_blobs(container: ContainerClient) -> None:
    def write(number: int) -> LogWriter:
        interface = Interface.vnet(number)
        blob = container.get_blob_client(interface.blob_name(NOON))
        writer = NetworkWatcherWriter(blob, seed=number)
        for batch in islice(FlowLogGenerator(number).minutes("vnet4", interface, NOON), 4):
            writer.append(*batch)
        return writer

    with ThreadPoolExecutor(4) as pool:
        writers = list(pool.map(write, range(6)))
    for writer in writers:
        assert tuples_in(download(writer.blob)) == writer.written
    assert len({writer.content for writer in writers}) == 6


def test_the_same_seed_gives_the_same_blocks(container: ContainerClient) -> None:
    def run(name: str) -> list[bytes]:
        generator = FlowLogGenerator(3)
        writer = NetworkWatcherWriter(container.get_blob_client(name), seed=3)
        for number in range(4):
            writer.append(*entries(generator, number))
        return blocks(writer.blob)

    assert run("one") == run("two")
