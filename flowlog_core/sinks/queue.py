"""The queue sink: messages of at most 64 KiB in an Azure Storage queue."""

from __future__ import annotations

from collections.abc import Iterable

from azure.storage.queue import QueueClient

from flowlog_core.blob import entry_id_of
from flowlog_core.errors import storage_errors
from flowlog_core.parallel import Parallel
from flowlog_core.sinks import EntryRecords, Packed
from flowlog_core.sinks.message import Encoding, Message, messages_of
from flowlog_core.storage.create_on_demand import create_if_missing
from flowlog_core.storage.timeouts import time_limit

_NEVER_EXPIRES_S = -1  # by default messages expire after seven days


class QueueSink:
    """Puts messages into a Storage queue, which is created on first use."""

    def __init__(self, queue: QueueClient, encoding: Encoding, parallel: Parallel) -> None:
        self._queue, self._encoding, self._parallel = queue, encoding, parallel

    def pack(self, entry: EntryRecords) -> Packed:
        """See `Sink.pack`; the messages are `Message`s."""
        return Packed(*messages_of(entry, self._encoding))

    def send(self, messages: Iterable[Message]) -> int:
        """See `Sink.send`."""
        return self._parallel(messages, self._send_one)

    def _send_one(self, message: Message) -> None:
        doing = f"sending message {message.id} to queue {self._queue.queue_name}"
        with storage_errors(doing, entry_id_of(message.id)), time_limit():
            create_if_missing(
                lambda: self._queue.send_message(message.text, time_to_live=_NEVER_EXPIRES_S),
                self._queue.create_queue,
            )
