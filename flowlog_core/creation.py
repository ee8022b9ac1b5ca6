"""Queues, tables and containers come into being when they are first missed.

Nothing is asked or created at start-up, and an identity that may not create needs not to, as long
as the thing is there.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from azure.core.exceptions import HttpResponseError, ResourceExistsError

T = TypeVar("T")

_ABSENT = {"QueueNotFound", "TableNotFound", "ContainerNotFound"}


def is_absent(error: HttpResponseError) -> bool:
    """Whether the queue, table or container itself is missing, not just an item in it."""
    code = getattr(error, "error_code", None)  # a word or an enumeration, from the body or a header
    # The tables client leaves the code of a failed insert or batch in the message alone.
    return getattr(code, "value", code) in _ABSENT or any(code in str(error) for code in _ABSENT)


def created_when_absent(call: Callable[[], T], create: Callable[[], object]) -> T:
    """What `call` gives; if what it needs is absent, `create` that and call again.

    Both may raise what the Azure SDK raises.
    """
    try:
        return call()
    except HttpResponseError as error:
        if not is_absent(error):
            raise
    with suppress(ResourceExistsError):  # somebody else was faster
        create()
    return call()
