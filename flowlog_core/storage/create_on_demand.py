"""Queues, tables and containers are created on first use.

Nothing is checked or created at start-up. An identity that may not create anything works as long as
everything exists.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from azure.core.exceptions import HttpResponseError, ResourceExistsError

from flowlog_core.storage.responses import error_code

T = TypeVar("T")

_MISSING = {"QueueNotFound", "TableNotFound", "ContainerNotFound"}


def is_missing(error: HttpResponseError) -> bool:
    """Whether the queue, table or container itself is missing, not only an item in it."""
    return error_code(error) in _MISSING


def create_if_missing(call: Callable[[], T], create: Callable[[], object]) -> T:
    """Return `call()`. If its queue, table or container is missing, `create` it and call again.

    Raises what the Azure SDK raises in either.
    """
    try:
        return call()
    except HttpResponseError as error:
        if not is_missing(error):
            raise
    with suppress(ResourceExistsError):  # another worker was faster
        create()
    return call()
