"""Every error that Flowlog raises, and whether trying again can help.

    FlowlogError                 try_again
    |-- SettingsError            no       the configuration is wrong; all faults at once
    |-- ClaimLost                no       another worker owns the blob now; it does the work
    |-- AlreadyForwarded         no       an event names a version that was forwarded before
    |-- StillClaimed             yes      an event came back, and another worker still has its blob
    |-- Contention               yes      too many workers at one checkpoint; nothing was changed
    |-- BlobChanged              yes      found while reading: start again from the checkpoint
    |   |-- BlobGrew                      it was appended to while it was read
    |   |-- BlobRewritten                 it no longer contains what was read before
    |   `-- BlobDeleted                   it no longer exists
    |-- UnknownAccount           no       the account of a blob is not, or no longer, a source
    `-- StorageError                      a storage call failed
        |-- Unavailable          yes      timeout, broken connection or answer, 408, 429, 5xx,
        |                                 and 409 for what is being deleted
        |-- Conflict             no       a conditional write came too late: read and decide again
        |-- OutOfRange           no       416: the blob ends before the requested byte
        |-- NotFound             no       404: the blob, container, queue or table does not exist
        |-- NotAllowed           no       401, 403: a role or a firewall rule is missing
        |-- Archived             no       409 BlobArchived: it must be rehydrated to be read
        `-- Refused              no       any other answer: a fault in the request or in Flowlog
            `-- ItemRefused               the answer blames one item for its size, name or key

`storage_errors()` is the one place that maps exceptions of storage calls to these. An unknown
answer never counts as success: it becomes `Refused` and stops the work before an offset moves.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import ClassVar

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DecodeError,
    HttpResponseError,
    IncompleteReadError,
    ServiceRequestError,
    ServiceResponseError,
)

from flowlog_core.observe.printable import printable
from flowlog_core.storage.responses import error_code
from flowlog_core.storage.secrets import redact


class FlowlogError(Exception):
    """The base class; `try_again` says whether the same call may succeed later."""

    try_again: ClassVar[bool] = False


class SettingsError(FlowlogError):
    """The configuration is wrong. `faults` holds one sentence for each thing to change."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = tuple(faults)
        lines = "\n".join(f"  - {fault}" for fault in faults)
        super().__init__(f"Flowlog cannot start, {len(faults)} setting(s) to correct:\n{lines}")


class ClaimLost(FlowlogError):
    """The claim ran out and another worker has claimed the blob: stop without an error."""


class AlreadyForwarded(FlowlogError):
    """The version of the blob that an event names was read to its end and committed."""


class StillClaimed(FlowlogError):
    """An event was delivered again while another worker held the claim on its blob.

    That worker may have died with the event's first delivery. So the event has to come back until
    the claim was released or ran out.
    """

    try_again = True


class Contention(FlowlogError):
    """A conditional write found a newer version of its entity too many times in a row."""

    try_again = True


class BlobChanged(FlowlogError):
    """The blob has changed since reading began."""

    try_again = True


class BlobGrew(BlobChanged):
    """A newer version was committed during the read; what was read before it is valid."""


class BlobRewritten(BlobChanged):
    """The bytes before the offset have changed or no longer exist."""


class BlobDeleted(BlobChanged):
    """The blob no longer exists."""


class UnknownAccount(FlowlogError):
    """The blob's account is not, or no longer, a source."""


class StorageError(FlowlogError):
    """A storage call failed; the text names the call and quotes the service."""


class Unavailable(StorageError):
    """The service gave no complete answer, or asked to wait; or another program answered."""

    try_again = True


class Conflict(StorageError):
    """The condition of the call failed: the entity or blob has changed."""


class OutOfRange(StorageError):
    """The blob ends at or before the first requested byte."""


class NotFound(StorageError):
    """The blob, container, queue or table in the call does not exist."""


class NotAllowed(StorageError):
    """The service denied access: a role or a firewall rule is missing."""


class Archived(StorageError):
    """The blob is in the archive tier, or being rehydrated, and cannot be read."""


class Refused(StorageError):
    """Any other answer: a fault in the request or in Flowlog."""


class ItemRefused(Refused):
    """The service blames one item for its size, its name or its key. `entry_id`: of which entry."""

    def __init__(self, text: str, entry_id: str) -> None:
        self.entry_id = entry_id
        super().__init__(text)


ITEM_REFUSED_CODES = {
    "EntityTooLarge": "Table Storage error codes",
    "KeyValueTooLarge": "TableErrorCode Struct (Azure.Data.Tables)",
    "OutOfRangeInput": "Table Storage error codes",  # a key or value that no entity may have
    "PropertyValueTooLarge": "Table Storage error codes",
    "MessageTooLarge": "Queue service error codes",
    "InvalidResourceName": "Common REST API error codes",
    "RequestBodyTooLarge": "Common REST API error codes",
}
"""Codes that blame the item of the call, and the page of Microsoft's that lists each.

An item that is refused with one of these again and again is set aside, so nothing that a wrong
setting, role or release can cause may be here: all logs would become dead letters. That excludes
401, 403 and 404 whatever their code, `InvalidInput`, `InvalidHeaderValue`, and the `PropertyName…`
codes, since the names of properties are Flowlog's own.
"""

_STATUSES_OF_A_REFUSED_ITEM = (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)


# Status 409 has many meanings; an error code that is not here is `Refused`. Source: Microsoft's
# pages "Blob service error codes", "Queue service error codes" and "Table service error codes".
_BY_CODE_OF_409: dict[str, type[StorageError]] = {
    "BlobArchived": Archived,
    "BlobBeingRehydrated": Archived,
    # For some 40 s after the deletion, nothing of the same name can be used or created.
    "ContainerBeingDeleted": Unavailable,
    "QueueBeingDeleted": Unavailable,
    "TableBeingDeleted": Unavailable,
    "BlobAlreadyExists": Conflict,
    "ContainerAlreadyExists": Conflict,
    "EntityAlreadyExists": Conflict,
    "QueueAlreadyExists": Conflict,
    "ResourceAlreadyExists": Conflict,
    "TableAlreadyExists": Conflict,
}

BY_STATUS: dict[int, type[StorageError]] = {
    HTTPStatus.UNAUTHORIZED: NotAllowed,
    HTTPStatus.FORBIDDEN: NotAllowed,
    HTTPStatus.NOT_FOUND: NotFound,
    HTTPStatus.REQUEST_TIMEOUT: Unavailable,
    HTTPStatus.PRECONDITION_FAILED: Conflict,
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: OutOfRange,
    HTTPStatus.TOO_MANY_REQUESTS: Unavailable,
}
"""What the statuses of HTTP mean, but for 409 and those of the server's faults."""


def may_pass(status: int) -> bool:
    """Whether an answer of this HTTP status says that the same call may succeed later."""
    return status >= HTTPStatus.INTERNAL_SERVER_ERROR or BY_STATUS.get(status) is Unavailable


def _kind_of(error: AzureError) -> type[StorageError]:
    if isinstance(error, HttpResponseError) and error.status_code is not None:
        status = error.status_code
        # A 404 without a code comes from a proxy or another program in the service's place: it must
        # not count as a deleted blob, or as a container that is not created yet.
        if may_pass(status) or (status == HTTPStatus.NOT_FOUND and not error_code(error)):
            return Unavailable
        by_code = _BY_CODE_OF_409.get(error_code(error), Refused)
        kind = by_code if status == HTTPStatus.CONFLICT else BY_STATUS.get(status)
        if kind is not None:
            return kind
    if isinstance(error, ClientAuthenticationError):
        return NotAllowed
    # A truncated body, or one that cannot be decoded, means a broken connection.
    broken = (ServiceRequestError, ServiceResponseError, IncompleteReadError, DecodeError)
    if isinstance(error, broken) or isinstance(error.__cause__, broken):
        return Unavailable
    if isinstance(error, HttpResponseError) and error.status_code is None:
        return Unavailable  # the SDK raises this for a chunked body that ended between chunks
    return Refused


def _blames_the_item(error: AzureError) -> bool:
    status = getattr(error, "status_code", None)
    return status in _STATUSES_OF_A_REFUSED_ITEM and error_code(error) in ITEM_REFUSED_CODES


def _in_one_line(error: AzureError) -> str:
    """Status, error code and the first line of the message."""
    status = getattr(error, "status_code", None)
    message = str(error).strip().splitlines()
    told = [str(part) for part in (status, error_code(error)) if part]
    told += message[:1] or [type(error).__name__]
    return printable(" ".join(told))


@contextmanager
def storage_errors(doing: str, item_of: str = "") -> Iterator[None]:
    """Run storage calls and raise their exceptions as `StorageError`, with the cause attached.

    `doing` names the call in the message, for example "reading blob x of container y". `item_of` is
    the id of the entry of which the call stores an item: only then can it raise `ItemRefused`.

    Put only storage calls inside: any exception that is not the SDK's own counts as a truncated
    answer. The SDK's parsers fail on those in many ways (AttributeError, ValueError, ParseError),
    and its batch parser lets exceptions of `requests` through. Signatures of URLs are removed from
    the error and from its cause.
    """
    try:
        yield
    except FlowlogError:
        raise
    except AzureError as error:
        redact(error)
        kind, text = _kind_of(error), f"{doing}: {_in_one_line(error)}"
        if item_of and kind is Refused and _blames_the_item(error):
            raise ItemRefused(text, item_of) from error
        raise kind(text) from error
    except Exception as error:
        redact(error)
        told = f"{doing}: the answer cannot be read: {type(error).__name__}: {error}"
        raise Unavailable(told) from error
