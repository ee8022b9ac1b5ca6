"""What to do about an error of a storage service.

The texts are templates: `advice` fills in the names of an endpoint. `{missing}` becomes what
to do about a missing permission, and `{renew}` what to do about a credential that is refused.
"""

from __future__ import annotations

from flowlog_core.doctor.endpoints import A_SAS, ACCOUNT_KEY, Endpoint

_ROLE = (
    "Assign the role {role} on storage account {account} to {caller}. A new role takes effect "
    "after some minutes, at most half an hour"
)
_SAS = (
    "Create a new SAS with the services, resource types and permissions that Flowlog needs, or use "
    "an identity with the role {role}"
)
FIREWALL = (
    "Check the firewall under Networking of storage account {account}: it must allow this machine, "
    "by virtual network, IP address or private endpoint"
)
_KEY = (
    "Copy the connection string of account {account} into {name} again: the key was rotated or "
    "belongs to another account. A clock that is wrong by 15 minutes has the same effect"
)
BAD_KEY = "Copy the connection string of account {account} into {name} again: its key is incomplete"
_NEW_SAS = "Create a new SAS: the one in {name} has expired or was not copied completely"
_TENANT = "Check that {caller} belongs to the same tenant as storage account {account}"
_HTTPS = "Write https instead of http in {setting}"
_NAME = (
    "Check the account name in {setting}. If the account has a private endpoint, this network "
    "needs the private DNS zone of the {service} service"
)
_ADDRESS = "Check the address in {setting}"
AZURITE = "Is Azurite running? If it is, check the address in {setting}"
NO_STORAGE = (
    "Check the address in {setting}. A proxy, or another program at that address, may have "
    "answered instead of the storage service"
)
_NO_ANSWER = (
    "Check that this network allows connections to the account, and that its private endpoint, if "
    "it has one, is approved"
)
HEALTH = "Try again in a minute. If it still fails, check the account's health in the Azure portal"

BY_CODE = {
    # Source: learn.microsoft.com, "Common REST API error codes" and "Shared access signature error
    # codes"; that a firewall answers AuthorizationFailure: "Troubleshoot 403 errors" of storage.
    "AuthorizationPermissionMismatch": "{missing}",
    "InsufficientAccountPermissions": "{missing}",
    "AuthorizationServiceMismatch": "{missing}",
    "AuthorizationResourceTypeMismatch": "{missing}",
    "AuthorizationFailure": FIREWALL,
    "AuthorizationSourceIPMismatch": "Create a new SAS that allows the IP address of this machine",
    "AuthorizationProtocolMismatch": _HTTPS,
    "AccountRequiresHttps": _HTTPS,
    "AuthenticationFailed": "{renew}",
    "KeyBasedAuthenticationNotPermitted": (
        "Storage account {account} accepts identities only: remove {name}, set "
        "{name}__{service}ServiceUri, and assign the role {role} to the app's identity"
    ),
    "AccountIsDisabled": "Storage account {account} is disabled: check it in the Azure portal",
    "NoAuthenticationInformation": "{renew}",
    "InvalidAuthenticationInfo": "{renew}",
}

# Words of requests, urllib3 and the SDK: the error's text is all that is known of the cause.
BY_WORDS = (
    ("non-TLS", "Cannot send an identity's token to the {endpoint} over http", _HTTPS),
    ("resolve", "Cannot connect to the {endpoint}: host not found", _NAME),
    ("NameResolution", "Cannot connect to the {endpoint}: host not found", _NAME),
    ("refused", "Cannot connect to the {endpoint}: connection refused", _ADDRESS),
    ("SSL", "Cannot connect to the {endpoint}: the TLS handshake failed", _ADDRESS),
    ("timed out", "The {endpoint} did not answer in time", _NO_ANSWER),
    ("unreachable", "Cannot connect to the {endpoint}: network unreachable", _NO_ANSWER),
)
"""A part of the error's text, what it means, and what to do."""


def advice(to_do: str, endpoint: Endpoint) -> str:
    """The advice for this caller, with the names of this endpoint."""
    missing, renew = {ACCOUNT_KEY: (_KEY, _KEY), A_SAS: (_SAS, _NEW_SAS)}.get(
        endpoint.caller, (_ROLE, _TENANT)
    )
    return (
        to_do.replace("{missing}", missing)
        .replace("{renew}", renew)
        .format(
            role=endpoint.role,
            account=endpoint.account,
            name=endpoint.connection.name,
            service=endpoint.service,
            setting=endpoint.setting,
            caller=endpoint.caller,
        )
    )
