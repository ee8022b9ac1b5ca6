"""Calls to Azure Resource Manager (ARM), and to storage, that only read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import requests
from azure.core.credentials import TokenCredential

Json = Mapping[str, Any]

_TIMEOUT_S = (5, 20)
_MAX_PAGES = 50
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class Cloud:
    """The addresses of one Azure cloud."""

    arm: str
    """Of Azure Resource Manager, without a slash at the end."""
    arm_scope: str
    storage_scope: str = "https://storage.azure.com/.default"


def _cloud(arm: str) -> Cloud:
    return Cloud(arm, f"{arm}/.default")


CLOUDS = {
    # Source: learn.microsoft.com, "Azure Government developer guide" and "Developer guide for
    # Azure in China", section on endpoints.
    "AzureCloud": _cloud("https://management.azure.com"),
    "AzureUSGovernment": _cloud("https://management.usgovcloudapi.net"),
    "AzureChinaCloud": _cloud("https://management.chinacloudapi.cn"),
}


class NotVisible(Exception):
    """The caller may not see it, or it did not answer. The text says why."""


class Missing(Exception):
    """It does not exist, or not for this caller: 404."""


@dataclass(frozen=True)
class Arm:
    """Reads resources of Azure with one credential. Each call waits 25 s at most."""

    cloud: Cloud
    credential: TokenCredential
    session: requests.Session = field(default_factory=requests.Session)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def get(self, resource_id: str, api_version: str, **query: str) -> Json:
        """The answer to GET. Raises `NotVisible` or `Missing`."""
        return self._call("GET", self._url(resource_id), {"api-version": api_version, **query})

    def post(self, resource_id: str, api_version: str) -> Json:
        """The answer to a POST that only reads, as Azure asks for what may hold secrets."""
        return self._call("POST", self._url(resource_id), {"api-version": api_version})

    def list(self, resource_id: str, api_version: str, **query: str) -> list[Json]:
        """All items of a collection, over all its pages."""
        answer = self.get(resource_id, api_version, **query)
        items = [*answer.get("value", ())]
        for _ in range(_MAX_PAGES):
            link = answer.get("nextLink")
            if not link:
                return items
            if urlsplit(link).netloc != urlsplit(self.cloud.arm).netloc:
                raise NotVisible(f"the next page of {resource_id} is at another host")
            answer = self._call("GET", link, {})
            items += answer.get("value", ())
        raise NotVisible(f"{resource_id} has more than {_MAX_PAGES} pages")

    def get_entity(self, table_url: str, partition: str, row: str) -> Json:
        """One entity of a storage table."""
        keys = (f"{name}='{value.replace(chr(39), chr(39) * 2)}'" for name, value in
                (("PartitionKey", partition), ("RowKey", row)))  # fmt: skip
        headers = {"Accept": "application/json;odata=nometadata", "x-ms-version": "2020-12-06"}
        url = f"{table_url}({','.join(keys)})"
        return self._call("GET", url, {}, self.cloud.storage_scope, headers)

    def _url(self, resource_id: str) -> str:
        return f"{self.cloud.arm}{resource_id}"

    def _call(
        self,
        method: str,
        url: str,
        query: Mapping[str, str],
        scope: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Json:
        address = urlsplit(url)
        if address.scheme != "https" and address.hostname not in _LOOPBACK:
            raise NotVisible(f"no token is sent to {address.netloc} over http")
        token = self.credential.get_token(scope or self.cloud.arm_scope).token
        try:
            response = self.session.request(
                method,
                url,
                params=query,
                headers={"Authorization": f"Bearer {token}", **(headers or {})},
                timeout=_TIMEOUT_S,
                allow_redirects=False,
            )
            answer = response.json() if response.content else {}
        except requests.JSONDecodeError:
            answer = {}
        except requests.RequestException as error:
            raise NotVisible(f"{address.netloc} did not answer ({type(error).__name__})") from error
        if response.status_code == HTTPStatus.OK and isinstance(answer, dict):
            return answer
        why = f"{response.status_code} {_code(answer)}".strip()
        if response.status_code == HTTPStatus.NOT_FOUND:
            raise Missing(why)
        if response.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise NotVisible(f"your login may not read it: {why}")
        raise NotVisible(f"{address.netloc} answered {why}")


def _code(answer: Any) -> str:
    """The error code of an answer of ARM ("error") or of a storage table ("odata.error")."""
    if not isinstance(answer, dict):
        return ""
    error = answer.get("error") or answer.get("odata.error") or {}
    return str(error.get("code", "")) if isinstance(error, dict) else ""
