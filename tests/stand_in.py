"""Stand-ins for Azure services: servers on loopback that answer every request alike."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@contextmanager
def stand_in(
    status: int, code: str, *, ahead: timedelta = timedelta(), text: str = "said by a stand-in"
) -> Iterator[str]:
    """A storage service that gives every request the same answer; its address."""

    class Answer(BaseHTTPRequestHandler):
        def date_time_string(self, timestamp: float | None = None) -> str:  # noqa: ARG002 - not used
            return format_datetime(datetime.now(UTC) + ahead, usegmt=True)

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            error: dict[str, Any] = {"code": code, "message": {"lang": "en-us", "value": text}}
            is_table = "json" in str(self.headers.get("Accept"))
            xml = f"<Error><Code>{code}</Code><Message>{text}</Message></Error>"
            body = (json.dumps({"odata.error": error}) if is_table else xml).encode()
            self.send_response(status)
            if code:
                self.send_header("x-ms-error-code", code)
            kind = "application/json" if is_table else "application/xml"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def __getattr__(self, name: str) -> Callable[[], None]:
            if name.startswith("do_"):
                return self.answer
            raise AttributeError(name)

        def log_message(self, *_: object) -> None:
            pass

    with serving(Answer) as address:
        yield address


@contextmanager
def anything(status: int, kind: str, body: bytes) -> Iterator[str]:
    """A server that gives every request the same answer, which need not be one of storage."""

    class Answer(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer  # noqa: N815 - as http.server asks

        def log_message(self, *_: object) -> None:
            pass

    with serving(Answer) as address:
        yield address


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve with this handler on a free port; gives the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
