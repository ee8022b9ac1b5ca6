"""Reading one answer of List Blobs. Pure.

Source: Microsoft's page "List Blobs". A sweep reads hundreds of thousands of blobs this way, and
the SDK's models of them take many times as long (decision 0024).
"""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import unquote
from xml.etree.ElementTree import Element, fromstring

from flowlog_core.blob import BlobRef, LogBlob
from flowlog_core.source.listing import Listed, Others, Page
from flowlog_core.storage.responses import http_date

_moment = lru_cache(maxsize=4096)(http_date)  # seconds, in which many blobs were committed


def read_list_page(body: bytes, account: str, container: str) -> Page:
    """The page that an answer holds. Raises any exception if it is not one, or not whole."""
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
        else:
            said = {part.tag: part.text or "" for part in _required(one, "Properties")}
            listed.append(
                Listed(
                    BlobRef(account, container, log),
                    # A listing leaves out the quotes that all other answers put around an ETag.
                    f'"{said["Etag"].strip(chr(34))}"',
                    int(said["Content-Length"]),
                    _moment(said["Last-Modified"]),
                    is_archived=said.get("AccessTier") == "Archive",
                )
            )
    return Page(
        listed,
        folders,
        root.findtext("NextMarker") or "",
        Others(len(others), min(others, default="")),
    )


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
