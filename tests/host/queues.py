"""Counts messages in a queue, including hidden ones."""

from __future__ import annotations

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.queue import QueueServiceClient


def waiting(connection_string: str, queue: str) -> int:
    """The number of messages in a queue, including hidden ones; 0 if there is no queue."""
    client = QueueServiceClient.from_connection_string(connection_string).get_queue_client(queue)
    try:
        return int(client.get_queue_properties().approximate_message_count or 0)
    except ResourceNotFoundError:
        return 0


def visible(connection_string: str, queue: str) -> int:
    """How many of its messages, up to 32, could be received now."""
    client = QueueServiceClient.from_connection_string(connection_string).get_queue_client(queue)
    return len(client.peek_messages(max_messages=32))
