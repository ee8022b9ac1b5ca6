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
from flowlog_core.storage.requests import Sender
from flowlog_core.storage.timeouts import time_limit

_PATH = "/messages?messagettl=-1"  # never expires; by default messages do after seven days
_XML = {"Content-Type": "application/xml", "Accept": "application/xml"}
_BODY = (
    '<?xml version="1.0" encoding="utf-8"?>'
    "<QueueMessage><MessageText>%s</MessageText></QueueMessage>"
)


class QueueSink:
    """Puts messages into a Storage queue, which is created on first use."""

    def __init__(self, queue: QueueClient, encoding: Encoding, parallel: Parallel) -> None:
        self._queue, self._encoding, self._parallel = queue, encoding, parallel
        self._sender = Sender(queue)
        self._headers = {**_XML, "x-ms-version": queue.api_version}

    def pack(self, entry: EntryRecords) -> Packed:
        """See `Sink.pack`; the messages are `Message`s."""
        return Packed(*messages_of(entry, self._encoding))

    def send(self, messages: Iterable[Message]) -> int:
        """See `Sink.send`."""
        return self._parallel(messages, self._send_one)

    def _send_one(self, message: Message) -> None:
        doing = f"sending message {message.id} to queue {self._queue.queue_name}"
        with storage_errors(doing, entry_id_of(message.id)), time_limit():
            # Base64 needs no escaping in XML.
            content = (_BODY % message.text).encode()
            create_if_missing(
                lambda: self._sender.ask("POST", _PATH, self._headers, content),
                self._queue.create_queue,
            )
