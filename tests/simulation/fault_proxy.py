"""A proxy in front of a storage service that injects faults of networks and services.

    app --- request ---> | proxy | --- request ---> service
        <---- answer --- |       | <--- answer ----
              ^              ^             ^
     cut in head or body   before     after: the call took effect, its answer is lost

It passes on requests and answers byte for byte, including the Host, so signatures stay valid. The
choice of faults follows from the seed and from the order in which requests arrive.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from enum import Enum
from types import MappingProxyType, TracebackType
from typing import NamedTuple
from urllib.parse import urlsplit


class Fault(Enum):
    """The kinds of faults; the values are for people."""

    CUT_BEFORE = "cut before it was passed on"
    CUT_AFTER = "passed on, cut before the answer"
    CUT_IN_HEAD = "passed on, answer cut in its head"
    CUT_IN_BODY = "passed on, answer cut in its body"
    DELAY = "passed on late"
    SILENCE = "passed on, never answered"
    BUSY = "answered 503 with Retry-After"
    TOO_MANY = "answered 429 with Retry-After"
    ERROR = "answered 500"
    ERROR_AFTER = "passed on, then answered 500"


EVERY_FAULT: Mapping[Fault, float] = MappingProxyType(
    {fault: 0.0 if fault is Fault.SILENCE else 1.0 for fault in Fault}
)
"""Relative frequency of each fault. `SILENCE` is left out, because it lasts as long as the client
waits."""

_CODES = {
    Fault.BUSY: ("503 Service Unavailable", "ServerBusy"),
    Fault.TOO_MANY: ("429 Too Many Requests", "TooManyRequests"),
    Fault.ERROR: ("500 Internal Server Error", "InternalError"),
    Fault.ERROR_AFTER: ("500 Internal Server Error", "OperationTimedOut"),
}
_NO_FAULT_OF_OURS = (ConnectionError, asyncio.IncompleteReadError)


class _Message(NamedTuple):
    """A request or an answer, as sent."""

    head: bytes
    """Includes the empty line at the end."""
    body: bytes


class FaultProxy:
    """A context: a proxy on a free port of 127.0.0.1 for the service at `upstream`.

    Harmless until `arm`. `rate` is the share of requests that meet a fault while it is armed, and
    may be set at any time; `faults` says how often each kind is chosen.

    Attributes:
        url: `upstream` through this proxy; known once the block has begun.
    """

    def __init__(
        self,
        upstream: str,
        seed: int,
        *,
        rate: float = 0.1,
        faults: Mapping[Fault, float] = EVERY_FAULT,
        max_delay_s: float = 0.3,
        retry_after_s: int = 1,
    ) -> None:
        self.url = ""
        self.rate = rate
        self._upstream = urlsplit(upstream)
        self._random = random.Random(seed)  # which requests fail, no secret
        self._kinds, self._weights = list(faults), list(faults.values())
        self._max_delay_s, self._retry_after_s = max_delay_s, retry_after_s
        self._is_armed = False
        self._requests = 0
        self._injected: Counter[Fault] = Counter(dict.fromkeys(Fault, 0))
        self._started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="fault-proxy")

    def arm(self) -> None:
        """Start to inject faults."""
        self._is_armed = True

    def disarm(self) -> None:
        """Stop injecting faults. Faults that have begun continue."""
        self._is_armed = False

    @property
    def requests(self) -> int:
        """The number of requests, failed or not."""
        return self._requests

    @property
    def injected(self) -> Counter[Fault]:
        """The number of injected faults by kind, without zeros."""
        return +self._injected

    def __enter__(self) -> FaultProxy:
        self._thread.start()
        self._started.result()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        loop, stop = self._started.result()
        loop.call_soon_threadsafe(stop.set)
        self._thread.join()

    async def _run(self) -> None:
        stop = asyncio.Event()
        clients: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            def forget(task: asyncio.Task[None]) -> None:
                clients.discard(task)
                writer.transport.abort()  # for a task that was cancelled before it began

            task = asyncio.create_task(self._serve(reader, writer))
            clients.add(task)
            task.add_done_callback(forget)

        try:
            server = await asyncio.start_server(accept, "127.0.0.1", 0)
        except OSError as error:
            self._started.set_exception(error)
            return
        port = server.sockets[0].getsockname()[1]
        self.url = self._upstream._replace(netloc=f"127.0.0.1:{port}").geturl()
        self._started.set_result((asyncio.get_running_loop(), stop))
        await stop.wait()
        server.close()
        for task in clients:
            task.cancel()
        await asyncio.gather(*clients, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one client's requests until it disconnects or a fault breaks the connection."""
        try:
            with suppress(*_NO_FAULT_OF_OURS):
                while await self._exchange(reader, writer):
                    pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Handle one request. Returns False if the connection must be closed."""
        request = await _read(reader, has_body=True)
        fault = self._choose()
        if fault is Fault.DELAY:
            await asyncio.sleep(self._random.uniform(0, self._max_delay_s))
        if fault is Fault.CUT_BEFORE:
            return self._cut(writer)
        if fault in (Fault.BUSY, Fault.TOO_MANY, Fault.ERROR):
            answer = self._refusal(fault)
        else:
            answer = await self._pass_on(request)
        if fault is Fault.CUT_AFTER:
            return self._cut(writer)
        if fault is Fault.SILENCE:
            await reader.read(1)  # which ends when the client has had enough
            return False
        if fault is Fault.ERROR_AFTER:
            answer = self._refusal(fault)
        if fault is Fault.CUT_IN_BODY and not answer.body:
            self._injected.subtract([fault])
            fault = Fault.CUT_IN_HEAD
            self._injected.update([fault])
        whole = answer.head + answer.body
        arrives = len(whole)
        if fault is Fault.CUT_IN_HEAD:
            arrives = self._random.randrange(1, len(answer.head))
        elif fault is Fault.CUT_IN_BODY:
            arrives = self._random.randrange(len(answer.head), len(whole))
        writer.write(whole[:arrives])
        await writer.drain()
        return arrives == len(whole)

    def _choose(self) -> Fault | None:
        self._requests += 1
        if not self._is_armed or self._random.random() >= self.rate:
            return None
        (fault,) = self._random.choices(self._kinds, self._weights)
        self._injected[fault] += 1
        return fault

    def _cut(self, writer: asyncio.StreamWriter) -> bool:
        """End the connection: half of the time with a reset, else normally."""
        if self._random.random() < 0.5:
            connection = writer.get_extra_info("socket")
            linger_on_for_0_s = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_on_for_0_s)
        return False

    def _refusal(self, fault: Fault) -> _Message:
        status, code = _CODES[fault]
        body = f"<Error><Code>{code}</Code><Message>{fault.value}</Message></Error>".encode()
        fields = [
            f"HTTP/1.1 {status}",
            f"Content-Length: {len(body)}",
            "Content-Type: application/xml",
            f"x-ms-error-code: {code}",
        ]
        if fault in (Fault.BUSY, Fault.TOO_MANY):
            fields.append(f"Retry-After: {self._retry_after_s}")
        return _Message("\r\n".join([*fields, "", ""]).encode(), body)

    async def _pass_on(self, request: _Message) -> _Message:
        # A new connection for each request: the service might close an idle one just when it is
        # used again, which would be an unplanned fault.
        reader, writer = await asyncio.open_connection(self._upstream.hostname, self._upstream.port)
        try:
            writer.write(request.head + request.body)
            return await _read(reader, has_body=not request.head.startswith(b"HEAD "))
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


async def _read(reader: asyncio.StreamReader, *, has_body: bool) -> _Message:
    """The next message, framed as in section 6 of RFC 9112.

    Raises asyncio.IncompleteReadError if the other side disconnects before its end.
    """
    head = await reader.readuntil(b"\r\n\r\n")
    fields = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])
    }
    status = head.split(b" ", 2)[1]
    if not has_body or status in (b"204", b"304"):
        return _Message(head, b"")
    if fields.get(b"transfer-encoding", b"").lower() == b"chunked":
        return _Message(head, await _read_chunks(reader))
    return _Message(head, await reader.readexactly(int(fields.get(b"content-length", 0))))


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    """A chunked body, unchanged, up to the empty line at its end. Nothing here sends trailers."""
    body = b""
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.partition(b";")[0], 16)
        body += line + await reader.readexactly(size + len(b"\r\n"))
        if size == 0:
            return body
