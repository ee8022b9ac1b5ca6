"""Listing some hours of a container: the same as listing all and choosing, in fewer calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlog_core.blob import BlobRef, LogBlob
from flowlog_core.source.listing import Others, flow_logs_since
from flowlog_core.testing.generate import Interface
from flowlog_core.testing.memory import MemoryBlobs, by_code_point, hierarchical

LEAP_DAY = datetime(2028, 2, 29, 20, tzinfo=UTC)
HOURS = st.integers(-24 * 400, 24 * 400).map(lambda hours: LEAP_DAY + timedelta(hours=hours))
INTERFACES = [
    Interface.nsg(1),
    Interface.nsg(2),
    Interface.vnet(1),
    Interface.vnet(1, "resource-id"),
]


def blob_of(interface: Interface, hour: datetime) -> BlobRef:
    log = LogBlob.parse(interface.blob_name(hour))
    assert log is not None
    return BlobRef("account", "logs", log)


def container_of(blobs: set[BlobRef], blobs_a_page: int) -> MemoryBlobs:
    source = MemoryBlobs(blobs_a_page=blobs_a_page)
    for blob in blobs:
        source.put(blob, b"")
    return source


def names_from(source: MemoryBlobs, since: datetime, done: str = "") -> list[str]:
    steps = flow_logs_since(source, "account", "logs", since, done)
    return [one.blob.name for step in steps for one in step.listed]


BLOBS = st.sets(st.builds(blob_of, st.sampled_from(INTERFACES), HOURS), max_size=40)
ORDERS = st.sampled_from([by_code_point, hierarchical, lambda name: name[::-1]])


def shuffled(data: st.DataObject, source: MemoryBlobs) -> MemoryBlobs:
    """The same container, listed in any order and in pages of any length, empty ones too."""
    sizes = Random(data.draw(st.integers(0, 1 << 32)))  # empty pages end, as they do in Azure
    source.order = data.draw(ORDERS)
    source.odd_page = lambda: sizes.choice((0, 1, 2, 3, 40))
    return source


@given(BLOBS, HOURS, st.integers(1, 50), st.booleans(), st.data())
def test_a_listing_is_every_flow_log_of_the_hours_in_order_of_name(
    blobs: set[BlobRef], since: datetime, blobs_a_page: int, is_odd: bool, data: st.DataObject
) -> None:
    source = container_of(blobs, blobs_a_page)
    if is_odd:
        shuffled(data, source)
    done = data.draw(st.sampled_from(["", *sorted(blob.name for blob in blobs)]))
    assert names_from(source, since, done) == sorted(
        blob.name for blob in blobs if blob.log.hour >= since and blob.name > done
    )


@given(BLOBS, st.integers(1, 50), st.booleans(), st.data())
def test_blobs_of_other_names_are_counted_once_each(
    blobs: set[BlobRef], blobs_a_page: int, is_odd: bool, data: st.DataObject
) -> None:
    """Whichever of its folders are listed twice, first whole and then by their folders."""
    source = container_of(blobs, blobs_a_page)
    if is_odd:
        shuffled(data, source)
    names = [blob.name.rpartition("/")[0] for blob in blobs]  # beside the logs, and above
    some = st.sampled_from([*names, *(f"copies/{name}" for name in names), "readme.txt", "a/b"])
    source.others = data.draw(st.sets(some))
    counted = Others()
    for step in flow_logs_since(source, "account", "logs", datetime(1, 1, 1, tzinfo=UTC)):
        counted = counted.plus(step.others)
    assert counted.blobs == len(source.others)
    assert not counted.blobs or counted.example in source.others


@given(BLOBS, HOURS, st.integers(1, 9), st.data())
def test_a_listing_may_stop_at_any_step_and_carries_on_where_that_one_said(
    blobs: set[BlobRef], since: datetime, blobs_a_page: int, data: st.DataObject
) -> None:
    source = shuffled(data, container_of(blobs, blobs_a_page))
    found: list[str] = []
    done = ""
    is_over = False
    while not is_over:
        is_over = True
        for step in flow_logs_since(source, "account", "logs", since, done):
            found += [one.blob.name for one in step.listed]
            done = step.done or done
            if step.done and data.draw(st.booleans()):
                is_over = False
                break
    assert found == sorted(blob.name for blob in blobs if blob.log.hour >= since)


@pytest.mark.parametrize("order", [by_code_point, hierarchical])
def test_two_resources_whose_names_begin_alike_come_in_one_order(
    order: Callable[[str], str],
) -> None:
    """With a hierarchical namespace the service lists WEB/ before WEB-2/."""
    hour = LEAP_DAY
    web, web_2 = (replace(INTERFACES[0], name=name) for name in ("WEB", "WEB-2"))
    blobs = {blob_of(one, hour + timedelta(hours=h)) for one in (web, web_2) for h in range(3)}
    source = container_of(blobs, 5000)
    source.order = order
    found = names_from(source, hour)
    assert found == sorted(blob.name for blob in blobs)
    for number, name in enumerate(found, start=1):
        assert names_from(source, hour, name) == found[number:]


def test_a_blob_beside_a_folder_is_not_passed_over() -> None:
    """No flow log of Azure's lies there, yet a copy may."""
    inner = blob_of(INTERFACES[0], LEAP_DAY)
    outer_log = LogBlob.parse(inner.name.replace("/y=2028/", "/y=2028/m=02/d=29/h=20/x/y=2028/"))
    assert outer_log is not None
    beside = replace(inner, log=outer_log)
    far_log = LogBlob.parse(inner.name + inner.name.replace("resourceId=", "/"))
    assert far_log is not None
    below = replace(inner, log=far_log)
    blobs = {inner, beside, below}
    assert names_from(container_of(blobs, 1), LEAP_DAY) == sorted(blob.name for blob in blobs)


def test_a_small_container_costs_one_call() -> None:
    blobs = {blob_of(INTERFACES[0], LEAP_DAY - timedelta(hours=h)) for h in range(100)}
    source = container_of(blobs, 5000)
    assert len(names_from(source, LEAP_DAY - timedelta(hours=1))) == 2
    assert source.calls == {"page": 1}


def interfaces_of_one_network(number: int) -> list[Interface]:
    return [replace(Interface.vnet(1), mac=f"00224800{n:04X}") for n in range(number)]


def test_a_large_one_costs_its_folders_and_the_hours_asked_for() -> None:
    """20 interfaces of one virtual network, a month of hours, pages of 20."""
    hours = [LEAP_DAY - timedelta(hours=h) for h in range(24 * 30)]
    blobs = {blob_of(one, hour) for one in interfaces_of_one_network(20) for hour in hours}
    source = container_of(blobs, 20)
    steps = list(flow_logs_since(source, "account", "logs", LEAP_DAY - timedelta(hours=2)))
    assert [len(step.listed) for step in steps if step.listed] == [20, 20, 20]
    assert source.calls.total() < 30  # flat pages would be 720


def test_an_hour_of_more_blobs_than_a_page_holds_costs_its_pages() -> None:
    blobs = {blob_of(one, LEAP_DAY) for one in interfaces_of_one_network(1000)}
    source = container_of(blobs, 100)
    assert names_from(source, LEAP_DAY) == sorted(blob.name for blob in blobs)
    assert source.calls["page"] <= 20
    assert source.calls["folders"] <= 10


def test_every_call_is_a_step_at_which_a_listing_may_be_ended() -> None:
    blobs = {blob_of(one, LEAP_DAY) for one in interfaces_of_one_network(20)}
    source = container_of(blobs, 3)
    for _ in flow_logs_since(source, "account", "logs", LEAP_DAY):
        calls = source.calls.total()
        assert calls <= 1
        source.calls.clear()
