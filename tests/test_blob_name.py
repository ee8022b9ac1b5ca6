from __future__ import annotations

import string
from datetime import UTC, datetime
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlog_core.blob_name import LogBlob, parse

SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
NSG_ID = (
    f"/SUBSCRIPTIONS/{SUBSCRIPTION}/RESOURCEGROUPS/FABRIKAMRG"
    "/PROVIDERS/MICROSOFT.NETWORK/NETWORKSECURITYGROUPS/FABRIAKMVM1-NSG"
)
TAIL = "/y=2018/m=11/d=13/h=12/m=00/macAddress=000D3AF87856/PT1H.json"
HOUR = datetime(2018, 11, 13, 12, tzinfo=UTC)


def test_an_nsg_name() -> None:
    name = f"resourceId={NSG_ID}{TAIL}"
    assert parse(name) == LogBlob("nsg", NSG_ID, HOUR, "000D3AF87856", name)


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
    assert parse(name) == LogBlob("vnet", resource_id, HOUR, "000D3AF87856", name)


def test_letter_case_does_not_matter_and_is_kept() -> None:
    name = (
        "RESOURCEID=/Subscriptions/s/Nsg/Y=2018/M=11/D=13/H=12/M=00"
        "/MACADDRESS=000d3af87856/pt1h.JSON"
    )
    assert parse(name) == LogBlob("nsg", "/Subscriptions/s/Nsg", HOUR, "000d3af87856", name)


def test_a_resource_named_like_a_date_part_is_not_taken_for_the_date() -> None:
    name = f"flowLogResourceID=/a/y=2001/m=01/d=01{TAIL}"
    assert parse(name) == LogBlob("vnet", "/a/y=2001/m=01/d=01", HOUR, "000D3AF87856", name)


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
    ],
)
def test_any_other_name_is_none(name: str) -> None:
    assert parse(name) is None


@given(
    prefix=st.sampled_from(["resourceId", "flowLogResourceID"]),
    resource_id=st.text(string.ascii_letters + string.digits + "/=._-() ", min_size=1),
    hour=st.datetimes(timezones=st.just(UTC)),
    mac=st.text(string.hexdigits, min_size=12, max_size=12),
)
def test_what_is_written_is_read_back(
    prefix: str, resource_id: str, hour: datetime, mac: str
) -> None:
    name = (
        f"{prefix}=/{resource_id}/y={hour.year:04}/m={hour.month:02}/d={hour.day:02}"
        f"/h={hour.hour:02}/m=00/macAddress={mac}/PT1H.json"
    )
    kind: Literal["nsg", "vnet"] = "nsg" if prefix == "resourceId" else "vnet"
    start = hour.replace(minute=0, second=0, microsecond=0)
    assert parse(name) == LogBlob(kind, f"/{resource_id}", start, mac, name)


@given(st.text())
def test_no_text_makes_it_fail(name: str) -> None:
    blob = parse(name)
    assert blob is None or blob.name == name
