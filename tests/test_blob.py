from __future__ import annotations

import string
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from flowlog_core.blob import BlobRef, LogBlob, Position
from flowlog_core.testing.memory import some_blob

SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
NSG_ID = (
    f"/SUBSCRIPTIONS/{SUBSCRIPTION}/RESOURCEGROUPS/FABRIKAMRG"
    "/PROVIDERS/MICROSOFT.NETWORK/NETWORKSECURITYGROUPS/FABRIAKMVM1-NSG"
)
TAIL = "/y=2018/m=11/d=13/h=12/m=00/macAddress=000D3AF87856/PT1H.json"
HOUR = datetime(2018, 11, 13, 12, tzinfo=UTC)


def test_an_nsg_name() -> None:
    name = f"resourceId={NSG_ID}{TAIL}"
    assert LogBlob.parse(name) == LogBlob("nsg", NSG_ID, HOUR, "000D3AF87856", name)


@pytest.mark.parametrize(
    "resource_id",
    [
        f"/{SUBSCRIPTION}_NETWORKWATCHERRG/NETWORKWATCHER_EASTUS_MYLOG",
        f"/{SUBSCRIPTION}_NETWORKWATCHERRG/NETWORKWATCHER_EASTUS_MYVNET-MYGROUP-FLOWLOGS",
        f"/SUBSCRIPTIONS/{SUBSCRIPTION}/RESOURCEGROUPS/NETWORKWATCHERRG/PROVIDERS/MY/FLOWLOGS/LOG",
    ],
)
def test_the_three_forms_of_a_vnet_name(resource_id: str) -> None:
    name = f"flowLogResourceID={resource_id}{TAIL}"
    assert LogBlob.parse(name) == LogBlob("vnet", resource_id, HOUR, "000D3AF87856", name)


def test_letter_case_does_not_matter_and_is_kept() -> None:
    name = (
        "RESOURCEID=/Subscriptions/s/Nsg/Y=2018/M=11/D=13/H=12/M=00"
        "/MACADDRESS=000d3af87856/pt1h.JSON"
    )
    assert LogBlob.parse(name) == LogBlob("nsg", "/Subscriptions/s/Nsg", HOUR, "000d3af87856", name)


def test_a_resource_named_like_a_date_part_is_not_taken_for_the_date() -> None:
    name = f"flowLogResourceID=/a/y=2001/m=01/d=01{TAIL}"
    assert LogBlob.parse(name) == LogBlob("vnet", "/a/y=2001/m=01/d=01", HOUR, "000D3AF87856", name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "PT1H.json",
        f"resourceId={TAIL}",
        f"resource={NSG_ID}{TAIL}",
        f"x/resourceId={NSG_ID}{TAIL}",
        f"resourceId={NSG_ID}{TAIL}.bak",
        f"resourceId={NSG_ID}{TAIL}\n",
        f"resourceId={NSG_ID}/y=2018/m=11/d=13/h=12/m=0/macAddress=000D3AF87856/PT1H.json",
        f"resourceId={NSG_ID}/y=2018/m=11/d=13/h=12/macAddress=000D3AF87856/PT1H.json",
        f"resourceId={NSG_ID}/y=2018/m=11/d=13/h=12/m=00/macAddress=/PT1H.json",
        f"resourceId={NSG_ID}/y=2018/m=11/d=13/h=24/m=00/macAddress=000D3AF87856/PT1H.json",
        f"resourceId={NSG_ID}/y=2018/m=02/d=29/h=12/m=00/macAddress=000D3AF87856/PT1H.json",
        f"resourceId={NSG_ID}/y=0000/m=01/d=01/h=12/m=00/macAddress=000D3AF87856/PT1H.json",
        f"resourceId={NSG_ID}/y=201８/m=11/d=13/h=12/m=00/macAddress=000D3AF87856/PT1H.json",
        f"reſourceId={NSG_ID}{TAIL}",
        # Each could pass for another line of a log, or turn it around.
        f"resourceId={NSG_ID}{TAIL}".replace("000D3A", "00\n2026-01-01 ERROR forged"),
        f"resourceId={NSG_ID}{TAIL}".replace("000D3A", "\x85"),
        f"resourceId={NSG_ID}\r{TAIL}",
        f"resourceId={NSG_ID}\u2028{TAIL}",
        f"resourceId={NSG_ID}\x1b[2J{TAIL}",
        f"resourceId={NSG_ID}\x9b2J{TAIL}",
        f"resourceId={NSG_ID}\u202e{TAIL}",
        # Each would be read from the address of another blob.
        f"resourceId=/x/..{NSG_ID}{TAIL}",
        f"resourceId={NSG_ID}/.{TAIL}",
    ],
)
def test_any_other_name_is_none(name: str) -> None:
    assert LogBlob.parse(name) is None


@given(
    prefix=st.sampled_from(["resourceId", "flowLogResourceID"]),
    resource_id=st.text(string.ascii_letters + string.digits + "/=._-() ", min_size=1),
    hour=st.datetimes(timezones=st.just(UTC)),
    mac=st.text(string.hexdigits, min_size=12, max_size=12),
)
def test_what_is_written_is_read_back(
    prefix: str, resource_id: str, hour: datetime, mac: str
) -> None:
    assume({".", ".."}.isdisjoint(resource_id.split("/")))
    name = (
        f"{prefix}=/{resource_id}/y={hour.year:04}/m={hour.month:02}/d={hour.day:02}"
        f"/h={hour.hour:02}/m=00/macAddress={mac}/PT1H.json"
    )
    kind: Literal["nsg", "vnet"] = "nsg" if prefix == "resourceId" else "vnet"
    start = hour.replace(minute=0, second=0, microsecond=0)
    assert LogBlob.parse(name) == LogBlob(kind, f"/{resource_id}", start, mac, name)


@given(st.text())
def test_no_text_makes_it_fail(name: str) -> None:
    blob = LogBlob.parse(name)
    assert blob is None or blob.name == name


def position_of(account: str, container: str, name: str, generation: int, offset: int) -> Position:
    return Position(
        BlobRef(account, container, replace(some_blob().log, name=name)), generation, offset
    )


positions = st.builds(
    position_of, st.text(), st.text(), st.text(), st.integers(0, 9), st.integers(0)
)

ascending = st.lists(st.integers(0, 8), min_size=1, unique=True).map(sorted)


def test_the_ids_are_golden() -> None:
    """Ids are stored by those who receive records: they may never change."""
    position = position_of("account", "insights-logs-flowlogflowevent", "a/b/PT1H.json", 3, 12)
    assert position.blob_digest == "1ac97302da9547d356eed5bf"
    assert position.entry_id == "1ac97302da9547d356eed5bf.3.12"
    assert position.record_id(0) == "1ac97302da9547d356eed5bf.3.12.0"
    assert position.message_id([0]) == "1ac97302da9547d356eed5bf.3.12.m0.1"
    assert position.message_id(range(7, 107)) == "1ac97302da9547d356eed5bf.3.12.m7.100"
    # The digest is that of `printf 7,8,10 | b2sum -l 32`.
    assert position.message_id([7, 8, 10]) == "1ac97302da9547d356eed5bf.3.12.m7.3.a8e920c7"


@given(positions)
def test_a_digest_is_24_hexadecimal_digits(position: Position) -> None:
    assert len(position.blob_digest) == 24
    assert set(position.blob_digest) <= set(string.hexdigits.lower())


@given(positions, st.integers(0, 9), st.integers(0))
def test_the_digest_stands_for_the_blob_whatever_its_generation(
    position: Position, generation: int, offset: int
) -> None:
    assert Position(position.blob, generation, offset).blob_digest == position.blob_digest
    assert position.at(offset) == Position(position.blob, position.generation, offset)


@given(st.text('a\0/,"\\', max_size=9), st.data())
def test_names_that_join_to_the_same_text_stay_apart(text: str, data: st.DataObject) -> None:
    def split() -> Position:
        first, second = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
        return position_of(text[:first], text[first:second], text[second:], 0, 0)

    one, other = split(), split()
    assert (one.blob_digest == other.blob_digest) == (one == other)


@given(positions, st.integers(0), positions, st.integers(0))
def test_two_positions_never_share_an_id(
    one: Position, index: int, other: Position, other_index: int
) -> None:
    same = (one, index) == (other, other_index)
    assert (one.record_id(index) == other.record_id(other_index)) == same
    assert one.record_id(index) != other.message_id([other_index])


@given(positions, ascending, positions, ascending)
def test_messages_share_an_id_only_if_they_carry_the_same_tuples(
    one: Position, indexes: list[int], other: Position, other_indexes: list[int]
) -> None:
    same = (one, indexes) == (other, other_indexes)
    assert (one.message_id(indexes) == other.message_id(other_indexes)) == same
