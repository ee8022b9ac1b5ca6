"""Sums of traffic on their way to a table of a Log Analytics workspace, once a minute.

Only where FLOWLOG_TRAFFIC_ENDPOINT and FLOWLOG_TRAFFIC_RULE name a data collection rule. They are
for a dashboard: what a process held when it was killed is missing there, and what was answered too
late counts twice. The records in the queue or table depend on none of this.
"""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import Callable
from typing import Any, Protocol

from azure.core.exceptions import AzureError

from flowlog_core.blob import BlobRef
from flowlog_core.config.connections import Connection
from flowlog_core.errors import FlowlogError, Refused, storage_errors
from flowlog_core.observe.traffic import MOST_SENT, Row, Traffic
from flowlog_core.outcome import Failed, Outcome
from flowlog_core.storage.clients import identity
from flowlog_core.storage.secrets import redact
from flowlog_core.storage.timeouts import CONNECT_S, READ_S

log = logging.getLogger(__name__)

STREAM = "Custom-FlowlogTraffic"
"""What the data collection rule calls these rows."""
SEND_EVERY_S = 60.0
_CLOSE_WITHIN_S = 5.0


class LogsClient(Protocol):
    """What is used of `azure.monitor.ingestion.LogsIngestionClient`."""

    def upload(
        self,
        rule_id: str,
        stream_name: str,
        logs: list[Any],
        *,
        on_error: Callable[[Any], None],
    ) -> None:
        """Send `logs`, in one call or more; `on_error` hears of each that fails, and its rows."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


def logs_client(endpoint: str, state: Connection) -> LogsClient:
    """Sends to the data collection rules at `endpoint`.

    As the identity that opens the state account; where a connection string does that, as whoever
    `DefaultAzureCredential` finds: a managed identity, or who is signed in to the Azure CLI.
    """
    # Imported when the first sums are sent, as most processes never get here.
    from azure.identity import DefaultAzureCredential  # noqa: PLC0415
    from azure.monitor.ingestion import LogsIngestionClient  # noqa: PLC0415

    is_identity = state.connection_string is None
    credential = identity(state.client_id) if is_identity else DefaultAzureCredential()
    # What fails is tried again with the next sending, so not here.
    return LogsIngestionClient(
        endpoint, credential, connection_timeout=CONNECT_S, read_timeout=READ_S, retry_total=0
    )


class TrafficObserver:
    """Gathers the sums of all blobs of the process, and sends them in the background.

    The thread and the client are made when there is something to send. Nothing here raises. What
    could not be sent is told of in one warning, and goes with the next sending; as sums are folded
    to so many rows, that never becomes too much.
    """

    def __init__(
        self, rule: str, open_client: Callable[[], LogsClient], every_s: float = SEND_EVERY_S
    ) -> None:
        self._rule, self._open_client, self._every_s = rule, open_client, every_s
        self._lock = threading.Lock()
        self._gathered = Traffic()
        self._client: LogsClient | None = None
        self._sender: threading.Thread | None = None
        self._closing = threading.Event()
        self._warned_of: set[str] = set()

    def done(self, blob: BlobRef, outcome: Outcome) -> None:  # noqa: ARG002 - as `Observer.done`
        """See `Observer.done`."""
        self._gather(outcome.traffic)

    def failed(self, blob: BlobRef, failed: Failed) -> None:  # noqa: ARG002 - as `Observer.failed`
        """See `Observer.failed`. What was committed before it is counted."""
        self._gather(failed.outcome.traffic)

    def send(self) -> None:
        """Send what was gathered. Called by one thread at a time."""
        with self._lock:
            sums, self._gathered = self._gathered, Traffic()
        sums.fold(MOST_SENT)
        rows = sums.rows()
        if not rows:
            return
        failed: list[tuple[Exception, list[Row]]] = []
        try:
            self._client = self._client or self._open_client()
            self._client.upload(
                self._rule, STREAM, rows, on_error=lambda e: failed.append((e.error, e.failed_logs))
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, flows come first
            failed = [(error, rows)]
        for why, unsent in failed:
            self._take_back(why, unsent)
        if not failed:
            self._warned_of.clear()

    def close(self) -> None:
        """Send what was not sent yet, within seconds; what comes later is not counted.

        A process that ends without this does it by itself, if it ends in good order.
        """
        self._closing.set()
        with self._lock:
            sender, self._sender = self._sender, None
        if sender is not None:
            atexit.unregister(self.close)
            sender.join(_CLOSE_WITHIN_S)

    def _gather(self, traffic: Traffic | None) -> None:
        if traffic is None or self._closing.is_set():
            return
        with self._lock:
            self._gathered.merge(traffic)
            if self._sender is None:
                self._sender = self._started()

    def _started(self) -> threading.Thread | None:
        # A daemon, or it would keep the process from ending.
        sender = threading.Thread(target=self._keep_sending, name="flowlog-traffic", daemon=True)
        try:
            sender.start()
        except RuntimeError:  # the process is ending, or has too many threads
            return None
        atexit.register(self.close)
        return sender

    def _keep_sending(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._closing.wait(self._every_s)
            try:
                self.send()
            except Exception:
                # None is known; but an end of this thread would be an end of all sums.
                log.exception("sums of traffic were lost")
        if self._client is not None:
            self._client.close()

    def _take_back(self, error: Exception, unsent: list[Row]) -> None:
        told = _in_our_words(error)
        # What is wrong with the rows themselves will not be better in a minute.
        is_lost = isinstance(told, Refused)
        if not is_lost:
            with self._lock:
                self._gathered.merge(Traffic.of_rows(unsent))
        if type(told).__name__ not in self._warned_of:
            self._warned_of.add(type(told).__name__)
            what_next = "are given up" if is_lost else "go with the next that are sent"
            log.warning("%s; %d sums of traffic %s", told, len(unsent), what_next)


def _in_our_words(error: Exception) -> Exception:
    """The error without secrets; of the kinds of `flowlog_core.errors` if it is of Azure."""
    redact(error)
    if not isinstance(error, AzureError):
        return error
    try:
        with storage_errors("sending to the workspace"):
            raise error
    except FlowlogError as told:
        return told
