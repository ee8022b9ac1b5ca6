"""What an error of a storage service means to the person who can mend it."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import NamedTuple

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

from flowlog_core.config.connections import Connection, Service
from flowlog_core.doctor.facts import Finding

_ACCOUNT_KEY, _A_SAS = "the account key", "the SAS"


class End(NamedTuple):
    """One service of one account, as the doctor speaks of it."""

    connection: Connection
    service: Service
    account: str
    """Its name, or its host where the address does not tell a name."""
    role: str
    """The Azure role that what Flowlog does there takes."""

    def __str__(self) -> str:
        return f"{self.service} service of account {self.account} ({self.connection.name})"

    @property
    def setting(self) -> str:
        """The setting that holds its address."""
        if self.connection.connection_string is not None:
            return self.connection.name
        return f"{self.connection.name}__{self.service}ServiceUri"

    @property
    def caller(self) -> str:
        """Whom the service knows us as."""
        return caller(self.connection)


def caller(connection: Connection) -> str:
    """Whom a service knows us as that is reached through this connection."""
    text = (connection.connection_string or "").lower()
    if connection.connection_string is not None:
        return _A_SAS if "sharedaccesssignature=" in text else _ACCOUNT_KEY
    if connection.client_id:
        return f"the identity with client id {connection.client_id}"
    return "the app's own identity"


_ROLE = (
    "Assign the role {role} on storage account {account} to {caller}; it takes some minutes, at "
    "most half an hour, to count"
)
_SAS = (
    "Make a new SAS with the services, resource types and permissions that Flowlog needs, or use "
    "an identity with the role {role}"
)
_FIREWALL = (
    "Look at Networking of storage account {account}: its firewall must let in where this runs, by "
    "virtual network, address or private endpoint"
)
_KEY = (
    "Copy the connection string of account {account} anew into {name}: the key was changed or "
    "belongs to another account. A clock that is wrong by 15 minutes has the same effect"
)
_NEW_SAS = "Make a new SAS: the one in {name} has run out or was not copied whole"
_TENANT = "Look whether {caller} is of the same tenant as storage account {account}"
_HTTPS = "Write https instead of http in {setting}"
_NAME = (
    "Look at the account's name in {setting}. With a private endpoint, the network in which this "
    "runs needs the private DNS zone of the {service} service"
)
_ADDRESS = "Look at the address in {setting}, and whether anything listens there"
_SILENCE = (
    "Look whether the network in which this runs lets connections to the account out, and whether "
    "its private endpoint answers"
)
_HEALTH = "Look again in a minute, and then at the account's health in the Azure portal"

_BY_CODE = {
    # Source: learn.microsoft.com, "Common REST API error codes" and "Shared access signature error
    # codes"; that a firewall answers AuthorizationFailure: "Troubleshoot 403 errors" of storage.
    "AuthorizationPermissionMismatch": "{missing}",
    "InsufficientAccountPermissions": "{missing}",
    "AuthorizationServiceMismatch": "{missing}",
    "AuthorizationResourceTypeMismatch": "{missing}",
    "AuthorizationFailure": _FIREWALL,
    "AuthorizationSourceIPMismatch": "Make a new SAS that allows the address this runs at",
    "AuthorizationProtocolMismatch": _HTTPS,
    "AccountRequiresHttps": _HTTPS,
    "AuthenticationFailed": "{renew}",
    "KeyBasedAuthenticationNotPermitted": (
        "Storage account {account} lets in identities alone: remove {name}, set "
        "{name}__{service}ServiceUri, and give the app's identity the role {role}"
    ),
    "AccountIsDisabled": "Storage account {account} is disabled: look at it in the Azure portal",
    "NoAuthenticationInformation": "{renew}",
    "InvalidAuthenticationInfo": "{renew}",
}
_CODE_IN_BODY = re.compile(r'"code":\s*"(\w+)"')

# In the words of requests, urllib3 and the SDK, which are all that is left of the cause.
_BY_WORDS = (
    ("non-TLS", "is not reached: an identity's token is not sent over http", _HTTPS),
    ("resolve", "is not reached: there is no such host", _NAME),
    ("NameResolution", "is not reached: there is no such host", _NAME),
    ("refused", "is not reached: the connection is refused", _ADDRESS),
    ("SSL", "is not reached: what answers does not speak https as it should", _ADDRESS),
    ("timed out", "does not answer in time", _SILENCE),
    ("unreachable", "is not reached: no route leads there", _SILENCE),
)


def explain_error(error: Exception, end: End) -> Finding:
    """The fault that an error at `end` stands for. Errors of Flowlog count as what caused them."""
    cause = error.__cause__ if isinstance(error.__cause__, AzureError) else error
    text = str(cause).strip().partition("\n")[0]
    if isinstance(cause, HttpResponseError) and cause.status_code is not None:
        return _answered(cause.status_code, code_of(cause), text, end)
    if isinstance(cause, ClientAuthenticationError):  # raised before anything was sent
        what = f"{end}: {end.caller} gives nothing to sign with: {text}"
        return Finding("fault", what, _filled("{renew}", end))
    for word, what, to_do in _BY_WORDS:
        if word in text:
            return Finding("fault", f"{end} {what}", _filled(to_do, end))
    return Finding("fault", f"{end}: {text}", _filled(_ADDRESS, end))


def _answered(status: int, code: str, text: str, end: End) -> Finding:
    """What it means that the service, or whatever there is in its place, gave this answer."""
    to_do = _BY_CODE.get(code)
    if to_do is None and status == HTTPStatus.FORBIDDEN:
        to_do = _FIREWALL
    if to_do is _FIREWALL and end.caller != _ACCOUNT_KEY:
        to_do += ". If it does: {missing}"
    if to_do is not None:
        what = f"{end} refuses: {f'{status} {code}'.strip()}"
        return Finding("fault", what, _filled(to_do, end))
    if code:
        return Finding("fault", f"{end} answers {status} {code}: {text}", _HEALTH)
    what = f"{end}: what answers there, with {status}, is no storage service"
    return Finding("fault", what, _filled(_ADDRESS, end))


def _filled(to_do: str, end: End) -> str:
    """What to do, in the words for this caller, with the names of this end."""
    missing, renew = {_ACCOUNT_KEY: (_KEY, _KEY), _A_SAS: (_SAS, _NEW_SAS)}.get(
        end.caller, (_ROLE, _TENANT)
    )
    to_do = to_do.replace("{missing}", missing).replace("{renew}", renew)
    values = {
        "role": end.role,
        "account": end.account,
        "name": end.connection.name,
        "service": end.service,
        "setting": end.setting,
        "caller": end.caller,
    }
    return to_do.format(**values)


def code_of(error: HttpResponseError) -> str:
    """The service's word for why, empty where there is none."""
    text = str(error)
    if "failed to authenticate" in text:
        # Azurite calls a wrong key AuthorizationFailure, but says the same words as Azure.
        return "AuthenticationFailed"
    code = getattr(error, "error_code", None)
    if code is not None:
        return str(getattr(code, "value", code))
    # The tables client leaves the code of a failed insert in the body alone.
    found = _CODE_IN_BODY.search(text)
    return found[1] if found else ""
