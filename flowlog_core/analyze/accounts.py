"""Flow logs in a storage account: listed and read with the caller's own credential.

An address is `https://ACCOUNT.blob.core.windows.net/CONTAINER[/PREFIX]`, or Azurite's
`http://127.0.0.1:10000/devstoreaccount1/CONTAINER[/PREFIX]`. The credential is, in this order: the
SAS in the address; `AZURE_STORAGE_SAS_TOKEN`, `AZURE_STORAGE_KEY`, as the Azure CLI has them; the
key that Microsoft publishes for Azurite, at Azurite; what `DefaultAzureCredential` finds, such as
that of `az login`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from azure.storage.blob import BlobServiceClient

from flowlog_core.analyze.contents import Unreadable
from flowlog_core.analyze.selection import Selection
from flowlog_core.analyze.sources import Source, unreadable
from flowlog_core.blob import BlobRef, LogBlob
from flowlog_core.errors import Conflict, FlowlogError, NotAllowed, OutOfRange
from flowlog_core.source.blobs import AzureBlobs
from flowlog_core.source.listing import Listed, flow_logs_since
from flowlog_core.source.reading import CHUNK_BYTES
from flowlog_core.storage.timeouts import CONNECT_S, READ_S, RETRIES
from flowlog_core.storage.transport import make_transport

_EMULATOR = "devstoreaccount1"
_EMULATOR_KEY = (  # published on Microsoft's page "Use the Azurite emulator"
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
_AZURE = "core.windows.net"
_MAX_CONNECTIONS = 16
_TAIL_BYTES = 2  # FORMAT: `]}`, which is written anew with every append
_HINT = (
    " Sign in with az login, add a SAS to the address, or set AZURE_STORAGE_KEY; reading needs the "
    "role Storage Blob Data Reader."
)


class Address(NamedTuple):
    """A container, or a part of one."""

    service: str
    """The blob service's address."""
    account: str
    container: str
    prefix: str
    sas: str

    @classmethod
    def parse(cls, text: str) -> Address:
        """Raises ValueError, with what an address looks like, if it names no container."""
        url = urlsplit(text)
        parts = [unquote(part) for part in url.path.lstrip("/").split("/", 2)]
        host = url.hostname or ""
        if ".blob." in host:
            account, path = host.partition(".")[0], unquote(url.path.lstrip("/"))
            service = f"{url.scheme}://{url.netloc}"
        else:  # as the emulator has it: the account comes first in the path
            account, path = parts[0], "/".join(parts[1:])
            service = f"{url.scheme}://{url.netloc}/{account}"
        container, _, prefix = path.partition("/")
        if not account or not container:
            raise ValueError(
                f"{text.partition('?')[0]} names no container. "
                f"Write https://ACCOUNT.blob.{_AZURE}/CONTAINER"
            )
        return cls(service, account, container, prefix, url.query)


def sources_at(text: str, selection: Selection) -> Iterator[Source]:
    """The flow logs at an address that the selection may want, in the order of their names.

    Raises ValueError if it names no container.
    """
    address = Address.parse(text)
    try:
        client = _client(address, os.environ)
        yield from _listed(client, address, selection, text.partition("?")[0])
    except FlowlogError as error:
        yield unreadable(text.partition("?")[0], _in_words(error))


def _client(address: Address, environment: Mapping[str, str]) -> BlobServiceClient:
    return BlobServiceClient(
        address.service,
        credential=_credential(address, environment),
        transport=make_transport(
            connect_s=CONNECT_S, call_s=READ_S, max_connections=_MAX_CONNECTIONS
        ),
        retry_total=RETRIES,
    )


def _credential(address: Address, environment: Mapping[str, str]) -> Any:
    if sas := address.sas or environment.get("AZURE_STORAGE_SAS_TOKEN", "").lstrip("?"):
        return sas
    key = environment.get("AZURE_STORAGE_KEY") or (
        _EMULATOR_KEY if address.account == _EMULATOR else ""
    )
    if key:
        return {"account_name": address.account, "account_key": key}
    # Imported where it is needed: it takes a second.
    from azure.identity import DefaultAzureCredential  # noqa: PLC0415

    return DefaultAzureCredential()


def _listed(
    client: BlobServiceClient, address: Address, selection: Selection, name: str
) -> Iterator[Source]:
    blobs = AzureBlobs({address.account: client})
    found = False
    steps = flow_logs_since(
        blobs,
        address.account,
        address.container,
        selection.first_hour or datetime.min.replace(tzinfo=UTC),
        until=selection.until,
        prefix=address.prefix,
    )
    for step in steps:
        for listed in step.listed:
            if selection.has(listed.blob.log):
                found = True
                yield _source(blobs, listed, selection)
    if found:
        return
    if address.prefix.lower().endswith((".json", ".gz")) and not LogBlob.parse(address.prefix):
        log = LogBlob("vnet", "", datetime.min.replace(tzinfo=UTC), "", address.prefix)
        blob = BlobRef(address.account, address.container, log)
        rules = (*selection.by_time, *selection.by_text)
        yield Source(name, blob, _reader(blobs, blob), rules, is_remote=True)
        return
    yield unreadable(name, "no flow logs were found here in this time range")


def _source(blobs: AzureBlobs, listed: Listed, selection: Selection) -> Source:
    if listed.is_archived:
        return unreadable(str(listed.blob), "it is in the archive tier: rehydrate it to read it")
    read = _reader(blobs, listed.blob)
    return Source(str(listed.blob), listed.blob, read, tuple(selection.by_time), is_remote=True)


def _reader(blobs: AzureBlobs, blob: BlobRef) -> Callable[[], Iterator[bytes]]:
    def read() -> Iterator[bytes]:
        try:
            yield from _pieces(blobs, blob)
        except FlowlogError as error:
            raise Unreadable(_in_words(error)) from error

    return read


def _pieces(blobs: AzureBlobs, blob: BlobRef) -> Iterator[bytes]:
    """The blob's bytes. If it grows meanwhile, reading goes on in the version that is newer.

    All but the tail stays as it was when Network Watcher appends, and the tail ends the last piece.
    """
    start, blob_bytes = 0, 1
    etag: str | None = None
    while start < blob_bytes:
        try:
            part = blobs.read(blob, start, CHUNK_BYTES, etag)
        except OutOfRange:
            return  # an empty blob
        except Conflict:
            if etag is None:
                raise
            if blob_bytes - start < _TAIL_BYTES:
                return
            etag = None
            continue
        yield part.data
        start, etag, blob_bytes = start + len(part.data), part.etag, part.blob_bytes


def _in_words(error: FlowlogError) -> str:
    return f"{error}{_HINT if isinstance(error, NotAllowed) else ''}"
