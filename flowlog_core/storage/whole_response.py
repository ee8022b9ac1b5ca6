"""An answer of a storage service that arrived whole, in the form that the Azure SDK expects."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from http import HTTPStatus
from typing import Any

from azure.core.exceptions import ServiceResponseError
from azure.core.pipeline.transport import HttpResponse

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


class WholeResponse(HttpResponse):
    """An answer whose body has arrived whole; the SDK may ask for it in pieces all the same.

    azure-core's older kind of response, which reads the parts of a batch, with the methods of its
    newer kind that the clients of storage services use.

    Raises `ServiceResponseError` where nothing said how long the body would be. HTTP then takes the
    end of the connection for the end of the body; storage services always say it, so the connection
    broke within the head. The names of `headers` may be asked for in any letter case.
    """

    encoding: str | None = "utf-8"
    """Of `text`: what storage services write."""

    def __init__(
        self, request: Any, status: int, reason: str, headers: MutableMapping[str, str], body: bytes
    ) -> None:
        super().__init__(request, None, len(body))
        is_delimited = "content-length" in headers or "transfer-encoding" in headers
        if not is_delimited and request.method != "HEAD" and status != _NO_CONTENT:
            raise ServiceResponseError(f"the answer {status} was cut off in its head")
        self.status_code, self.reason, self.headers = status, reason, headers
        self.content_type = headers.get("Content-Type")
        self.content = body

    def body(self) -> bytes:
        """The body as it was sent: nothing is decompressed."""
        return self.content

    read = body

    def iter_raw(self, **_: Any) -> Iterator[bytes]:
        """The body, in one piece."""
        yield self.content

    iter_bytes = iter_raw

    def text(self, encoding: str | None = None) -> str:
        """The body as text; without a byte order mark; bytes that are not text are replaced."""
        known = "utf-8-sig" if encoding in (None, "utf-8") else encoding
        return self.content.decode(known, "replace")

    def stream_download(self, pipeline: Any, **_: Any) -> Iterator[bytes]:  # noqa: ARG002 - its name
        """`iter_raw` in the form that the blob client looks at."""
        return _Stream(self)

    def close(self) -> None:
        """Does nothing: the body has arrived."""

    def __enter__(self) -> WholeResponse:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Stream:
    """What azure-core's own `stream_download` gives, as far as the blob client looks at it."""

    def __init__(self, response: WholeResponse) -> None:
        self.response, self.request = response, response.request
        self.content_length = len(response.content)
        self._pieces = response.iter_raw()

    def __iter__(self) -> _Stream:
        return self

    def __next__(self) -> bytes:
        return next(self._pieces)
