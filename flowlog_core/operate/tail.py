"""Reads the records queues: looks at messages without changing them, or takes them off.

To those who do not take them, the service shows only the 32 messages at the front of a queue
(Microsoft's page "Peek Messages": numofmessages). What is behind those is only counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from azure.storage.queue import QueueClient, QueueMessage

from flowlog_core.consume import Batch, decode, receive
from flowlog_core.errors import NotFound, storage_errors

MAX_PEEKED = 32
"""Messages of one queue that can be looked at."""
_MAX_REMEMBERED = 100_000


class Received(NamedTuple):
    """A message that was looked at or taken."""

    id: str
    """The queue service's id of the message."""
    queue: QueueClient
    batch: Batch | None
    """None if it is not a Flowlog message."""
    fault: str
    """What is wrong with it then."""
    taken: QueueMessage | None
    """What `remove` needs; None where it was only looked at."""


class Peeking:
    """Looks at the messages at the front of queues. Changes nothing; gives each message once."""

    def __init__(self, queues: Sequence[QueueClient]) -> None:
        self._queues = queues
        self._seen: dict[str, None] = {}

    @property
    def max_messages(self) -> int:
        """How many can be looked at, at most."""
        return MAX_PEEKED * len(self._queues)

    def messages(self) -> Iterator[Received]:
        """The messages not returned before. Raises a `StorageError`."""
        for queue in self._queues:
            try:
                with storage_errors(f"looking at queue {queue.queue_name}"):
                    found = queue.peek_messages(max_messages=MAX_PEEKED)
            except NotFound:  # nothing was sent yet
                found = []
            for message in found:
                if message.id not in self._seen:
                    self._remember(message.id)
                    yield _received(message, queue, None)

    def hidden(self) -> int:
        """About how many messages are behind those that can be looked at.

        The service counts messages that a consumer has taken and not yet removed, too.
        Raises a `StorageError`.
        """
        return sum(max(0, waiting(queue) - MAX_PEEKED) for queue in self._queues)

    def _remember(self, message_id: str) -> None:
        self._seen[message_id] = None
        if len(self._seen) > _MAX_REMEMBERED:
            del self._seen[next(iter(self._seen))]


class Taking:
    """Takes messages off queues. Others do not see them for a minute; `remove` deletes them."""

    def __init__(self, queues: Sequence[QueueClient]) -> None:
        self._queues = queues

    def messages(self, max_messages: int | None = None) -> Iterator[Received]:
        """What one call gives of each queue, no more than `max_messages` in all.

        Raises a `StorageError`.
        """
        left = max_messages
        for queue in self._queues:
            if left == 0:
                return
            try:
                with storage_errors(f"reading queue {queue.queue_name}"):
                    found = receive(queue, min(MAX_PEEKED, left or MAX_PEEKED))
            except NotFound:  # nothing was sent yet
                found = []
            if left is not None:
                left -= len(found)
            for message in found:
                yield _received(message, queue, message)


def remove(message: Received) -> None:
    """Remove a message that was taken. Raises a `StorageError`."""
    if message.taken is not None:
        with storage_errors(f"removing a message from queue {message.queue.queue_name}"):
            message.queue.delete_message(message.taken)


def waiting(queue: QueueClient) -> int:
    """About how many messages are in a queue; 0 if it does not exist. Raises a `StorageError`."""
    try:
        with storage_errors(f"counting the messages of queue {queue.queue_name}"):
            return int(queue.get_queue_properties().approximate_message_count or 0)
    except NotFound:
        return 0


def _received(message: QueueMessage, queue: QueueClient, taken: QueueMessage | None) -> Received:
    try:
        return Received(message.id, queue, decode(message.content), "", taken)
    except ValueError as error:
        return Received(message.id, queue, None, str(error), taken)
