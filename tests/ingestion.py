"""A fake receiver of traffic summaries: the Logs Ingestion API, and the token endpoint."""

from __future__ import annotations

import gzip
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

RULE = "dcr-0123456789abcdef0123456789abcdef"


class Sent(NamedTuple):
    """One call of the API."""

    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    rows: list[dict[str, Any]]


class Ingestion:
    """Both servers on this machine; `environment` leads a process of ours to them."""

    def __init__(self, folder: Path) -> None:
        self.sent: list[Sent] = []
        self.asked_for_token: list[dict[str, list[str]]] = []
        self.status = 204
        """The answer to whatever is sent."""
        ingestion = self

        class Api(_Handler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                url = urlsplit(self.path)
                is_packed = self.headers["Content-Encoding"] == "gzip"
                rows = json.loads(gzip.decompress(body) if is_packed else body)
                sent = Sent(url.path, parse_qs(url.query), dict(self.headers.items()), rows)
                ingestion.sent.append(sent)
                error = {"error": {"code": "OperationFailed", "message": "said by a stand-in"}}
                self.answer(ingestion.status, b"" if ingestion.status == 204 else _json(error))

        class Tokens(_Handler):
            def do_GET(self) -> None:
                ingestion.asked_for_token.append(parse_qs(urlsplit(self.path).query))
                until = int((datetime.now(UTC) + timedelta(hours=1)).timestamp())
                token = {"access_token": "a-token", "expires_on": str(until), "resource": "x"}
                self.answer(200, _json({**token, "token_type": "Bearer"}))

        self.api = ThreadingHTTPServer(("127.0.0.1", 0), Api)
        self.tokens = ThreadingHTTPServer(("127.0.0.1", 0), Tokens)
        certificate = _certificate(folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        # Each thread shakes hands for itself, so that nobody who connects holds up the others.
        self.api.socket = context.wrap_socket(
            self.api.socket, server_side=True, do_handshake_on_connect=False
        )
        self.endpoint = f"https://127.0.0.1:{self.api.server_port}"
        self.environment = {
            "FLOWLOG_TRAFFIC_ENDPOINT": self.endpoint,
            "FLOWLOG_TRAFFIC_RULE": RULE,
            # As App Service tells an app where its identity gets tokens.
            "IDENTITY_ENDPOINT": f"http://127.0.0.1:{self.tokens.server_port}/msi/token",
            "IDENTITY_HEADER": "a-secret",
            "REQUESTS_CA_BUNDLE": str(certificate),
        }

    @property
    def rows(self) -> list[dict[str, Any]]:
        """All that was sent."""
        return [row for one in self.sent for row in one.rows]


class _Handler(BaseHTTPRequestHandler):
    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        if body:
            self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Says nothing of what it was asked."""


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _certificate(folder: Path) -> Path:
    """A file with a certificate of 127.0.0.1, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return file


@contextmanager
def running_ingestion(folder: Path) -> Iterator[Ingestion]:
    """The servers; `folder` gets the certificate."""
    ingestion = Ingestion(folder)
    servers = (ingestion.api, ingestion.tokens)
    threads = [threading.Thread(target=server.serve_forever) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield ingestion
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()
