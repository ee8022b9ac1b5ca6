"""No secret in what is said when something goes wrong, with the SDK's real exceptions."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from flowlog_core.blob import BlobRef, LogBlob
from flowlog_core.cli.environment import log_to_stderr
from flowlog_core.config.settings import Settings
from flowlog_core.errors import FlowlogError, Unavailable
from flowlog_core.service import Service
from flowlog_core.storage.bounded_requests import BoundedRequestsTransport
from flowlog_core.storage.clients import Clients, Patience
from flowlog_core.storage.curl_transport import CurlTransport
from flowlog_core.storage.secrets import redact, without_secrets
from flowlog_core.testing.generate import Interface

SIGNATURE = "c2VjcmV0U2lnbmF0dXJl%2B"
NOWHERE = "http://127.0.0.1:9/account"
WITH_SIGNATURE = (
    f"BlobEndpoint={NOWHERE};QueueEndpoint={NOWHERE};TableEndpoint={NOWHERE};"
    f"SharedAccessSignature=sv=2022-11-02&ss=bqt&srt=sco&sp=rw&se=2099-01-01&sig={SIGNATURE}"
)
NAME = Interface.nsg().blob_name(datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture(params=[CurlTransport, BoundedRequestsTransport])
def service(request: pytest.FixtureRequest) -> Service:
    environment = {"FlowLogs": WITH_SIGNATURE, "AzureWebJobsStorage": WITH_SIGNATURE}
    settings = Settings.from_environment(environment)
    clients = Clients(settings, Patience(1, 1, 0))
    transport = request.param(connect_s=1, call_s=1)
    clients.__dict__["transport"] = transport  # a cached property, made before its first use
    return Service(settings, clients)


def told_by(error: BaseException) -> str:
    """Everything that a traceback, `repr` and `str` would show."""
    return f"{''.join(traceback.format_exception(error))} {error!r} {error}"


@pytest.mark.parametrize("service_name", ["table", "blob", "page"])
def test_a_shared_access_signature_is_in_no_error(service: Service, service_name: str) -> None:
    log = LogBlob.parse(NAME)
    assert log is not None
    (account,) = set(service.accounts.values())
    container = service.settings.nsg_container
    calls: dict[str, Callable[[], object]] = {
        "table": lambda: service.ingest_named("FlowLogs", container, NAME),
        "blob": lambda: service.blobs.read(BlobRef(account, container, log), 0, 10, None),
        "page": lambda: service.blobs.page(account, container, "", by_folder=False),
    }
    with pytest.raises(Unavailable) as caught:
        calls[service_name]()
    assert SIGNATURE not in told_by(caught.value)
    if isinstance(service.clients.transport, BoundedRequestsTransport):
        assert "sig=REDACTED" in told_by(caught.value)  # it was there, in the URL
    service.close()


def test_a_shared_access_signature_is_in_no_log_and_no_repr(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "flowlog_core")
    with pytest.raises(FlowlogError):
        service.ingest_named("FlowLogs", service.settings.nsg_container, NAME)
    assert caplog.text != ""
    assert SIGNATURE not in caplog.text + repr(service.settings)
    service.close()


def test_signatures_are_left_out_wherever_they_stand() -> None:
    text = "get https://a/b?sv=1&sig=abc%2B&se=2 and '/c?SIG=def' and sig=ghi"
    assert without_secrets(text) == (
        "get https://a/b?sv=1&sig=REDACTED&se=2 and '/c?SIG=REDACTED' and sig=REDACTED"
    )
    assert without_secrets("design=1 without") == "design=1 without"


def test_what_an_exception_holds_or_came_from_is_cleared_too() -> None:
    inner, held = ValueError("?sig=one", 7), KeyError("?sig=two")
    outer = RuntimeError(held, "?sig=three")
    outer.message = "?sig=four"  # type: ignore[attr-defined]  # as the SDK's errors have
    outer.__cause__ = inner
    inner.__context__ = outer  # a circle
    redact(outer)
    assert outer.args == (held, "?sig=REDACTED")
    assert outer.message == "?sig=REDACTED"  # type: ignore[attr-defined]  # see above
    assert (inner.args, held.args) == (("?sig=REDACTED", 7), ("?sig=REDACTED",))


def test_the_log_of_the_command_line_leaves_the_sdks_requests_out() -> None:
    log_to_stderr()
    assert not logging.getLogger("azure").isEnabledFor(logging.INFO)
