"""Requests that Flowlog writes itself, and the SDK's pipeline signs, sends and retries.

Only for the calls that every append makes, because the SDK's own code around its pipeline takes
several times as long as the pipeline itself (decision 0018).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import copy
from datetime import UTC, datetime
from functools import lru_cache
from html import unescape
from itertools import count
from secrets import token_hex
from typing import Any, NamedTuple
from urllib.parse import quote

import orjson
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline import Pipeline
from azure.core.rest import HttpRequest, HttpResponse
from azure.data.tables import EntityProperty, TableClient
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueClient

TABLE_VERSIONS = {"x-ms-version": "2019-02-02", "DataServiceVersion": "3.0"}

_SUCCESS = range(200, 300)
_RUN, _NUMBER = token_hex(8), count(1)
_MESSAGE = re.compile(r'<Message>([^<]*)|"value":\s*("(?:[^"\\]|\\.)*")')


class Answer(NamedTuple):
    """What a service answered to a request that it carried out."""

    headers: Mapping[str, str]
    """Their names may be asked for in any letter case."""
    body: bytes
    """As received: never decoded, whatever Content-Encoding says."""


class Sender:
    """Sends requests through an SDK client's pipeline, without the policies that do nothing here.

    Those that sign, date and retry are left, and any that a later SDK adds. The pipeline has no
    public name; decision 0025 says what else was left out, and a test names what remains.
    """

    def __init__(self, client: BlobServiceClient | QueueClient | TableClient) -> None:
        inner: Any = client._client._client if isinstance(client, TableClient) else client
        policies = [getattr(one, "_policy", one) for one in inner._pipeline._impl_policies]
        # Copies, since a policy knows the one that follows it.
        needed = [copy(one) for one in policies if type(one).__name__ not in _LEFT_OUT]
        self._pipeline = Pipeline(inner._pipeline._transport, needed)
        # Else the SDK makes an id for each request from the machine's clock and network card, for
        # which it opens a socket: a twentieth of an event's processor time. Ours is for Microsoft's
        # and the account's logs too: which process, and which of its requests.
        self._id_option = "request_id" if isinstance(client, TableClient) else "client_request_id"
        url, _, self._signature = client.url.partition("?")
        self.endpoint = url.rstrip("/")
        """The client's URL, without a signature."""

    def _address(self, path: str) -> str:
        """The URL of a path, with the signature if the client was given with one."""
        mark = "&" if "?" in path else "?"
        return self.endpoint + path + (mark + self._signature if self._signature else "")

    def send(
        self, method: str, path: str, headers: Mapping[str, str], content: bytes = b""
    ) -> HttpResponse:
        """Send a request to a path of the service and wait for the whole answer, of any status.

        `headers` are spelled as Microsoft's pages spell them. Raises `AzureError`s.
        """
        request = _Request(method, self._address(path), headers, content)
        options: dict[str, Any] = {self._id_option: f"{_RUN}-{next(_NUMBER)}", "stream": True}
        response: HttpResponse = self._pipeline.run(request, **options).http_response
        return response

    def ask(
        self, method: str, path: str, headers: Mapping[str, str], content: bytes = b""
    ) -> Answer:
        """Send a request as `send` does, and take its answer apart.

        Raises `HttpResponseError` for any status but those of success, and errors of the pipeline.
        """
        with self.send(method, path, headers, content) as response:
            if response.status_code not in _SUCCESS:
                response.read()
                raise _error_of(response)
            return Answer(response.headers, b"".join(response.iter_raw()))


class _Request(HttpRequest):
    """The SDK's request, with the names that its policies ask for as plain attributes.

    Its own class has deprecated names, looks each up by `__getattr__`, and compares the letter case
    of headers in Python: a tenth of an event's processor time.
    """

    _files = files = None
    multipart_mixed_info: Any = None
    body, query = HttpRequest._body, HttpRequest._query
    prepare_multipart_body = HttpRequest._prepare_multipart_body
    __setattr__ = object.__setattr__  # type: ignore[assignment]  # without the deprecated names

    def __init__(self, method: str, url: str, headers: Mapping[str, str], content: bytes) -> None:
        self.method, self.url, self.headers = method, url, dict(headers)
        self._data = content or None
        if content:
            self.headers["Content-Length"] = str(len(content))


_LEFT_OUT = frozenset(
    {
        "QueueMessagePolicy",
        "RangeHeaderPolicy",
        "ProxyPolicy",
        "UserAgentPolicy",
        "StorageContentValidation",
        "ContentDecodePolicy",
        "RedirectPolicy",
        "StorageHosts",
        "StorageRequestHook",
        "StorageResponseHook",
        "CustomHookPolicy",
        "StorageLoggingPolicy",
        "NetworkTraceLoggingPolicy",
        "HttpLoggingPolicy",
        "DistributedTracingPolicy",
        "StorageSensitiveHeaderCleanupPolicy",
    }
)
"""They act on options that our requests do not have, log, trace, parse the body, or follow
redirections, which storage services do not send."""


def _error_of(response: HttpResponse) -> HttpResponseError:
    """The error with the service's own sentence and code. Its text ends in the body."""
    found = _MESSAGE.search(response.text())
    sentence = None
    if found is not None:
        in_xml, in_json = found.groups()
        sentence = unescape(in_xml) if in_json is None else str(orjson.loads(in_json))
    error: Any = HttpResponseError(sentence, response=response)
    error.error_code = response.headers.get("x-ms-error-code")
    return error  # type: ignore[no-any-return]  # its attribute is the SDK's own addition


def table_json(row: Mapping[str, Any]) -> bytes:
    """A row as JSON. Without a type annotation text is Edm.String, a number Edm.Int32."""
    said = dict(row)
    for name, value in row.items():
        if isinstance(value, EntityProperty):
            said[name], said[f"{name}@odata.type"] = str(value.value), value.edm_type
        elif isinstance(value, datetime):
            text = value.astimezone(UTC).isoformat(timespec="microseconds")
            said[name], said[f"{name}@odata.type"] = text.replace("+00:00", "Z"), "Edm.DateTime"
    return orjson.dumps(said)


@lru_cache(maxsize=4096)  # a blob's entity is written twice an append, and quoting takes long
def entity_path(partition: str, row: str) -> str:
    """What follows a table's name in the address of an entity."""
    return f"(PartitionKey='{_quoted(partition)}',RowKey='{_quoted(row)}')"


def _quoted(key: str) -> str:
    return quote(key.replace("'", "''"), safe="")
