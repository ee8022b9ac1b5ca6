"""Exceptions of the SDK become our errors, which say whether a retry can help."""

from __future__ import annotations

import re
from enum import Enum
from types import SimpleNamespace
from typing import Any
from xml.etree.ElementTree import ParseError

import pytest
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DecodeError,
    HttpResponseError,
    IncompleteReadError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.data.tables import TableErrorCode
from azure.storage.blob import StorageErrorCode as BlobErrorCode
from azure.storage.queue import StorageErrorCode as QueueErrorCode
from requests.exceptions import ChunkedEncodingError

from flowlog_core import errors
from flowlog_core.errors import (
    ITEM_REFUSED_CODES,
    Archived,
    Conflict,
    FlowlogError,
    ItemRefused,
    NotAllowed,
    NotFound,
    OutOfRange,
    Refused,
    StorageError,
    Unavailable,
    storage_errors,
)


def answer(status: int) -> Any:
    return SimpleNamespace(status_code=status, reason="reason", headers={}, internal_response=None)


def coded(code: str, status: int = 409) -> HttpResponseError:
    kinds = {404: ResourceNotFoundError, 409: ResourceExistsError}
    error = http(status, kinds.get(status, HttpResponseError))
    error.error_code = code  # type: ignore[attr-defined]  # as the blob client sets it
    return error


def http(status: int, kind: type[HttpResponseError] = HttpResponseError) -> HttpResponseError:
    return kind("said the service\nErrorCode:Whatever", response=answer(status))


def mapped(error: AzureError) -> StorageError:
    with pytest.raises(StorageError) as caught, storage_errors("doing it"):
        raise error
    assert caught.value.__cause__ is error
    return caught.value


def body_cut_off() -> HttpResponseError:
    """As the blob client wraps a body that ended early, after its own tries."""
    error = HttpResponseError("cut off")
    error.__cause__ = IncompleteReadError("cut off")
    return error


@pytest.mark.parametrize(
    ("error", "kind", "try_again"),
    [
        (http(500), Unavailable, True),
        (http(503), Unavailable, True),
        (http(429), Unavailable, True),
        (http(408), Unavailable, True),
        (http(409, ResourceExistsError), Refused, False),
        (coded("SomethingNew"), Refused, False),
        (coded("TableBeingDeleted"), Unavailable, True),
        (coded("QueueBeingDeleted"), Unavailable, True),
        (coded("ContainerBeingDeleted"), Unavailable, True),
        (coded("EntityAlreadyExists"), Conflict, False),
        (coded("BlobAlreadyExists"), Conflict, False),
        (coded("BlobArchived"), Archived, False),
        (coded("BlobBeingRehydrated"), Archived, False),
        (http(412, ResourceModifiedError), Conflict, False),
        (http(416), OutOfRange, False),
        (coded("BlobNotFound", 404), NotFound, False),
        # No storage service answers without a code: learn.microsoft.com, "Status and error codes".
        (http(404, ResourceNotFoundError), Unavailable, True),
        (http(401, ClientAuthenticationError), NotAllowed, False),
        (http(403), NotAllowed, False),
        (http(400), Refused, False),
        (http(302), Refused, False),
        (ClientAuthenticationError("no identity here"), NotAllowed, False),
        (ServiceRequestError("connection refused"), Unavailable, True),
        (ServiceResponseError("no answer"), Unavailable, True),
        (IncompleteReadError("cut off"), Unavailable, True),
        (body_cut_off(), Unavailable, True),
        (DecodeError("no XML"), Unavailable, True),
        (HttpResponseError("Response ended prematurely"), Unavailable, True),
        (AzureError("something new"), Refused, False),
    ],
    ids=str,
)
def test_every_error_of_the_sdk_has_its_place(
    error: AzureError, kind: type[StorageError], try_again: bool
) -> None:
    found = mapped(error)
    assert (type(found), found.try_again) == (kind, try_again)


def test_the_message_names_the_call_the_status_and_the_reason_in_one_line() -> None:
    assert str(mapped(http(503))) == "doing it: 503 said the service"
    assert str(mapped(AzureError(""))) == "doing it: AzureError"


@pytest.mark.parametrize(
    "error", [AttributeError("no items"), ParseError("no element"), ChunkedEncodingError("cut off")]
)
def test_what_the_sdk_stumbles_over_is_an_answer_that_was_cut_off(error: Exception) -> None:
    with pytest.raises(Unavailable) as caught, storage_errors("doing it"):
        raise error
    assert str(caught.value).startswith("doing it: the answer cannot be read: ")
    assert str(caught.value).endswith(f"{type(error).__name__}: {error}")
    assert caught.value.__cause__ is error


def test_our_own_errors_and_the_end_of_the_process_pass_through() -> None:
    for error in (Refused("of an unknown format"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught, storage_errors("doing it"):
            raise error
        assert caught.value is error


@pytest.mark.parametrize("code", ITEM_REFUSED_CODES)
def test_codes_that_blame_the_item_do_so_only_in_calls_that_store_one(code: str) -> None:
    for status in (400, 413):
        with pytest.raises(ItemRefused) as caught, storage_errors("storing it", "0a.3.12"):
            raise coded(code, status)
        assert caught.value.entry_id == "0a.3.12"
        assert str(caught.value) == f"storing it: {status} {code} said the service"
        assert type(mapped(coded(code, status))) is Refused


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        *((coded(code, 401), NotAllowed) for code in ITEM_REFUSED_CODES),
        *((coded(code, 403), NotAllowed) for code in ITEM_REFUSED_CODES),
        (coded("InvalidResourceName", 404), NotFound),
        (coded("InvalidResourceName", 409), Refused),
        (coded("RequestBodyTooLarge", 503), Unavailable),
        (coded("InvalidInput", 400), Refused),
        (coded("InvalidHeaderValue", 400), Refused),
        (coded("InvalidAuthenticationInfo", 400), Refused),
        (coded("PropertyNameInvalid", 400), Refused),
        (coded("TooManyProperties", 400), Refused),
        (http(400), Refused),
        (http(413), Refused),
    ],
    ids=str,
)
def test_nothing_else_blames_the_item(error: AzureError, kind: type[StorageError]) -> None:
    with pytest.raises(kind) as caught, storage_errors("storing it", "0a.3.12"):
        raise error
    assert type(caught.value) is kind


def test_codes_that_blame_the_item_are_codes_of_the_service() -> None:
    """As Microsoft's SDK for Python lists them, and in one case only that for .NET.

    None is one that a setting or a role brings about.
    """
    sdk: tuple[type[Enum], ...] = (TableErrorCode, BlobErrorCode, QueueErrorCode)
    known = {code.value for codes in sdk for code in codes}
    assert set(ITEM_REFUSED_CODES) - known == {"KeyValueTooLarge"}
    assert [code for code in ITEM_REFUSED_CODES if re.search("Auth|Permission|Header", code)] == []


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = set(re.findall(r"(?:\|-- |`-- |^    )(\w+)", errors.__doc__ or "", re.MULTILINE))
    defined = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, FlowlogError)
    }
    assert drawn == defined
    again = set(re.findall(r"(\w+) +yes ", errors.__doc__ or ""))
    assert again == {
        name
        for name in defined
        if "try_again" in vars(getattr(errors, name)) and getattr(errors, name).try_again
    }
