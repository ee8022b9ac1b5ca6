"""libcurl under the Azure SDK: azure-core's extension point for transports, `HttpTransport`.

The SDK signs, retries and models as before; only the sending changes. It takes a fraction of the
processor time of requests, urllib3 and http.client (docs/decisions/0013). Every thread keeps one
handle, and with it one connection to each server.

`pycurl` is an optional package: import this module only where it is installed.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import certifi
import pycurl
from azure.core.exceptions import (
    IncompleteReadError,
    ServiceRequestError,
    ServiceRequestTimeoutError,
    ServiceResponseError,
    ServiceResponseTimeoutError,
)
from azure.core.pipeline.transport import HttpTransport
from azure.core.rest import HttpRequest

from flowlog_core.storage.timeouts import sleep_within_limit, try_limit_s
from flowlog_core.storage.whole_response import USER_AGENT, Headers, WholeResponse

# Codes of libcurl (curl.se, "libcurl-errors") after which the request cannot have been carried out.
_NOT_SENT = frozenset(
    {
        pycurl.E_URL_MALFORMAT,
        pycurl.E_COULDNT_RESOLVE_PROXY,
        pycurl.E_COULDNT_RESOLVE_HOST,
        pycurl.E_COULDNT_CONNECT,
        pycurl.E_SSL_CONNECT_ERROR,
        pycurl.E_SSL_CERTPROBLEM,
        pycurl.E_SSL_CACERT,
        pycurl.E_SSL_CACERT_BADFILE,
    }
)

_DEFAULT_PORTS = {"http": 80, "https": 443}


class _Handle(NamedTuple):
    """A handle of libcurl, and what it appends the lines of a head and parts of a body to."""

    curl: pycurl.Curl
    head: list[bytes]
    body: list[bytes]


class CurlTransport(HttpTransport[HttpRequest, WholeResponse]):
    """Sends requests with libcurl. Safe to share between clients and threads.

    A call takes at most `call_s` seconds from its beginning to the last byte of its answer, and
    less within a `time_limit`; connecting may take `connect_s` of them. `certificates` is the file
    of those to trust. Proxies are those that the environment names when the transport is made. A
    `.netrc` is never read, redirections are not followed, and bodies are not decompressed.

    `send` raises what azure-core's own transport raises: `ServiceRequestError` where the request
    cannot have been carried out, `ServiceResponseError` or `IncompleteReadError` where it may have
    been, and of both the forms for a time-out.
    """

    def __init__(
        self, *, connect_s: float, call_s: float, certificates: str = certifi.where()
    ) -> None:
        self._connect_ms, self._call_s = round(connect_s * 1000), call_s
        self._certificates = certificates
        self._proxies = getproxies()
        self._of_thread = threading.local()
        self._handles: weakref.WeakSet[pycurl.Curl] = weakref.WeakSet()

    def send(self, request: HttpRequest, **_: Any) -> WholeResponse:
        """Send `request` and wait for the whole answer."""
        curl, head, body = self._handle()
        curl.setopt(pycurl.TIMEOUT_MS, max(1, round(try_limit_s(self._call_s) * 1000)))
        curl.setopt(pycurl.URL, request.url)
        curl.setopt(pycurl.HTTPHEADER, _header_lines(request))
        _set_method_and_body(curl, request)
        if self._proxies:
            curl.setopt(pycurl.PROXY, self._proxy_for(request.url))
        try:
            curl.perform()
            status = curl.getinfo(pycurl.RESPONSE_CODE)
            reason, headers = _parsed_head(b"".join(head))
            return WholeResponse(request, status, reason, headers, b"".join(body))
        except pycurl.error as error:
            raise _mapped(error, curl, request.url) from error
        finally:
            head.clear()
            body.clear()

    def _handle(self) -> _Handle:
        """This thread's handle. What one request sets, the next one sets too, or it stays."""
        handle: _Handle | None = getattr(self._of_thread, "handle", None)
        if handle is None:
            handle = _Handle(pycurl.Curl(), [], [])
            curl = handle.curl
            curl.setopt(pycurl.NOSIGNAL, 1)  # signals and threads do not go together
            curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)  # all that storage has
            curl.setopt(pycurl.CONNECTTIMEOUT_MS, self._connect_ms)
            curl.setopt(pycurl.CAINFO, self._certificates)
            curl.setopt(pycurl.TCP_KEEPALIVE, 1)
            curl.setopt(pycurl.USERAGENT, USER_AGENT)
            # Else libcurl would read the environment by its own rules.
            curl.setopt(pycurl.PROXY, "")
            curl.setopt(pycurl.HEADERFUNCTION, handle.head.append)
            curl.setopt(pycurl.WRITEFUNCTION, handle.body.append)
            self._of_thread.handle = handle
            self._handles.add(curl)
        return handle

    def _proxy_for(self, url: str) -> str:
        parts = urlsplit(url)
        if proxy_bypass(parts.hostname or ""):
            return ""
        return self._proxies.get(parts.scheme) or self._proxies.get("all", "")

    def sleep(self, duration: float) -> None:
        """Wait between two tries. See `time_limit`."""
        sleep_within_limit(duration)

    def open(self) -> None:
        """Nothing to do: a connection is made when it is first needed."""

    def close(self) -> None:
        """Close the connections of all threads. A later `send` makes new ones."""
        self._of_thread = threading.local()
        for curl in list(self._handles):
            self._handles.discard(curl)
            try:
                curl.close()
            except pycurl.error:  # in use by another thread: it goes with that thread
                continue

    def __enter__(self) -> CurlTransport:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _parsed_head(head: bytes) -> tuple[str, Headers]:
    """Reason and fields of the last head that came: those of `100 Continue` do not count.

    Raises `ServiceResponseError` if the connection broke within it: libcurl takes that for its end.
    """
    text = head.decode("latin-1")
    if not text.endswith(("\n\r\n", "\n\n")):
        raise ServiceResponseError("the answer was cut off in its head")
    status_line, *lines = text[text.rfind("\nHTTP/") + 1 :].split("\n")
    headers = Headers()
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.lower()] = value.strip()
    return status_line.partition(" ")[2].partition(" ")[2].strip(), headers


def _header_lines(request: HttpRequest) -> list[str]:
    lines = [f"{name}: {value}" if value else f"{name};" for name, value in request.headers.items()]
    if "Content-Type" not in request.headers:
        lines.append("Content-Type:")  # else libcurl names a form, which nobody signed
    lines.append("Expect:")  # no `100 Continue`: it costs a round trip
    return lines


def _set_method_and_body(curl: pycurl.Curl, request: HttpRequest) -> None:
    content: Any = request.content
    if content is None:
        content = b""
    elif isinstance(content, str):
        content = content.encode()
    elif not isinstance(content, bytes):
        content = content.read() if hasattr(content, "read") else b"".join(content)
    method = request.method
    curl.setopt(pycurl.NOBODY, method == "HEAD")
    if content or method in ("POST", "PUT", "PATCH", "MERGE"):
        curl.setopt(pycurl.POST, 1)
        curl.setopt(pycurl.POSTFIELDS, content)
    else:
        curl.setopt(pycurl.HTTPGET, method != "HEAD")
    curl.setopt(pycurl.CUSTOMREQUEST, method)


def _mapped(error: pycurl.error, curl: pycurl.Curl, url: str) -> Exception:
    """The error in azure-core's terms. Its message names host and port, and never the URL's query.

    A query may hold a shared access signature.
    """
    code, text = error.args[0], error.args[-1]
    if code == pycurl.E_COULDNT_CONNECT and (number := curl.getinfo(pycurl.OS_ERRNO)):
        text = os.strerror(number)  # libcurl's own text is the same for all reasons
    said = f"{_host_and_port(url)}: {text} (libcurl error {code})"
    if code == pycurl.E_OPERATION_TIMEDOUT:
        is_connected = curl.getinfo(pycurl.PRETRANSFER_TIME) > 0
        kind = ServiceResponseTimeoutError if is_connected else ServiceRequestTimeoutError
        return kind(said, error=error)
    if code in _NOT_SENT:
        return ServiceRequestError(said, error=error)
    if code == pycurl.E_PARTIAL_FILE:
        return IncompleteReadError(said, error=error)
    return ServiceResponseError(said, error=error)


def _host_and_port(url: str) -> str:
    try:
        parts = urlsplit(url)
        return f"{parts.hostname}:{parts.port or _DEFAULT_PORTS[parts.scheme]}"
    except (KeyError, ValueError):  # no address, as libcurl's text says
        return "request"
