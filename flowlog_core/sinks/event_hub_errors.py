"""The one place that maps errors of Event Hubs to the error tree of `errors`.

The SDK's class says little: a link that was refused for want of a right and one that was closed for
maintenance are both `ConnectError`s. The AMQP error condition decides. Sources: OASIS AMQP 1.0,
part 2, section 2.8.15-18; learn.microsoft.com, "AMQP errors in Azure Service Bus".
"""

from __future__ import annotations

import re

from azure.core.exceptions import AzureError
from azure.eventhub.exceptions import AuthenticationError, EventHubError

from flowlog_core.errors import (
    BY_STATUS,
    FlowlogError,
    ItemRefused,
    NotAllowed,
    NotFound,
    Refused,
    StorageError,
    Unavailable,
    storage_errors,
)

# Any other condition, or none, may pass: the service is busy, closes a link or a connection, moves
# a hub to another node, or did not answer at all.
_BY_CONDITION: dict[str, type[StorageError]] = {
    "unauthorized-access": NotAllowed,
    "auth-failed": NotAllowed,
    "public-access": NotAllowed,  # the firewall
    "not-found": NotFound,
    "resource-deleted": NotFound,
    "decode-error": Refused,
    "invalid-field": Refused,
    "not-implemented": Refused,
    "not-allowed": Refused,
    "argument-error": Refused,
    "argument-out-of-range": Refused,
    "entity-disabled": Refused,
    "message-size-exceeded": Refused,
    "link:message-size-exceeded": Refused,
}
_BLAME_THE_ITEM = frozenset(("message-size-exceeded", "link:message-size-exceeded"))
"""The conditions of `Refused` that no setting and no fault in Flowlog's requests can cause: see
`errors.ITEM_REFUSED_CODES`. Source: OASIS AMQP 1.0, part 2, section 2.8.17."""
_STATUS = re.compile(r"Status code: (\d{3})")
"""How the SDK words the answer to a token (`TokenAuthFailure`)."""


def flowlog_error(doing: str, error: Exception, item_of: str = "") -> FlowlogError:
    """The error to raise for one of an Event Hubs client, from it.

    `doing` names the call. Where it sends an item of an entry, `item_of` is that entry's id: only
    then is an answer that blames the item an `ItemRefused`.
    """
    if isinstance(error, FlowlogError):
        return error
    if isinstance(error, TimeoutError):
        return Unavailable(f"{doing}: no answer in time")
    if hasattr(error, "condition"):  # of the SDK's AMQP library, which is not public
        error = EventHubError(str(error), error)  # type: ignore[arg-type]  # wrongly declared
    if isinstance(error, EventHubError):
        text = f"{doing}: {_in_one_line(error)}"
        if item_of and error.error in _BLAME_THE_ITEM:
            return ItemRefused(text, item_of)
        return _kind_of(error)(text)
    if isinstance(error, AzureError):  # of the identity
        try:
            with storage_errors(doing):
                raise error
        except StorageError as mapped:
            return mapped
    # The SDK fails in many ways on an answer that it does not expect.
    return Unavailable(f"{doing}: the answer cannot be read: {type(error).__name__}: {error}")


def _kind_of(error: EventHubError) -> type[StorageError]:
    status = _STATUS.search(str(error))
    if status is not None:
        return BY_STATUS.get(int(status[1]), Unavailable)
    kind = _BY_CONDITION.get(error.error or "")
    if kind is not None:
        return kind
    return NotAllowed if isinstance(error, AuthenticationError) else Unavailable


def _in_one_line(error: EventHubError) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(dict.fromkeys(lines)) or type(error).__name__
