"""An answer of a storage service that arrived whole, in the form that the Azure SDK expects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

import orjson
from azure.core.exceptions import HttpResponseError, ServiceResponseError
from azure.core.pipeline.transport import HttpResponse as BatchResponse
from azure.core.rest import HttpRequest, HttpResponse

_NO_CONTENT = int(HTTPStatus.NO_CONTENT)

USER_AGENT = "flowlog"
"""Of requests that do not name another one, for those who read a storage account's logs."""


class Headers(dict[str, str]):
    """The fields of an answer's head by their names in lower case; asked for in any case.

    Azure-core's own `CaseInsensitiveDict` takes five times as long.
    """

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return super().__contains__(str(name).lower())

    def get(self, name: str, default: Any = None) -> Any:
        """See `dict.get`."""
        return super().get(name.lower(), default)


class _Batch(BatchResponse):
    """azure-core's own reader of multipart answers, over a body that is here."""

    def __init__(self, whole: WholeResponse) -> None:
        super().__init__(whole.request, None)  # type: ignore[arg-type]  # both kinds will do
        self.status_code, self.headers = whole.status_code, whole.headers
        self.reason, self.content_type = whole.reason, whole.content_type
        self._whole = whole

    def body(self) -> bytes:
        return self._whole.content


class WholeResponse(HttpResponse):
    """An answer whose body has arrived whole; the SDK may ask for it in pieces all the same.

    Raises `ServiceResponseError` where nothing said how long the body would be. HTTP then takes the
    end of the connection for the end of the body; storage services always say it, so the connection
    broke within the head. The names of `headers` may be asked for in any letter case.
    """

    encoding: str | None = "utf-8"
    """Of `text`: what storage services write."""

    def __init__(
        self,
        request: HttpRequest,
        status: int,
        reason: str,
        headers: Mapping[str, str],
        body: bytes,
    ) -> None:
        self._request, self._status, self._reason = request, status, reason
        self._headers = headers
        is_delimited = "content-length" in headers or "transfer-encoding" in headers
        if not is_delimited and request.method != "HEAD" and status != _NO_CONTENT:
            raise ServiceResponseError(f"the answer {status} was cut off in its head")
        self._body = body
        self._closed = False
        self.internal_response = None
        self.block_size = len(body) or 1

    @property
    def request(self) -> HttpRequest:
        """See `HttpResponse.request`."""
        return self._request

    @property
    def status_code(self) -> int:
        """See `HttpResponse.status_code`."""
        return self._status

    @property
    def reason(self) -> str:
        """See `HttpResponse.reason`."""
        return self._reason

    @property
    def headers(self) -> Any:
        """See `HttpResponse.headers`."""
        return self._headers

    @property
    def content_type(self) -> str | None:
        """See `HttpResponse.content_type`."""
        return self._headers.get("Content-Type")

    @property
    def is_closed(self) -> bool:
        """See `HttpResponse.is_closed`."""
        return self._closed

    @property
    def is_stream_consumed(self) -> bool:
        """True: nothing is left to come."""
        return True

    @property
    def url(self) -> str:
        """See `HttpResponse.url`."""
        return str(self._request.url)

    @property
    def content(self) -> bytes:
        """See `HttpResponse.content`."""
        return self._body

    def body(self) -> bytes:
        """The older name of `content`, which storage clients use."""
        return self._body

    def text(self, encoding: str | None = None) -> str:
        """See `HttpResponse.text`; a byte order mark is left out, and what is no text replaced."""
        known = "utf-8-sig" if encoding in (None, "utf-8") else encoding
        return self._body.decode(known, "replace")

    def json(self) -> Any:
        """See `HttpResponse.json`."""
        return orjson.loads(self._body)

    def raise_for_status(self) -> None:
        """See `HttpResponse.raise_for_status`."""
        if self._status >= HTTPStatus.BAD_REQUEST:
            raise HttpResponseError(response=self)

    def read(self) -> bytes:
        """See `HttpResponse.read`."""
        return self._body

    def iter_raw(self, **_: Any) -> Iterator[bytes]:
        """The body, in one piece."""
        yield self._body

    def iter_bytes(self, **_: Any) -> Iterator[bytes]:
        """The body as it was sent: nothing is decompressed."""
        yield self._body

    def stream_download(self, _pipeline: Any, **_: Any) -> Iterator[bytes]:
        """The older name of `iter_raw`, which storage clients use."""
        return _Stream(self)

    def parts(self) -> Iterator[Any]:
        """The answers inside a batch's answer, which the table client takes one by one."""
        found: Iterator[Any] = _Batch(self).parts()
        return found

    def close(self) -> None:
        """See `HttpResponse.close`."""
        self._closed = True

    def __enter__(self) -> WholeResponse:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<WholeResponse: {self._status} {self._reason}>"


class _Stream:
    """What azure-core's own `stream_download` gives, as far as the blob client looks at it."""

    def __init__(self, response: WholeResponse) -> None:
        self.response, self.request = response, response.request
        self.content_length = len(response.content)
        self._pieces = iter((response.content,))

    def __iter__(self) -> _Stream:
        return self

    def __next__(self) -> bytes:
        return next(self._pieces)
