"""What of the environment reaches a storage call."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import requests
from azure.core.exceptions import AzureError
from requests.adapters import HTTPAdapter

from flowlog_core.config.settings import Settings
from flowlog_core.storage.clients import Clients, Patience

ACCOUNT = (
    "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=a2V5;"
    "BlobEndpoint=http://a.test/;QueueEndpoint=http://a.test/;TableEndpoint=http://a.test/"
)
BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
ENVIRONMENT = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", *BUNDLES)


class Caught(HTTPAdapter):
    """Keeps what would go out, and sends nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.signature = ""
        self.options: dict[str, Any] = {}

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> Any:  # type: ignore[override]  # requests names them all
        self.signature, self.options = str(request.headers["Authorization"]), kwargs
        raise requests.ConnectionError("caught")


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment that says nothing but where a `.netrc` is."""
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    (tmp_path / ".netrc").write_text("default login somebody password of-theirs\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    return monkeypatch


def caught() -> Caught:
    """A message on its way to the queue."""
    settings = Settings.from_environment({"FlowLogs": ACCOUNT, "AzureWebJobsStorage": ACCOUNT})
    clients, adapter = Clients(settings, Patience(1, 1, 0)), Caught()
    queue = clients.queues(settings.state).get_queue_client("queue")
    clients._session.mount("http://", adapter)
    with pytest.raises(AzureError):
        queue.send_message("text")
    return adapter


@pytest.mark.usefixtures("bare")
def test_a_call_is_signed_for_its_account_whatever_a_netrc_says() -> None:
    going = caught()
    assert going.signature.startswith("SharedKey a:")
    assert going.options["proxies"] == {}


def test_a_proxy_that_the_environment_names_is_used(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("http_proxy", "http://proxy.test:3128")
    going = caught()
    assert going.options["proxies"] == {"http": "http://proxy.test:3128"}
    assert going.signature.startswith("SharedKey a:")


@pytest.mark.parametrize("name", BUNDLES)
def test_certificates_that_the_environment_names_are_trusted(
    bare: pytest.MonkeyPatch, name: str
) -> None:
    bare.setenv(name, os.devnull)
    assert caught().options["verify"] == os.devnull
