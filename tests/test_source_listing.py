"""Listing some hours of a container: the same as listing all and choosing, in fewer calls."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from flowlog_core.blob import BlobRef, LogBlob
from flowlog_core.source.listing import flow_logs_since
from flowlog_core.testing.generate import Interface
from flowlog_core.testing.memory import MemoryBlobs

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


@given(
    st.sets(st.builds(blob_of, st.sampled_from(INTERFACES), HOURS), max_size=40),
    HOURS,
    st.integers(1, 50),
    st.data(),
)
def test_a_listing_is_every_flow_log_of_the_hours_in_order_of_name(
    blobs: set[BlobRef], since: datetime, blobs_a_page: int, data: st.DataObject
) -> None:
    source = container_of(blobs, blobs_a_page)
    after = data.draw(st.sampled_from(["", *sorted(blob.name for blob in blobs)]))
    batches = list(flow_logs_since(source, "account", "logs", since, after))
    assert [one.blob for batch in batches for one in batch] == sorted(
        (blob for blob in blobs if blob.log.hour >= since and blob.name > after),
        key=lambda blob: blob.name,
    )
    assert all(batches)


def test_a_small_container_costs_one_call() -> None:
    blobs = {blob_of(INTERFACES[0], LEAP_DAY - timedelta(hours=h)) for h in range(100)}
    source = container_of(blobs, 5000)
    (batch,) = flow_logs_since(source, "account", "logs", LEAP_DAY - timedelta(hours=1))
    assert len(batch) == 2
    assert source.calls == {"page": 1}


def test_a_large_one_costs_its_folders_and_the_hours_asked_for() -> None:
    """100 interfaces of one virtual network, a month of hours, pages of 100."""
    network = Interface.vnet(1)
    hours = [LEAP_DAY - timedelta(hours=h) for h in range(24 * 30)]
    interfaces = [
        Interface(
            form=network.form,
            subscription=network.subscription,
            resource_group=network.resource_group,
            name=network.name,
            mac=f"0022480000{number:02X}",
        )
        for number in range(100)
    ]
    blobs = {blob_of(interface, hour) for interface in interfaces for hour in hours}
    source = container_of(blobs, 100)
    batches = list(flow_logs_since(source, "account", "logs", LEAP_DAY - timedelta(hours=2)))
    assert [len(batch) for batch in batches] == [100, 100, 100]
    assert source.calls.total() < 30  # flat pages would be 720
