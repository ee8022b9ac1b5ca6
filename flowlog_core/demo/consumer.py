"""The demo's consumer: receives messages, records them in the ledger, deletes them."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from azure.storage.queue import QueueClient

from flowlog_core.consume import decode, receive
from flowlog_core.demo.ledger import Ledger
from flowlog_core.storage.create_on_demand import create_if_missing

_IDLE_S = 0.03
_LATEST_KEPT = 100


class Consumer:
    """Receives everything from all queues."""

    def __init__(self, queues: Sequence[QueueClient], ledger: Ledger) -> None:
        self._queues, self._ledger = queues, ledger
        self._lock = threading.Lock()
        self._latest: deque[dict[str, Any]] = deque(maxlen=_LATEST_KEPT)

    def latest(self) -> list[dict[str, Any]]:
        """The latest records, newest last."""
        with self._lock:
            return list(self._latest)

    def run(self, finish: threading.Event) -> None:
        """Receive until `finish` is set and all queues are empty.

        Raises errors of the Azure SDK, and ValueError for a message that is not Flowlog's.
        """
        while True:
            finishing = finish.is_set()  # checked first: everything sent by then is received
            received = sum(self._take(queue) for queue in self._queues)
            if not received:
                if finishing:
                    return
                time.sleep(_IDLE_S)

    def _take(self, queue: QueueClient) -> int:
        """Receive once; return the number of messages."""
        messages = create_if_missing(lambda: receive(queue), queue.create_queue)
        at_s = time.monotonic()
        for message in messages:
            records = decode(message.content).records
            self._ledger.received(records, at_s)
            with self._lock:
                self._latest.extend(records)
        for message in messages:
            queue.delete_message(message)
        return len(messages)
