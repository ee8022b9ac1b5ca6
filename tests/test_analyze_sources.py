"""Flow logs are read wherever they lie, and what cannot be read never hides the rest."""

from __future__ import annotations

import gzip
import io
import os
import threading
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from azure.storage.blob import (
    BlobServiceClient,
    ContainerSasPermissions,
    StandardBlobTier,
    generate_container_sas,
)
from support import tuple_of

from flowlog_core.analyze import accounts
from flowlog_core.analyze.accounts import Address
from flowlog_core.analyze.contents import Unreadable, unpacked
from flowlog_core.analyze.prefetch import prefetched
from flowlog_core.analyze.problems import Problems
from flowlog_core.analyze.rows import rows
from flowlog_core.analyze.selection import Selection, has_resource, moment, named_in
from flowlog_core.analyze.sources import Source, blob_of, expand
from flowlog_core.blob import BlobRef, LogBlob, Position
from flowlog_core.demo.azurite import Azurite
from flowlog_core.source.blobs import AzureBlobs
from flowlog_core.testing.generate import FlowLogGenerator, Interface, document

HOUR = datetime(2026, 1, 1, 7, tzinfo=UTC)


def log(seed: int = 1, hour: datetime = HOUR) -> tuple[bytes, list[str]]:
    """A small log of one entry, logged half an hour into its hour, and its tuples."""
    entry = FlowLogGenerator(seed).entry("vnet4", Interface.vnet(), hour + timedelta(minutes=30), 5)
    return document([entry]), list(entry.tuples)


def found(*names: str, selection: Selection | None = None) -> tuple[list[str], list[str]]:
    """The tuples in all that is named, and what could not be read."""
    told: list[str] = []
    problems = Problems(lambda name, problem: told.append(f"{name}: {problem}"))
    lines = [line for some in rows(expand(names, selection), problems) for line in some]
    return [tuple_of(orjson.loads(line)) for line in lines], told


DATA, TUPLES = log()
UTF_16 = DATA.decode().encode("utf-16")


@pytest.mark.parametrize(
    "content",
    [
        DATA,
        b"\xef\xbb\xbf" + DATA,
        gzip.compress(DATA),
        gzip.compress(DATA[:100]) + gzip.compress(DATA[100:]),
        gzip.compress(DATA) + b"\x00" * 512,
        UTF_16,
        DATA.decode().encode("utf-16-le"),
        DATA.decode().encode("utf-16-be"),
        gzip.compress(UTF_16),
    ],
)
@pytest.mark.parametrize("piece_bytes", [1, 7, 10**6])
def test_what_a_file_is_packed_in_is_seen_from_its_bytes(content: bytes, piece_bytes: int) -> None:
    pieces = (content[at : at + piece_bytes] for at in range(0, len(content), piece_bytes))
    assert b"".join(unpacked(pieces)).removeprefix(b"\xef\xbb\xbf") == DATA


def test_a_gzip_file_that_is_cut_short_gives_what_it_holds_and_says_so() -> None:
    packed = gzip.compress(os.urandom(5000).hex().encode())
    pieces = unpacked([packed[:-2000]])
    got = b""

    def take_all() -> None:
        nonlocal got
        for piece in pieces:
            got += piece

    with pytest.raises(Unreadable, match="cut short"):
        take_all()
    assert gzip.decompress(packed).startswith(got)
    assert len(got) > 1000


def test_a_small_file_that_unpacks_to_a_huge_one_takes_little_memory() -> None:
    packed = gzip.compress(bytes(200 * 1024 * 1024))
    assert max(map(len, unpacked([packed]))) <= 1024 * 1024


def test_folders_of_any_depth_are_read_in_the_order_of_names(tmp_path: Path) -> None:
    for at, name in enumerate(["b/c/PT1H.json", "b/a.json.gz", "z.zip", "b/notes.txt"]):
        data = log(at)[0]
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".zip"):
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("x/PT1H.json", data)
                archive.writestr("readme.txt", "nothing")
        else:
            path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    tuples, told = found(str(tmp_path))
    assert tuples == [*log(1)[1], *log(0)[1], *log(2)[1]]
    assert told == []


def test_what_cannot_be_read_is_named_and_the_rest_is_used(tmp_path: Path) -> None:
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04 and nothing else")
    (tmp_path / "cut.json.gz").write_bytes(gzip.compress(DATA)[:-4])
    (tmp_path / "good.json").write_bytes(DATA)
    (tmp_path / "half.json").write_bytes(DATA.replace(TUPLES[0].encode(), b"1,2", 1))
    (tmp_path / "none").mkdir()
    tuples, told = found(*map(str, sorted(tmp_path.iterdir())), str(tmp_path / "missing"))
    assert tuples == [*TUPLES, *TUPLES, *TUPLES[1:]]
    names = [Path(line.partition(":")[0]).name for line in told]
    assert names == ["bad.zip", "cut.json.gz", "half.json", "none", "missing"]
    assert told[-1].endswith("cannot be read: No such file or directory")


def test_an_encrypted_or_damaged_member_of_a_zip_is_named(tmp_path: Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("one.json", DATA)
        archive.writestr("two.json", DATA)
    damaged = bytearray(content.getvalue())
    damaged[60:70] = bytes(10)
    (tmp_path / "x.zip").write_bytes(damaged)
    tuples, told = found(str(tmp_path / "x.zip"))
    assert tuples[-5:] == TUPLES
    assert len(told) >= 1
    assert all("x.zip/one.json" in line for line in told)


def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(DATA,))
    writer.start()
    assert found(str(pipe)) == (TUPLES, [])
    writer.join()


NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T09:30", datetime(2026, 1, 31, 9, 30, tzinfo=UTC)),
        ("2026-01-31T09:30:00+02:00", datetime(2026, 1, 31, 7, 30, tzinfo=UTC)),
        ("2026-01-31T09:30Z", datetime(2026, 1, 31, 9, 30, tzinfo=UTC)),
        ("90m", NOW - timedelta(minutes=90)),
        ("7d", NOW - timedelta(days=7)),
    ],
)
def test_a_time_is_read_as_people_write_it(text: str, time: datetime) -> None:
    assert moment(text, NOW) == time


def test_what_is_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match="is not a time"):
        moment("yesterday", NOW)


def test_downloaded_blobs_of_other_hours_are_not_even_opened(tmp_path: Path) -> None:
    hours = [HOUR + timedelta(hours=n) for n in range(5)]
    for hour in hours:
        path = tmp_path / Interface.vnet().blob_name(hour)
        path.parent.mkdir(parents=True)
        path.write_bytes(log(1, hour)[0])
    since, until = HOUR + timedelta(hours=1), HOUR + timedelta(hours=3)
    selection = Selection(since, until)
    opened = [named_in(source.name) for source in expand([str(tmp_path)], selection)]
    # The blob of 10:00 too: its first entry may be about the minute before.
    assert [one.hour for one in opened if one] == hours[1:4]
    tuples, told = found(str(tmp_path), selection=selection)
    times = [datetime.fromtimestamp(int(text.split(",")[0]) / 1000, UTC) for text in tuples]
    assert times
    assert all(since <= time < until for time in times)
    assert (len(times), told) == (10, [])


def test_a_file_whose_name_says_nothing_is_asked_record_by_record(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_bytes(DATA)
    file = str(tmp_path / "one.json")
    mac = Interface.vnet().mac
    written = "-".join(mac[at : at + 2] for at in range(0, 12, 2)).lower()
    assert found(file, selection=Selection(mac=written)) == (TUPLES, [])
    assert found(file, selection=Selection(mac="000000000000")) == ([], [])
    assert found(file, selection=Selection(resource="WEB-1-vnet")) == (TUPLES, [])
    assert found(file, selection=Selection(resource="another")) == ([], [])
    assert found(file, selection=Selection(since=HOUR + timedelta(hours=1))) == ([], [])


# Storage accounts, in Azurite.


@pytest.fixture
def container(azurite: Azurite, unique: Callable[[str], str]) -> Iterator[str]:
    """The address of a container with an hour's log of two interfaces, for three hours."""
    service = BlobServiceClient.from_connection_string(azurite.connection_string)
    client = service.create_container(unique("logs"))
    for number in (1, 2):
        for hours in range(3):
            hour = HOUR + timedelta(hours=hours)
            client.upload_blob(Interface.vnet(number).blob_name(hour), log(number, hour)[0])
    yield client.url
    client.delete_container()
    service.close()


def test_a_container_is_read_by_its_address(container: str) -> None:
    tuples, told = found(container)
    expected = [
        text for n in (1, 2) for h in range(3) for text in log(n, HOUR + timedelta(hours=h))[1]
    ]
    assert (tuples, told) == (expected, [])


def test_ids_are_those_under_which_the_blob_is_forwarded(container: str) -> None:
    problems = Problems()
    lines = next(rows(expand([container]), problems))
    account, _, name = container.rpartition("/")
    ref = BlobRef(
        account.rpartition("/")[2],
        name,
        LogBlob.parse(Interface.vnet(1).blob_name(HOUR)) or pytest.fail("no name"),
    )
    assert orjson.loads(lines[0])["id"] == Position(ref, offset=12).record_id(0)


def test_a_prefix_a_range_and_an_interface_choose_blobs(container: str) -> None:
    name = Interface.vnet(2).blob_name(HOUR)
    prefix = name[: name.index("/y=")]
    assert found(f"{container}/{prefix}")[0][:5] == log(2)[1]
    assert found(f"{container}/{name}") == (log(2)[1], [])
    selection = Selection(HOUR + timedelta(hours=2), mac=Interface.vnet(1).mac)
    assert found(container, selection=selection) == (log(1, HOUR + timedelta(hours=2))[1], [])


def test_blobs_out_of_range_are_not_listed(container: str, monkeypatch: pytest.MonkeyPatch) -> None:
    listed: list[str] = []
    page = AzureBlobs.page

    def counted(self: AzureBlobs, *args: str, **options: str) -> object:
        self.blobs_a_page = 2
        got = page(self, *args, **options)  # type: ignore[arg-type]
        listed.extend(one.blob.name for one in got.listed)
        return got

    monkeypatch.setattr(AzureBlobs, "page", counted)
    hour = HOUR + timedelta(hours=1)
    selection = Selection(hour, hour + timedelta(minutes=59))
    tuples, _ = found(container, selection=selection)
    assert tuples == [*log(1, hour)[1], *log(2, hour)[1]]
    late = [name for name in listed if "/h=09/" in name and name.endswith("json")]
    assert late == []


def test_a_sas_in_the_address_is_enough(
    azurite: Azurite, container: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "_EMULATOR_KEY", "bm90IHRoZSBrZXk=")
    service = BlobServiceClient.from_connection_string(azurite.connection_string)
    sas = generate_container_sas(
        str(service.account_name),
        container.rpartition("/")[2],
        account_key=service.credential.account_key,
        permission=ContainerSasPermissions(read=True, list=True),
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
    tuples, told = found(f"{container}?{sas}")
    assert (len(tuples), told) == (30, [])
    _, refused = found(container)
    assert len(refused) == 1
    assert "Storage Blob Data Reader" in refused[0]
    assert "sig=" not in refused[0]


def test_an_account_without_logs_or_without_the_container_says_so(
    container: str, unique: Callable[[str], str]
) -> None:
    nothing = found(f"{container}/no/such")[1]
    assert nothing == [
        f"{container}/no/such: cannot be read: no flow logs were found here in this time range"
    ]
    missing = found(f"{container.rpartition('/')[0]}/{unique('missing')}")[1]
    assert len(missing) == 1
    assert "404 ContainerNotFound" in missing[0]


def test_an_archived_blob_is_named_and_the_rest_is_used(azurite: Azurite, container: str) -> None:
    service = BlobServiceClient.from_connection_string(azurite.connection_string)
    client = service.get_container_client(container.rpartition("/")[2])
    client.get_blob_client(Interface.vnet(1).blob_name(HOUR)).set_standard_blob_tier(
        StandardBlobTier.ARCHIVE
    )
    tuples, told = found(container)
    assert len(tuples) == 25
    assert len(told) == 1
    assert "archive tier" in told[0]


@pytest.mark.parametrize("text", ["https://", "https://a.blob.core.windows.net", "http://h:1/x"])
def test_an_address_without_a_container_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="Write https://ACCOUNT"):
        list(expand([text]))


def test_addresses_of_azure_and_of_the_emulator() -> None:
    azure = Address.parse("https://acc.blob.core.windows.net/logs/a/b%20c?sv=1&sig=x")
    assert azure == ("https://acc.blob.core.windows.net", "acc", "logs", "a/b c", "sv=1&sig=x")
    local = Address.parse("http://127.0.0.1:10000/devstoreaccount1/logs")
    assert local[:4] == (
        *("http://127.0.0.1:10000/devstoreaccount1", "devstoreaccount1", "logs", ""),
    )


def test_the_ids_in_a_local_file_are_those_of_a_blob_in_no_account() -> None:
    # `printf '["", "", "a b.json"]' | b2sum -l 96`
    assert Position(blob_of("a b.json"), offset=12).entry_id == "d4793afe9786ba1933bc14e0.0.12"


def test_several_remote_sources_are_read_at_a_time_and_come_in_order() -> None:
    together = threading.Barrier(3, timeout=20)

    def source(number: int) -> Source:
        def read() -> Iterator[bytes]:
            together.wait()
            yield b"%d" % number

        return Source(str(number), blob_of(str(number)), read, is_remote=True)

    got = [b"".join(one.read()) for one in prefetched(map(source, range(3)), max_sources=3)]
    assert got == [b"0", b"1", b"2"]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [("web-1-nsg", [1]), ("WEB-1", [1, 11]), ("web-?-nsg", [1, 2]), ("*/web-1*", [1, 11]),
     ("web", [1, 2, 11]), ("eb-*", [])],
)  # fmt: skip
def test_a_resource_is_a_part_of_the_id_or_a_pattern_of_it_or_of_its_last_part(
    wanted: str, expected: list[int]
) -> None:
    """By a blob's name, and by its records where no name says whose they are."""
    ids = {number: Interface.nsg(number).resource_id for number in (1, 2, 11)}
    assert [number for number in ids if has_resource(wanted, ids[number])] == expected
    (rules,) = Selection(resource=wanted).by_text
    assert [number for number in ids if rules.matches({"resource_id": ids[number]})] == expected
