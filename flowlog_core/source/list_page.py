"""Reading one answer of List Blobs. Pure.

Source: Microsoft's page "List Blobs". A sweep reads hundreds of thousands of blobs this way, and
the SDK's models of them take many times as long (decision 0024).
"""

from __future__ import annotations

import re
from datetime import datetime
from urllib.parse import unquote
from xml.etree.ElementTree import Element, fromstring

from flowlog_core.blob import BlobRef, LogBlob
from flowlog_core.source.listing import Listed, Others, Page
from flowlog_core.storage.responses import http_date

# What a flow log's name ends in; see `LogBlob`.
_HOUR = re.compile(
    rb"/y=([0-9]{4})/m=([0-9]{2})/d=([0-9]{2})/h=([0-9]{2})/m=[0-9]{2}/macAddress=[^/<]+/PT1H\.json$"
)


def read_list_page(
    body: bytes, account: str, container: str, since: datetime | None = None
) -> Page:
    """The page that an answer holds, without the flow logs of hours before `since`.

    Raises any exception if it is not one, or not whole.
    """
    if since is not None:
        body = _without_older(body, f"{since.year:04}{since:%m%d%H}".encode())
    root = fromstring(body)  # noqa: S314 - as the SDK does; expat itself bounds entities
    listed: list[Listed] = []
    folders: list[str] = []
    others: list[str] = []
    for one in _required(root, "Blobs"):
        name = _name(one)
        if one.tag == "BlobPrefix":
            folders.append(name)
        elif (log := LogBlob.parse(name)) is None:
            others.append(name)
        elif since is None or log.hour >= since:
            said = {part.tag: part.text or "" for part in _required(one, "Properties")}
            listed.append(
                Listed(
                    BlobRef(account, container, log),
                    # A listing leaves out the quotes that all other answers put around an ETag.
                    f'"{said["Etag"].strip(chr(34))}"',
                    int(said["Content-Length"]),
                    http_date(said["Last-Modified"]),
                    is_archived=said.get("AccessTier") == "Archive",
                )
            )
    return Page(
        listed,
        folders,
        root.findtext("NextMarker") or "",
        Others(len(others), min(others, default="")),
    )


def _without_older(body: bytes, first: bytes) -> bytes:
    """An answer without the blobs of hours before `first`, which nobody has to parse then.

    Most of what is listed is older: Azure lists by name, and names begin with the resource. What
    is not written as expected stays.
    """
    before, *blobs = body.split(b"<Blob><Name>")
    kept = [before]
    for blob in blobs:
        hour = _HOUR.search(blob, 0, max(blob.find(b"</Name>"), 0))
        if hour is None or b"".join(hour.groups()) >= first:
            kept += b"<Blob><Name>", blob
        else:
            kept.append(blob.partition(b"</Blob>")[2])
    return b"".join(kept)


def _required(element: Element, tag: str) -> Element:
    found = element.find(tag)
    if found is None:
        raise ValueError(f"{element.tag} without {tag}")
    return found


def _name(element: Element) -> str:
    """The name of a blob or folder, which is encoded where XML cannot hold it."""
    name = _required(element, "Name")
    text = name.text or ""
    return unquote(text) if name.get("Encoded") == "true" else text
