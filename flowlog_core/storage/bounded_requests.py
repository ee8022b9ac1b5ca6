"""The SDK's own transport, with one time limit for a whole call.

The time-outs of requests count between two bytes: an answer that drips could keep a call alive for
ever, and a send alive beyond the claim that it was made under. Here one thread of the process ends
the connection of a call whose time is up; the call then fails as one whose connection broke.
"""

from __future__ import annotations

import heapq
import socket
import threading
import time
from contextlib import suppress
from http.client import HTTPResponse, RemoteDisconnected
from itertools import count
from typing import Any
from urllib.request import getproxies

import certifi
import requests
from azure.core.pipeline.transport import RequestsTransport
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from flowlog_core.storage.timeouts import sleep_within_limit, try_limit_s
from flowlog_core.storage.whole_response import USER_AGENT, WholeResponse

_of_thread = threading.local()


class _Watch:
    """Shuts down the sockets of calls whose time is up. One for the process."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._ends: list[tuple[float, int, list[socket.socket]]] = []
        self._number = count()
        self._thread: threading.Thread | None = None

    def begin(self, call_s: float) -> list[socket.socket]:
        """Watch a call; it adds its socket to what is returned, and empties that when it ends."""
        sockets: list[socket.socket] = []
        end = time.monotonic() + call_s, next(self._number), sockets
        with self._changed:
            heapq.heappush(self._ends, end)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True, name="call-limits")
                self._thread.start()
            elif self._ends[0] is end:
                self._changed.notify()
        return sockets

    def _run(self) -> None:
        with self._changed:
            while True:
                if not self._ends:
                    self._changed.wait()
                elif (wait_s := self._ends[0][0] - time.monotonic()) > 0:
                    self._changed.wait(wait_s)
                else:
                    for one in heapq.heappop(self._ends)[2]:
                        with suppress(OSError):  # closed meanwhile
                            one.shutdown(socket.SHUT_RDWR)


_WATCH = _Watch()


class _Lines:
    """A file of an answer that keeps the line read last."""

    def __init__(self, file: Any) -> None:
        self._file, self.last = file, b""

    def readline(self, limit: int = -1) -> bytes:
        self.last = self._file.readline(limit)
        return self.last

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class _Response(HTTPResponse):
    """Refuses a head without an end: http.client takes the end of the connection for it."""

    def begin(self) -> None:
        self.fp = lines = _Lines(self.fp)  # type: ignore[assignment]  # all that is read of a head
        super().begin()
        if lines.last not in (b"\r\n", b"\n"):
            raise RemoteDisconnected("the answer was cut off in its head")


class _Watched:
    """Mixed into urllib3's connections: the socket in use is the watched call's."""

    sock: socket.socket | None

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is None:
            self.connect()  # type: ignore[attr-defined]  # of the class that this is mixed into
        if self.sock is not None:
            _of_thread.sockets.append(self.sock)
        super().request(*args, **kwargs)  # type: ignore[misc]  # likewise


class _Connection(_Watched, HTTPConnection):
    response_class = _Response


class _TlsConnection(_Watched, HTTPSConnection):
    response_class = _Response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}


class BoundedRequestsTransport(RequestsTransport):  # type: ignore[misc]  # loaded lazily: Any
    """Sends requests with the `requests` package. Safe to share between clients and threads.

    The contract is `CurlTransport`'s. `max_connections` are kept for each server.
    """

    def __init__(
        self,
        *,
        connect_s: float,
        call_s: float,
        certificates: str = certifi.where(),
        max_connections: int = 24,
    ) -> None:
        self._call_s = call_s
        session = requests.Session()
        # To look for proxies at every call takes a tenth of its processor time.
        session.trust_env = bool(getproxies())
        # Else a password from `~/.netrc` would take the place of the account's own signature.
        session.auth = lambda request: request
        # A body that was compressed on the way would have another length than the blob's bytes.
        session.headers.update({"Accept-Encoding": "identity", "User-Agent": USER_AGENT})
        adapter = _Adapter(pool_connections=16, pool_maxsize=max_connections)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        super().__init__(
            session=session,
            session_owner=False,
            connection_timeout=connect_s,
            read_timeout=call_s,
            connection_verify=certificates,
        )

    def send(self, request: Any, **kwargs: Any) -> Any:
        """Send `request` and wait for the whole answer."""
        _of_thread.sockets = sockets = _WATCH.begin(try_limit_s(self._call_s))
        try:
            came = super().send(request, **{**kwargs, "stream": True})
            body = b"".join(came.iter_raw())
        finally:
            sockets.clear()
        return WholeResponse(request, came.status_code, came.reason, came.headers, body)

    def sleep(self, duration: float) -> None:
        """See `CurlTransport.sleep`."""
        sleep_within_limit(duration)

    def close(self) -> None:
        """Close all connections. A later `send` makes new ones."""
        self.session.close()
