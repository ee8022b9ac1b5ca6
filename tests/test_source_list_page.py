"""What an answer of List Blobs says. Forms of the XML: Microsoft's page "List Blobs"."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from flowlog_core.blob import BlobRef, LogBlob
from flowlog_core.source.list_page import read_list_page
from flowlog_core.source.listing import Listed, Others, Page

FOLDER = (
    "resourceId=/SUBSCRIPTIONS/S/RESOURCEGROUPS/A%26B/PROVIDERS/MICROSOFT.NETWORK"
    "/NETWORKSECURITYGROUPS/N/y=2026/m=01/d=31/h=09/"
)
NAME = f"{FOLDER}m=00/macAddress=000D3AF87856/PT1H.json"


def answer(*parts: str, marker: str = "<NextMarker />") -> bytes:
    return (
        '\ufeff<?xml version="1.0" encoding="utf-8"?>'
        '<EnumerationResults ServiceEndpoint="https://a.blob.core.windows.net/" ContainerName="c">'
        f"<MaxResults>5000</MaxResults><Blobs>{''.join(parts)}</Blobs>{marker}</EnumerationResults>"
    ).encode()


def a_blob(name: str = f"<Name>{NAME}</Name>", more: str = "", without: str = "") -> str:
    properties = {
        "Creation-Time": "Sat, 31 Jan 2026 09:00:12 GMT",
        "Last-Modified": "Sat, 31 Jan 2026 09:59:12 GMT",
        "Etag": "0x8DBE7B4A1B2C3D4",
        "Content-Length": "48211",
        "Content-Type": "application/octet-stream",
        "BlobType": "BlockBlob",
        "LeaseStatus": "unlocked",
    }
    said = "".join(f"<{tag}>{text}</{tag}>" for tag, text in properties.items() if tag != without)
    said += f"<Content-Encoding />{more}"
    return f"<Blob>{name}<Properties>{said}</Properties><OrMetadata /></Blob>"


def the_blob(name: str = NAME) -> BlobRef:
    log = LogBlob.parse(name)
    assert log is not None
    return BlobRef("a", "c", log)


def test_a_page_holds_blobs_folders_others_and_where_the_next_begins() -> None:
    body = answer(
        a_blob(),
        a_blob("<Name>z.txt</Name>"),
        a_blob("<Name>readme &amp; more.txt</Name>"),
        f"<BlobPrefix><Name>{FOLDER}</Name></BlobPrefix>",
        marker="<NextMarker>2!108!MDAwMDI4</NextMarker>",
    )
    changed = datetime(2026, 1, 31, 9, 59, 12, tzinfo=UTC)
    assert read_list_page(body, "a", "c") == Page(
        [Listed(the_blob(), '"0x8DBE7B4A1B2C3D4"', 48211, changed)],
        [FOLDER],
        "2!108!MDAwMDI4",
        Others(2, "readme & more.txt"),
    )


def test_an_empty_page_may_lead_to_another() -> None:
    assert read_list_page(answer(), "a", "c") == Page([], [])
    body = answer(marker="<NextMarker>2!4</NextMarker>")
    assert read_list_page(body, "a", "c") == Page([], [], "2!4")


@pytest.mark.parametrize("tier", ["Archive", "Hot", "Cool", "Cold", ""])
def test_the_archive_tier_is_known(tier: str) -> None:
    body = answer(a_blob(more=f"<AccessTier>{tier}</AccessTier>" if tier else ""))
    assert [one.is_archived for one in read_list_page(body, "a", "c").listed] == [tier == "Archive"]


def test_a_name_that_xml_cannot_hold_comes_encoded() -> None:
    encoded = NAME.replace("%", "%25").replace("N/y=", "%ef%bf%be/y=")
    body = answer(a_blob(f'<Name Encoded="true">{encoded}</Name>'))
    [listed] = read_list_page(body, "a", "c").listed
    assert listed.blob == the_blob(NAME.replace("N/y=", "\ufffe/y="))


def test_older_hours_are_left_out_and_nothing_else() -> None:
    """Whatever comes between the blobs, and however they are written."""
    parts, left = [], []
    for hour in (7, 8, 9, 10):
        name = NAME.replace("h=09", f"h={hour:02}")
        lower = name.replace("/y=", "/Y=").replace("PT1H", "pt1h")
        parts += [
            a_blob(f"<Name>{name}</Name>", more="<AccessTier>Hot</AccessTier>"),
            f"<BlobPrefix><Name>{FOLDER}{hour}/</Name></BlobPrefix>",
            a_blob(f"<Name>{name}.copy</Name>"),
            a_blob(f"\n <Name>{lower}</Name>"),
            a_blob(f'<Name Encoded="true">{lower}</Name>'.replace("%26", "%2526")),
        ]
        left += [name, lower, lower] if hour >= 9 else []
    body = answer(*parts, marker="<NextMarker>2!4</NextMarker>")
    since = datetime(2026, 1, 31, 9, tzinfo=UTC)
    page = read_list_page(body, "a", "c", since)
    assert [one.blob.name for one in page.listed] == left
    assert list(page.folders) == [f"{FOLDER}{hour}/" for hour in (7, 8, 9, 10)]
    assert page.others == Others(4, f"{FOLDER.replace('h=09', 'h=07')}{NAME[len(FOLDER) :]}.copy")
    assert page.marker == "2!4"
    every = read_list_page(body, "a", "c")
    assert [one for one in every.listed if one.blob.log.hour >= since] == page.listed


@pytest.mark.parametrize(
    "body",
    [
        answer(a_blob())[:-30],
        answer(a_blob(without="Etag")),
        answer(a_blob(without="Content-Length")),
        answer(a_blob(without="Last-Modified")),
        answer(a_blob(name="")),
        b"<EnumerationResults></EnumerationResults>",
        b"<html></html>",
        b"",
    ],
    ids=["cut", "no-etag", "no-length", "no-time", "no-name", "no-blobs", "a-web-page", "nothing"],
)
def test_an_answer_that_does_not_say_all_is_none(body: bytes) -> None:
    """Otherwise a blob that is behind could pass for one that is not there."""
    with pytest.raises((ValueError, KeyError, SyntaxError)):
        read_list_page(body, "a", "c")
