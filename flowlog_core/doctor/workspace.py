"""Whether traffic summaries reach the Log Analytics workspace, if the settings name one.

The test sends an empty list of rows, which leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from io import BytesIO
from typing import Any

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

from flowlog_core.config.checks import Finding
from flowlog_core.doctor.endpoints import Endpoint, caller
from flowlog_core.doctor.installation import Installation

_ROLE = (
    "Assign the role Monitoring Metrics Publisher on the data collection rule to {who}. A new role "
    "takes effect after some minutes, at most half an hour"
)
_RULE = (
    "Check FLOWLOG_TRAFFIC_RULE: it must be the immutable id of a rule at FLOWLOG_TRAFFIC_ENDPOINT"
)
_ADDRESS = "Check FLOWLOG_TRAFFIC_ENDPOINT, and that this network allows connections to it"
_SIGN_IN = (
    "Assign an identity to the app. To check from another machine, use a connection string in "
    "FLOWLOG_STATE and run `az login`"
)


class Workspace(Endpoint):
    """The data collection rule that receives traffic summaries; `account` is its address."""

    __slots__ = ()

    def __str__(self) -> str:
        return f"data collection rule at {self.account}"

    @property
    def setting(self) -> str:
        """The setting that holds its address."""
        return "FLOWLOG_TRAFFIC_ENDPOINT"


def workspace(at: Installation) -> Workspace:
    """Where this installation sends its traffic summaries."""
    # Only the identity of this connection is used.
    return Workspace(at.settings.state, "blob", at.settings.traffic_endpoint, "")


def accepts_traffic(at: Installation) -> Iterator[Finding]:
    """This caller may send to the rule."""
    # Imported only where it is used, as the service does.
    from flowlog_core.observe.log_analytics import STREAM, logs_client  # noqa: PLC0415

    settings, endpoint = at.settings, workspace(at)
    client: Any = logs_client(settings.traffic_endpoint, settings.state)
    try:
        client.upload(settings.traffic_rule, STREAM, BytesIO(b"[]"))
    except AzureError as error:
        yield _explained(error, endpoint)
    else:
        yield Finding("ok", f"The {endpoint} accepts traffic summaries")
    finally:
        client.close()


def _explained(error: AzureError, endpoint: Workspace) -> Finding:
    text = str(error).strip().partition("\n")[0]
    status = error.status_code if isinstance(error, HttpResponseError) else None
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        is_identity = endpoint.connection.connection_string is None
        who = caller(endpoint.connection) if is_identity else "the identity that runs this command"
        what = f"The {endpoint} refused the request: {text}"
        return Finding("warning", what, _ROLE.format(who=who))
    if status == HTTPStatus.NOT_FOUND:
        return Finding("warning", f"The {endpoint} does not exist: {text}", _RULE)
    if status is not None:
        return Finding("warning", f"The {endpoint} answered {status} to an empty test: {text}")
    if isinstance(error, ClientAuthenticationError):
        return Finding("warning", f"Cannot get a token for the {endpoint}: {text}", _SIGN_IN)
    return Finding("warning", f"Cannot connect to the {endpoint}: {text}", _ADDRESS)
