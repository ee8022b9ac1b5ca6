"""What every transport under the SDK promises, on a server that misbehaves as told."""

from __future__ import annotations

import gzip
import ipaddress
import logging
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    IncompleteReadError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.core.rest import HttpRequest
from azure.data.tables import TableServiceClient, TableTransactionError, UpdateMode
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from flowlog_core.demo.azurite import Azurite
from flowlog_core.storage.bounded_requests import BoundedRequestsTransport
from flowlog_core.storage.curl_transport import CurlTransport
from flowlog_core.storage.transport import make_transport

CALL_S = 0.6
SLACK_S = 5.0  # a busy machine; an answer that is not bounded takes for ever
Serve = Callable[[socket.socket, bytes], None]
TRANSPORTS = [CurlTransport, BoundedRequestsTransport]
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with request.param(connect_s=CALL_S, call_s=CALL_S) as made:
        yield made


class Server:
    """Answers each request with `serve(connection, request)`, then waits for the next one."""

    def __init__(self, serve: Serve, tls: ssl.SSLContext | None = None) -> None:
        self._serve, self._tls = serve, tls
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.connections = 0
        self.requests: list[bytes] = []
        self.over = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/path?a=b"

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self.connections += 1
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        if self._tls:
            connection = self._tls.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        with suppress(OSError), connection:
            if isinstance(connection, ssl.SSLSocket):
                connection.do_handshake()
            while request := _read_request(connection):
                self.requests.append(request)
                self._serve(connection, request)

    def close(self) -> None:
        self.over.set()
        self._listening.close()


def _read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        if not (more := connection.recv(65536)):
            return b""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        (
            int(line[15:])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        ),
        0,
    )
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


@contextmanager
def serving(serve: Serve, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server(serve, tls)
    try:
        yield server
    finally:
        server.close()


def answer(body: bytes, *fields: bytes) -> Serve:
    lines = [b"HTTP/1.1 200 Fine", b"Content-Length: %d" % len(body), b'ETag: "0x1"', *fields]
    return lambda connection, _: connection.sendall(b"\r\n".join(lines) + b"\r\n\r\n" + body)


def fails(transport: Any, url: str, method: str = "GET") -> BaseException:
    """The error of a call, which must come before its time is up by far."""
    began = time.monotonic()
    with pytest.raises(AzureError) as caught:
        transport.send(HttpRequest(method, url)).read()
    assert time.monotonic() - began < CALL_S + SLACK_S
    return caught.value


def test_an_answer_arrives_whole(transport: Any) -> None:
    with serving(answer(b"body", b"x-ms-Thing: a: b")) as server:
        came = transport.send(HttpRequest("PUT", server.url, headers={"a": "1"}, content=b"sent"))
        came.read()
        got = came.status_code, came.reason, came.headers["X-MS-THING"], came.content
        assert got == (200, "Fine", "a: b", b"body")
        [request] = server.requests
        assert request.startswith(b"PUT /path?a=b HTTP/1.1\r\n")
        assert request.endswith(b"\r\n\r\nsent")
        assert b"\r\na: 1\r\n" in request
        assert b"content-type" not in request.lower()  # nobody signed one


def test_a_head_has_no_body(transport: Any) -> None:
    def serve(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n")

    with serving(serve) as server:
        for _ in range(2):
            came = transport.send(HttpRequest("HEAD", server.url))
            assert (came.headers["Content-Length"], came.read()) == ("99", b"")
        came = transport.send(HttpRequest("HEAD", server.url))
        assert came.status_code == 200


def test_a_connection_is_used_again(transport: Any) -> None:
    with serving(answer(b"x")) as server:
        for _ in range(5):
            transport.send(HttpRequest("GET", server.url)).read()
        assert (server.connections, len(server.requests)) == (1, 5)


def test_a_connection_that_the_server_has_closed_is_made_anew(transport: Any) -> None:
    def serve(connection: socket.socket, request: bytes) -> None:
        answer(b"x")(connection, request)
        connection.shutdown(socket.SHUT_RDWR)

    with serving(serve) as server:
        for _ in range(3):
            assert transport.send(HttpRequest("GET", server.url)).read() == b"x"
            time.sleep(0.05)  # until the end of the connection has arrived
        assert server.connections == 3


def test_a_body_is_not_decompressed(transport: Any) -> None:
    body = gzip.compress(b"plain")
    with serving(answer(body, b"Content-Encoding: gzip")) as server:
        came = transport.send(HttpRequest("GET", server.url), stream=True)
        assert b"".join(came.stream_download(None, decompress=False)) == body


def test_a_transaction_reads_like_one_of_the_sdks_own_transport(
    transport: Any, azurite: Azurite, unique: Callable[[str], str]
) -> None:
    """Its answer comes in parts, one a row."""
    name, rows = unique("table"), [{"PartitionKey": "p", "RowKey": str(n)} for n in range(3)]
    text = azurite.connection_string
    with (
        TableServiceClient.from_connection_string(text, transport=transport) as ours,
        TableServiceClient.from_connection_string(text) as theirs,
    ):
        theirs.create_table(name)
        heard: list[Any] = []
        for service in (ours, theirs):
            table = service.get_table_client(name)
            upsert = [("upsert", row, {"mode": UpdateMode.REPLACE}) for row in rows]
            heard.append([sorted(one) for one in table.submit_transaction(upsert)])
            with pytest.raises(TableTransactionError) as caught:
                table.submit_transaction([("create", row) for row in rows])
            error: Any = caught.value
            heard.append((error.status_code, error.error_code, error.index))
            with pytest.raises(HttpResponseError) as refused:
                service.get_table_client("missing").submit_transaction(upsert)
            heard.append((type(refused.value), refused.value.status_code))
        assert heard[:3] == heard[3:]
        assert heard[1] == (409, "EntityAlreadyExists", 0)


def test_where_nothing_listens_the_request_was_not_sent(transport: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    assert isinstance(fails(transport, f"http://127.0.0.1:{port}/"), ServiceRequestError)


def test_silence_is_bounded(transport: Any) -> None:
    with serving(lambda *_: time.sleep(20)) as server:
        assert isinstance(fails(transport, server.url), ServiceResponseError)


@pytest.mark.parametrize(
    "start", [b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"HTTP/1.1 2"]
)
def test_an_answer_that_drips_is_bounded_as_a_whole(transport: Any, start: bytes) -> None:
    """Each byte comes well within any time-out that counts between bytes."""
    gaps = threading.Event()

    def serve(connection: socket.socket, _: bytes) -> None:
        connection.sendall(start)
        while not gaps.wait(CALL_S / 4):
            connection.sendall(b"0")

    with serving(serve) as server:
        error = fails(transport, server.url)
        gaps.set()
        assert isinstance(error, (ServiceResponseError, IncompleteReadError))


CUT_IN_THE_HEAD = [
    b"",
    b"HTTP/1.1 200",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 200 OK\r\nETag: 1\r\n",
    b"HTTP/1.1 200 OK\r\nETag: 1\r\nContent-Le",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETa",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n",
    b"HTTP/1.1 204 No Content\r\nETag: 1\r\n",
]
CUT_IN_THE_BODY = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfive!",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfive!\r\n",
]


@pytest.mark.parametrize(
    ("method", "part"),
    [
        *(("GET", part) for part in CUT_IN_THE_HEAD + CUT_IN_THE_BODY),
        *(("HEAD", part) for part in CUT_IN_THE_HEAD),
        *(("PUT", part) for part in CUT_IN_THE_HEAD),
    ],
)
def test_an_answer_that_is_cut_off_is_no_answer(transport: Any, method: str, part: bytes) -> None:
    def serve(connection: socket.socket, _: bytes) -> None:
        connection.sendall(part)
        connection.shutdown(socket.SHUT_RDWR)

    with serving(serve) as server:
        error = fails(transport, server.url, method)
        assert isinstance(error, (ServiceResponseError, IncompleteReadError, ServiceRequestError))


def test_a_proxy_that_the_environment_names_is_used(
    transport: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(answer(b"from the proxy")) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", "direct.test")
        with type(transport)(connect_s=CALL_S, call_s=CALL_S) as proxied:
            came = proxied.send(HttpRequest("GET", "http://account.test/x"))
            assert came.read() == b"from the proxy"
            assert proxy.requests[0].startswith(b"GET http://account.test/x HTTP/1.1")
            fails(proxied, "http://direct.test/x")  # there is no such host
        assert len(proxy.requests) == 1


def test_a_netrc_is_not_read(
    transport: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("default login somebody password theirs\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    with serving(answer(b"x")) as server:
        transport.send(HttpRequest("GET", server.url)).read()
        assert b"authorization" not in server.requests[0].lower()


def test_only_trusted_certificates_are_accepted(transport: Any, tmp_path: Path) -> None:
    tls, bundle = certificate(tmp_path)
    with serving(answer(b"secret"), tls) as server:
        assert isinstance(fails(transport, server.url), ServiceRequestError)
        assert server.requests == []
        with type(transport)(connect_s=5, call_s=5, certificates=str(bundle)) as trusting:
            assert trusting.send(HttpRequest("GET", server.url)).read() == b"secret"


def certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's side of TLS for 127.0.0.1, and the file that a client must trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    bundle, secret = folder / "cert.pem", folder / "key.pem"
    bundle.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(bundle, secret)
    return tls, bundle


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_certificates_that_the_environment_names_are_trusted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    tls, bundle = certificate(tmp_path)
    for other in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, str(bundle))
    with (
        serving(answer(b"x"), tls) as server,
        make_transport(connect_s=5, call_s=5, max_connections=1) as made,
    ):
        assert made.send(HttpRequest("GET", server.url)).read() == b"x"


def test_libcurl_is_used_where_it_is_installed() -> None:
    made = make_transport(connect_s=5, call_s=5, max_connections=1)
    assert isinstance(made, CurlTransport)


def test_without_libcurl_the_sdks_own_transport_is_used_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "flowlog_core.storage.curl_transport", None)
    with caplog.at_level(logging.INFO, "flowlog_core"):
        made = make_transport(connect_s=5, call_s=5, max_connections=1)
    assert isinstance(made, BoundedRequestsTransport)
    assert caplog.messages == [
        "pycurl is not installed: a storage call takes twice the processor time"
    ]
