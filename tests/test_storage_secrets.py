"""No secret in what is said when something goes wrong, with the SDK's real exceptions."""

from __future__ import annotations

import argparse
import logging
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from azure.core.exceptions import ServiceRequestError
from azure.core.pipeline.transport import HttpTransport
from azure.core.rest import HttpRequest

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
    transport = request.param(connect_s=1, call_s=1)
    return Service(settings, Clients(settings, Patience(1, 1, 0), transport))


class Leaking(HttpTransport[Any, Any]):
    """Fails as a library does that shows the URL of a request, in the error and its cause."""

    def send(self, request: HttpRequest, **_: Any) -> Any:
        cause = OSError(f"no way to {request.url}")
        raise ServiceRequestError(f"cannot reach {request.url}", error=cause) from cause

    def open(self) -> None: ...

    def close(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def told_by(error: BaseException) -> str:
    """Everything that a traceback, `repr` and `str` would show."""
    return f"{''.join(traceback.format_exception(error))} {error!r} {error}"


def errors_of(service: Service) -> Iterator[BaseException]:
    """What calls to the services of tables and of blobs raise where nobody answers."""
    log = LogBlob.parse(NAME)
    assert log is not None
    (account,) = set(service.accounts.values())
    container = service.settings.nsg_container
    calls: list[Callable[[], object]] = [
        lambda: service.ingest_named("FlowLogs", container, NAME),
        lambda: service.blobs.read(BlobRef(account, container, log), 0, 10, None),
        lambda: service.blobs.page(account, container, "", by_folder=False),
    ]
    for call in calls:
        with pytest.raises(Unavailable) as caught:
            call()
        yield caught.value
    service.close()


def test_a_shared_access_signature_is_in_no_error(service: Service) -> None:
    for error in errors_of(service):
        assert "127.0.0.1" in told_by(error)
        assert SIGNATURE not in told_by(error)


def test_a_url_that_a_library_shows_is_left_without_its_signature(service: Service) -> None:
    settings = service.settings
    leaking = Service(settings, Clients(settings, Patience(1, 1, 0), Leaking()))
    for error in errors_of(leaking):
        assert SIGNATURE not in told_by(error)
        assert "sig=REDACTED" in told_by(error)  # it was there, in the URL


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


def test_the_log_of_the_command_line_leaves_the_sdks_requests_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root, ours = logging.getLogger(), logging.getLogger("flowlog_core")
    monkeypatch.setattr(root, "handlers", [])
    levels = root.level, ours.level
    try:
        log_to_stderr(argparse.Namespace(quiet=False, verbose=True))
        assert not logging.getLogger("azure").isEnabledFor(logging.INFO)
        assert ours.isEnabledFor(logging.DEBUG)
    finally:  # other tests must not log as much
        root.setLevel(levels[0])
        ours.setLevel(levels[1])
