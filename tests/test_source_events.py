"""Messages of the event queue are read in both schemas, and no message is fatal."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlog_core.blob import BlobRef, LogBlob
from flowlog_core.source.events import (
    CommittedBlob,
    EventReader,
    IgnoredEvent,
    service_address,
)

CONTAINER = "insights-logs-flowlogflowevent"
NAME = (
    "flowLogResourceID=/00000000-0000-0000-0000-000000000000_NETWORKWATCHERRG/NETWORKWATCHER_EAST_X"
    "/y=2026/m=01/d=31/h=09/m=00/macAddress=0022482A1B3C/PT1H.json"
)
LOG = LogBlob.parse(NAME)
assert LOG is not None
READER = EventReader(
    {"logs.blob.core.windows.net": "logs", "127.0.0.1:10000/devstoreaccount1": "devstoreaccount1"},
    (CONTAINER, "nsg"),
)
# The examples of learn.microsoft.com, "Azure Blob Storage as an Event Grid source": BlobCreated in
# the Event Grid schema and in CloudEvents 1.0. Account, container, blob and API are a flow log's.
EVENT_GRID: dict[str, Any] = {
    "topic": "/subscriptions/{subscription-id}/resourceGroups/Storage/providers/Microsoft.Storage"
    "/storageAccounts/logs",
    "subject": f"/blobServices/default/containers/{CONTAINER}/blobs/{NAME}",
    "eventType": "Microsoft.Storage.BlobCreated",
    "eventTime": "2017-06-26T18:41:00.9584103Z",
    "id": "831e1650-001e-001b-66ab-eeb76e069631",
    "data": {
        "api": "PutBlockList",
        "clientRequestId": "6d79dbfb-0e37-4fc4-981f-442c9ca65760",
        "requestId": "831e1650-001e-001b-66ab-eeb76e000000",
        "eTag": "0x8D4BCC2E4835CD0",
        "contentType": "text/plain",
        "contentLength": 524288,
        "blobType": "BlockBlob",
        "url": f"https://logs.blob.core.windows.net/{CONTAINER}/{NAME}",
        "sequencer": "00000000000004420000000000028963",
        "storageDiagnostics": {"batchId": "b68529f3-68cd-4744-baa4-3c0498ec19f0"},
    },
    "dataVersion": "",
    "metadataVersion": "1",
}
CLOUD_EVENT: dict[str, Any] = {
    "source": "/subscriptions/{subscription-id}/resourceGroups/Storage/providers/Microsoft.Storage"
    "/storageAccounts/logs",
    "subject": f"/blobServices/default/containers/{CONTAINER}/blobs/{NAME}",
    "type": "Microsoft.Storage.BlobCreated",
    "time": "2017-06-26T18:41:00.9584103Z",
    "id": "831e1650-001e-001b-66ab-eeb76e069631",
    "data": EVENT_GRID["data"] | {"api": "PutBlob"},
    "specversion": "1.0",
}
BLOB = BlobRef("logs", CONTAINER, LOG)


def read(event: Any) -> CommittedBlob | IgnoredEvent:
    return READER.read(json.dumps(event).encode())


def changed(**data: Any) -> dict[str, Any]:
    """The event with other `data`; None: without it."""
    kept = {name: value for name, value in (EVENT_GRID["data"] | data).items() if value is not None}
    return EVENT_GRID | {"data": kept}


@pytest.mark.parametrize("event", [EVENT_GRID, CLOUD_EVENT, [EVENT_GRID]])
def test_both_schemas_give_the_blob_and_its_version(event: Any) -> None:
    assert read(event) == CommittedBlob(BLOB, "0x8D4BCC2E4835CD0")


@pytest.mark.parametrize(
    ("etag", "found"), [('"0x8D4"', "0x8D4"), ("0x8D4", "0x8D4"), ("", ""), (None, ""), (7, "")]
)
def test_the_etag_comes_without_quotes_or_not_at_all(etag: Any, found: str) -> None:
    assert read(changed(eTag=etag)) == CommittedBlob(BLOB, found)


@pytest.mark.parametrize(
    ("url", "account"),
    [
        (f"https://logs.dfs.core.windows.net/{CONTAINER}/{NAME}", "logs"),
        (f"https://LOGS.blob.core.windows.net/{CONTAINER}/{NAME}", "logs"),
        (
            f"https://logs.blob.core.windows.net/{CONTAINER}/{NAME.replace('=', '%3D')}",
            "logs",
        ),
        (f"http://127.0.0.1:10000/devstoreaccount1/{CONTAINER}/{NAME}", "devstoreaccount1"),
    ],
)
def test_the_account_is_found_by_every_address_it_has(url: str, account: str) -> None:
    assert read(changed(url=url)) == CommittedBlob(
        BlobRef(account, CONTAINER, BLOB.log), "0x8D4BCC2E4835CD0"
    )


def at(container: str, name: str, account: str = "logs") -> dict[str, Any]:
    url = f"https://{account}.blob.core.windows.net/{container}/{name}"
    subject = f"/blobServices/default/containers/{container}/blobs/{name}"
    return changed(url=url) | {"subject": subject}


@pytest.mark.parametrize(
    ("event", "reason", "what"),
    [
        (None, "not_an_event", "it is JSON without an event type"),
        ([], "not_an_event", "it is JSON without an event type"),
        ([EVENT_GRID, EVENT_GRID], "not_an_event", "it is JSON without an event type"),
        ({"hello": 1}, "not_an_event", "it is JSON without an event type"),
        (
            EVENT_GRID | {"eventType": "Microsoft.Storage.BlobDeleted"},
            "other_type",
            "Microsoft.Storage.BlobDeleted",
        ),
        (CLOUD_EVENT | {"type": "x\ny"}, "other_type", "x\\ny"),
        (EVENT_GRID | {"subject": "x"}, "not_an_event", "its subject is not a blob: x"),
        (
            EVENT_GRID | {"data": 1},
            "not_an_event",
            "its data.url is not the address of its subject",
        ),
        (
            changed(url=f"https://[/{CONTAINER}/{NAME}"),
            "not_an_event",
            "its data.url is not the address of its subject",
        ),
        (
            changed(url=f"https://logs.blob.core.windows.net/other/{NAME}"),
            "not_an_event",
            "its data.url is not the address of its subject",
        ),
        (at(CONTAINER, NAME, "theirs"), "unknown_account", "theirs.blob.core.windows.net"),
        (at("pictures", NAME), "other_container", "logs/pictures"),
        (at(CONTAINER, "readme.txt"), "not_a_flow_log", f"logs/{CONTAINER}/readme.txt"),
    ],
)
def test_other_messages_are_ignored_for_a_reason(event: Any, reason: str, what: str) -> None:
    assert read(event) == (reason, what)


@pytest.mark.parametrize("message", [b"", b"\xff\xfe", b"{", b"[" * 70_000, b'"\\ud800"'])
def test_bytes_that_are_no_json_are_ignored(message: bytes) -> None:
    ignored = READER.read(message)
    assert isinstance(ignored, IgnoredEvent)
    assert ignored.reason == "not_an_event"


_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(list(EVENT_GRID)), inner)
    ),
)


@given(st.dictionaries(st.sampled_from([*EVENT_GRID, "specversion", "type"]), _JSON))
def test_no_message_raises(parts: dict[str, Any]) -> None:
    event = EVENT_GRID | parts
    found = READER.read(json.dumps(event).encode())
    if isinstance(found, IgnoredEvent):
        assert len(found.what) <= 200
        assert found.what.isprintable()
    else:
        assert found.blob == BLOB


def test_an_address_is_told_without_scheme_and_signature() -> None:
    assert (
        service_address("https://A.dfs.core.windows.net/?sv=1&sig=x") == "a.blob.core.windows.net"
    )
    assert service_address("http://127.0.0.1:1/x/") == "127.0.0.1:1/x"
