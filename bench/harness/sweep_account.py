"""A stand-in for a log account of any size, and for its checkpoints: nothing is stored.

    python -m bench.harness.sweep_account INTERFACES HOURS

Names and rows follow from their numbers, so an account of millions of blobs costs nothing. All are
of one flow log, and each is forwarded: its checkpoint has the ETag of the listing. Answers look as
Azure writes them ("List Blobs", "Query Entities"). It runs in a process of its own, so that a
benchmark does not count its time. Its first line of output is its port.
"""

from __future__ import annotations

import re
import sys
from bisect import bisect_left
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import orjson

from flowlog_core.blob import digest, hour_key

ACCOUNT, CONTAINER = "bench", "insights-logs-flowlogflowevent"
RESOURCE = (
    "AAAAAAAA-BBBB-CCCC-DDDD-EEEEEEEEEEEE_NETWORKWATCHERRG"
    "/NETWORKWATCHER_WESTEUROPE_VNET-00001-RG-NETWORK-PRODUCTION-FLOWLOGS"
)
"""The part of a name between its first `=/` and the date."""
ROWS_A_PAGE = 1000
_CREATED = "Sat, 31 Jan 2026 09:00:12 GMT"
_BLOB = (
    "<Blob><Name>%s</Name><Properties><Creation-Time>" + _CREATED + "</Creation-Time>"
    "<Last-Modified>%s</Last-Modified><Etag>0x8DC%012X</Etag>"
    "<Content-Length>48211</Content-Length><Content-Type>application/octet-stream</Content-Type>"
    "<Content-Encoding /><Content-Language /><Content-CRC64 /><Content-MD5 /><Cache-Control />"
    "<Content-Disposition /><BlobType>BlockBlob</BlobType><AccessTier>Hot</AccessTier>"
    "<AccessTierInferred>true</AccessTierInferred><LeaseStatus>unlocked</LeaseStatus>"
    "<LeaseState>available</LeaseState><ServerEncrypted>true</ServerEncrypted></Properties>"
    "<OrMetadata /></Blob>"
)


class Account:
    """Blobs and rows by number: all of an hour's interfaces, then the next hour."""

    def __init__(self, interfaces: int, hours: int) -> None:
        self.interfaces = interfaces
        self.count = interfaces * hours
        now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        self.first = now - timedelta(hours=hours - 1)

    def _parts(self, number: int) -> tuple[datetime, int]:
        hour, interface = divmod(number, self.interfaces)
        return self.first + timedelta(hours=hour), interface

    def name(self, number: int) -> str:
        """The name of a blob."""
        hour, interface = self._parts(number)
        path = f"{RESOURCE}/{hour:y=%Y/m=%m/d=%d/h=%H}/m=00/macAddress={interface:012X}"
        return f"flowLogResourceID=/{path}/PT1H.json"

    def row(self, number: int) -> tuple[str, str]:
        """Partition and row of its checkpoint."""
        hour, interface = self._parts(number)
        partition = f"{ACCOUNT}|{CONTAINER}|{RESOURCE.replace('/', '|')}"
        name_digest = digest(self.name(number), digest_bytes=6)
        return partition, f"{hour_key(hour)}|{interface:012X}|{name_digest}"

    def list_page(self, prefix: str, marker: str, delimiter: str, page_size: int) -> bytes:
        """An answer to List Blobs."""
        every = range(self.count)
        at = int(marker or bisect_left(every, prefix, key=self.name))
        end = bisect_left(every, prefix + "\x7f", key=self.name)
        parts, size = [], 0
        while at < end and size < page_size:
            name = self.name(at)
            folder, slash, _ = name[len(prefix) :].partition(delimiter or "\0")
            size += 1
            if slash:
                whole = f"{prefix}{folder}/"
                parts.append(f"<BlobPrefix><Name>{whole}</Name></BlobPrefix>")
                at = bisect_left(every, whole + "\x7f", key=self.name)
            else:
                hour, _ = self._parts(at)
                written = f"{hour + timedelta(minutes=59):%a, %d %b %Y %H:%M:%S GMT}"
                parts.append(_BLOB % (name, written, at))
                at += 1
        left = at if at < end else ""
        return (
            '\ufeff<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint='
            f'"http://127.0.0.1/" ContainerName="{CONTAINER}"><Prefix>{prefix}</Prefix>'
            f"<MaxResults>{page_size}</MaxResults><Blobs>{''.join(parts)}</Blobs>"
            f"<NextMarker>{left}</NextMarker></EnumerationResults>"
        ).encode()

    def query(self, text: str, row: str, select: str) -> tuple[bytes, str]:
        """An answer to Query Entities, and the row that the next page begins with."""
        found = re.findall(r"(\w+) (eq|ge|le) '([^']*)'", text)
        wanted = {operator: value for name, operator, value in found if name == "RowKey"}
        partition = {name: value for name, operator, value in found if operator == "eq"}.get(
            "PartitionKey"
        )
        if partition is None or "ge" not in wanted:  # claims that ran out: there are none
            return b'{"value":[]}', ""
        every = range(self.count)
        at = bisect_left(every, (partition, row or wanted["ge"]), key=self.row)
        end = bisect_left(every, (partition, wanted["le"] + "\0"), key=self.row)
        rows = [self._entity(number, select) for number in range(at, min(end, at + ROWS_A_PAGE))]
        left = self.row(at + ROWS_A_PAGE)[1] if end > at + ROWS_A_PAGE else ""
        return orjson.dumps({"value": rows}), left

    def _entity(self, number: int, select: str) -> dict[str, Any]:
        partition, row = self.row(number)
        entity = {
            "odata.etag": "W/\"datetime'2026-01-31T09%3A00%3A12.1234567Z'\"",
            "PartitionKey": partition,
            "RowKey": row,
            "Timestamp@odata.type": "Edm.DateTime",
            "Timestamp": "2026-01-31T09:59:12.1234567Z",
            "format": 2,
            "blob": f"{ACCOUNT}/{CONTAINER}/{self.name(number)}",
            "offset@odata.type": "Edm.Int64",
            "offset": "48209",
            "seam": "0123456789abcdef01234567",
            "seam_bytes": 256,
            "generation@odata.type": "Edm.Int64",
            "generation": "0",
            "blob_etag": f'"0x8DC{number:012X}"',
            "pending_bytes@odata.type": "Edm.Int64",
            "pending_bytes": "0",
            "entries@odata.type": "Edm.Int64",
            "entries": "60",
            "records@odata.type": "Edm.Int64",
            "records": "1800",
            "dead_letters@odata.type": "Edm.Int64",
            "dead_letters": "0",
            "owner": "",
            "rings@odata.type": "Edm.Int64",
            "rings": "0",
            "blob_created@odata.type": "Edm.DateTime",
            "blob_created": "2026-01-31T09:00:12Z",
            "blob_last_modified@odata.type": "Edm.DateTime",
            "blob_last_modified": "2026-01-31T09:59:12Z",
        }
        if not select:
            return entity
        wanted = select.split(",")
        return {key: entity[key] for key in entity if key.partition("@")[0] in wanted}


def handler_of(account: Account) -> type[BaseHTTPRequestHandler]:
    """Serves all that a sweep asks for; the cursor is the one thing that is kept."""
    kept: dict[str, tuple[bytes, str]] = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            said = {name: values[0] for name, values in parse_qs(url.query).items()}
            if said.get("comp") == "list":
                if not url.path.endswith(CONTAINER):
                    self.fail(404, "ContainerNotFound")
                    return
                page_size = int(said.get("maxresults", "5000"))
                self.answer(
                    200,
                    account.list_page(
                        said.get("prefix", ""),
                        said.get("marker", ""),
                        said.get("delimiter", ""),
                        page_size,
                    ),
                    {"Content-Type": "application/xml"},
                )
            elif "$filter" in said:
                body, left = account.query(
                    said["$filter"], said.get("NextRowKey", ""), said.get("$select", "")
                )
                headers = {"Content-Type": "application/json;odata=minimalmetadata"}
                if left:
                    headers |= {
                        "x-ms-continuation-NextPartitionKey": "p",
                        "x-ms-continuation-NextRowKey": left,
                    }
                self.answer(200, body, headers)
            else:
                key = unquote(url.path)
                if key not in kept:
                    self.fail(404, "ResourceNotFound")
                    return
                body, etag = kept[key]
                entity = orjson.loads(body)
                entity["odata.etag"] = etag
                self.answer(200, orjson.dumps(entity), {"ETag": etag})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            entity = orjson.loads(body)
            path = f"{unquote(urlsplit(self.path).path)}"
            key = f"{path}(PartitionKey='{entity['PartitionKey']}',RowKey='{entity['RowKey']}')"
            self.keep(key, body)

        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.keep(unquote(urlsplit(self.path).path), body)

        def keep(self, key: str, body: bytes) -> None:
            etag = f'W/"{len(kept)}{hash(body)}"'
            kept[key] = body, etag
            self.answer(204, b"", {"ETag": etag})

        def fail(self, status: int, code: str) -> None:
            self.answer(
                status, f"<Error><Code>{code}</Code></Error>".encode(), {"x-ms-error-code": code}
            )

        def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def main() -> None:
    """Serve until killed."""
    account = Account(*map(int, sys.argv[1:3]))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(account))
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
