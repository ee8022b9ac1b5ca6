"""How many messages wait in the queues of records, and for how long. Nothing is taken out."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from azure.core.exceptions import HttpResponseError
from azure.core.pipeline import PipelineResponse
from azure.storage.queue import QueueClient

from flowlog_core.errors import storage_errors
from flowlog_core.storage.create_on_demand import is_missing
from flowlog_core.storage.responses import server_time
from flowlog_core.storage.timeouts import time_limit


class QueueDepth(NamedTuple):
    """The messages that wait in one queue."""

    queue: str
    messages: int
    """About how many: the service's own count, which includes those that a consumer has taken and
    not yet deleted."""
    oldest_s: float | None
    """The age in seconds of the message at the front; None if none is visible there."""


def depth_of(queue: QueueClient) -> QueueDepth:
    """Look at a queue in two calls; an absent queue holds nothing. Raises a `StorageError`."""
    name = queue.queue_name
    with storage_errors(f"looking at queue {name}"), time_limit():
        try:
            dates: list[datetime | None] = []

            def keep_date(response: PipelineResponse[Any, Any]) -> None:
                dates.append(server_time(response.http_response.headers))

            front = queue.peek_messages(1, raw_response_hook=keep_date)
            messages = queue.get_queue_properties().approximate_message_count or 0
        except HttpResponseError as error:
            if not is_missing(error):
                raise
            return QueueDepth(name, 0, None)
    oldest_s = None
    if front and front[0].inserted_on is not None and dates and dates[-1] is not None:
        oldest_s = max(0.0, (dates[-1] - front[0].inserted_on).total_seconds())
    return QueueDepth(name, messages, oldest_s)
