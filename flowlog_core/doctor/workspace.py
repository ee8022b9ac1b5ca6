"""Whether the sums of traffic would arrive, where the settings name a place for them.

The trial is an empty list of rows, which can leave nothing behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from io import BytesIO
from typing import Any

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

from flowlog_core.doctor.explain_error import End, caller
from flowlog_core.doctor.facts import Finding
from flowlog_core.doctor.installation import Installation

_ROLE = (
    "Assign the role Monitoring Metrics Publisher on the data collection rule to {who}; it takes "
    "some minutes, at most half an hour, to count"
)
_RULE = "Look at FLOWLOG_TRAFFIC_RULE: it is the rule's immutable id, and of the same endpoint"
_ADDRESS = (
    "Look at FLOWLOG_TRAFFIC_ENDPOINT, and whether the network in which this runs lets connections "
    "out to it"
)
_NOBODY = (
    "Assign an identity to the app. To look from another machine, sign in to the Azure CLI with "
    "FLOWLOG_STATE a connection string"
)


class Workspace(End):
    """What takes sums of traffic, as the doctor speaks of it; `account` is its address."""

    __slots__ = ()

    def __str__(self) -> str:
        return f"data collection rule at {self.account}"

    @property
    def setting(self) -> str:
        """The setting that holds its address."""
        return "FLOWLOG_TRAFFIC_ENDPOINT"


def workspace(at: Installation) -> Workspace:
    """Where this installation sends its sums."""
    # Of the connection only the identity counts.
    return Workspace(at.settings.state, "blob", at.settings.traffic_endpoint, "")


def takes_traffic(at: Installation) -> Iterator[Finding]:
    """This caller may send to the rule."""
    # Imported where it is wanted, as by the service.
    from flowlog_core.traffic_logs import STREAM, logs_client  # noqa: PLC0415

    settings, end = at.settings, workspace(at)
    client: Any = logs_client(settings.traffic_endpoint, settings.state)
    try:
        client.upload(settings.traffic_rule, STREAM, BytesIO(b"[]"))
    except AzureError as error:
        yield _explained(error, end)
    else:
        yield Finding("ok", f"{end} takes sums of traffic")
    finally:
        client.close()


def _explained(error: AzureError, end: Workspace) -> Finding:
    text = str(error).strip().partition("\n")[0]
    status = error.status_code if isinstance(error, HttpResponseError) else None
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        is_identity = end.connection.connection_string is None
        who = caller(end.connection) if is_identity else "the identity that this runs with"
        return Finding("warning", f"{end} refuses: {text}", _ROLE.format(who=who))
    if status == HTTPStatus.NOT_FOUND:
        return Finding("warning", f"{end} is not there: {text}", _RULE)
    if status is not None:
        return Finding("warning", f"{end} answers {status} to an empty trial: {text}")
    if isinstance(error, ClientAuthenticationError):
        return Finding("warning", f"{end}: there is no token to send with: {text}", _NOBODY)
    return Finding("warning", f"{end} is not reached: {text}", _ADDRESS)
