"""Every error that Flowlog raises, and whether trying again can help.

    FlowlogError                 try_again
    |-- SettingsError            no       the configuration is wrong; all faults at once
    |-- ClaimLost                no       another worker owns the blob now; it does the work
    |-- Contention               yes      too many workers at one checkpoint; nothing was changed
    |-- BlobChanged              yes      what reading found: begin anew from the checkpoint
    |   |-- BlobGrew                      it was appended to while it was read
    |   |-- BlobRewritten                 it does not hold any more what was read before
    |   `-- BlobDeleted                   it is not there any more
    |-- UnknownAccount           no       no source names the account of a blob (any more)
    `-- StorageError                      what a storage service answered
        |-- Unavailable          yes      time-out, broken connection or answer, 408, 429, 5xx,
        |                                 and 409 of what is being deleted
        |-- Conflict             no       a conditional write came too late: read again, decide anew
        |-- OutOfRange           no       416: the blob ends before the byte that was asked for
        |-- NotFound             no       404: the blob, container, queue or table is not there
        |-- NotAllowed           no       401, 403: a role or a firewall rule is missing
        |-- Archived             no       409 BlobArchived: it must be rehydrated to be read
        `-- Refused              no       any other answer: a fault in the request or in Flowlog

`storage_errors()` is the one place where exceptions of storage calls become these. Nothing that is
unknown is taken for success: it becomes `Refused` and stops the work before an offset moves.
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

from flowlog_core.storage.responses import error_code
from flowlog_core.storage.secrets import redact


class FlowlogError(Exception):
    """The root of the tree; `try_again` says whether the same call may succeed later."""

    try_again: ClassVar[bool] = False


class SettingsError(FlowlogError):
    """The configuration is wrong. `faults` holds one sentence for each thing to change."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = tuple(faults)
        lines = "\n".join(f"  - {fault}" for fault in faults)
        super().__init__(f"Flowlog cannot start, {len(faults)} setting(s) to correct:\n{lines}")


class ClaimLost(FlowlogError):
    """The claim ran out and somebody else has taken the blob: stop quietly."""


class Contention(FlowlogError):
    """A conditional write met a newer version of its entity again and again."""

    try_again = True


class BlobChanged(FlowlogError):
    """The blob is not the one that the reading began with."""

    try_again = True


class BlobGrew(BlobChanged):
    """Another version was committed during the reading; what was read before it is good."""


class BlobRewritten(BlobChanged):
    """The bytes before the offset are not those that were read there, or not there at all."""


class BlobDeleted(BlobChanged):
    """There is nothing left to read."""


class UnknownAccount(FlowlogError):
    """The blob is in an account that is not, or no longer, among the sources."""


class StorageError(FlowlogError):
    """A storage call did not succeed; the text names the call and what the service said."""


class Unavailable(StorageError):
    """The service gave no whole answer, or asked to be left alone for a while."""

    try_again = True


class Conflict(StorageError):
    """The entity or blob is no longer what the condition of the call named."""


class OutOfRange(StorageError):
    """The blob is not longer than the first byte that was asked for."""


class NotFound(StorageError):
    """The thing named in the call does not exist."""


class NotAllowed(StorageError):
    """The service knows the caller, or does not, and refuses."""


class Archived(StorageError):
    """The blob is in the archive tier, or on its way out of it, and cannot be read there."""


class Refused(StorageError):
    """An answer that no rule here expects."""


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

_BY_STATUS: dict[int, type[StorageError]] = {
    HTTPStatus.UNAUTHORIZED: NotAllowed,
    HTTPStatus.FORBIDDEN: NotAllowed,
    HTTPStatus.NOT_FOUND: NotFound,
    HTTPStatus.REQUEST_TIMEOUT: Unavailable,
    HTTPStatus.PRECONDITION_FAILED: Conflict,
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: OutOfRange,
    HTTPStatus.TOO_MANY_REQUESTS: Unavailable,
}


def may_pass(status: int) -> bool:
    """Whether an answer of this HTTP status says that the same call may succeed later."""
    return status >= HTTPStatus.INTERNAL_SERVER_ERROR or _BY_STATUS.get(status) is Unavailable


def _kind_of(error: AzureError) -> type[StorageError]:
    if isinstance(error, HttpResponseError) and error.status_code is not None:
        status = error.status_code
        if may_pass(status):
            return Unavailable
        by_code = _BY_CODE_OF_409.get(error_code(error), Refused)
        kind = by_code if status == HTTPStatus.CONFLICT else _BY_STATUS.get(status)
        if kind is not None:
            return kind
    if isinstance(error, ClientAuthenticationError):
        return NotAllowed
    # A body that was cut off, or could not be decoded, is a broken connection in other words.
    broken = (ServiceRequestError, ServiceResponseError, IncompleteReadError, DecodeError)
    if isinstance(error, broken) or isinstance(error.__cause__, broken):
        return Unavailable
    if isinstance(error, HttpResponseError) and error.status_code is None:
        return Unavailable  # the SDK's word for a chunked body that was cut off between chunks
    return Refused


def _in_one_line(error: AzureError) -> str:
    """Status, error code and the first line of the message: what a person needs at night."""
    status = getattr(error, "status_code", None)
    message = str(error).strip().splitlines()
    told = [str(part) for part in (status, error_code(error)) if part]
    told += message[:1] or [type(error).__name__]
    return " ".join(told)


@contextmanager
def storage_errors(doing: str) -> Iterator[None]:
    """Run storage calls; what they raise comes out as a `StorageError`, its cause attached.

    `doing` names the call in the message, for example "reading blob x of container y". Nothing but
    storage calls belongs inside: whatever the SDK raises that is not its own is taken for an answer
    that was cut off. Its parsers stumble over one in many ways (AttributeError, ValueError,
    ParseError), and those of a batch let the exceptions of `requests` through. No signature of a
    URL is left in the error or in what it was raised from.
    """
    try:
        yield
    except FlowlogError:
        raise
    except AzureError as error:
        redact(error)
        raise _kind_of(error)(f"{doing}: {_in_one_line(error)}") from error
    except Exception as error:
        redact(error)
        told = f"{doing}: the answer cannot be read: {type(error).__name__}: {error}"
        raise Unavailable(told) from error
