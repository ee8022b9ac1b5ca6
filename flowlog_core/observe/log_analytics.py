"""Sends traffic summaries to a table of a Log Analytics workspace, once a minute.

It does so if FLOWLOG_TRAFFIC_ENDPOINT and FLOWLOG_TRAFFIC_RULE name a data collection rule. The
sums are for a dashboard: a killed process loses the sums that it held, and sums are counted twice
if the answer to their upload was lost. The records in the queue or table do not depend on them.
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
from flowlog_core.observe.traffic import MAX_ROWS_SENT, Row, Traffic
from flowlog_core.outcome import Failed, Outcome
from flowlog_core.storage.clients import identity
from flowlog_core.storage.secrets import redact
from flowlog_core.storage.timeouts import CONNECT_S, TRY_S

log = logging.getLogger(__name__)

STREAM = "Custom-FlowlogTraffic"
"""The stream of the data collection rule that takes these rows."""
SEND_EVERY_S = 60.0
_CLOSE_WITHIN_S = 5.0


class LogsClient(Protocol):
    """The part of `azure.monitor.ingestion.LogsIngestionClient` that Flowlog uses."""

    def upload(
        self,
        rule_id: str,
        stream_name: str,
        logs: list[Any],
        *,
        on_error: Callable[[Any], None],
    ) -> None:
        """Send `logs` in one or more calls. `on_error` receives each error, with its rows."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


def logs_client(endpoint: str, state: Connection) -> LogsClient:
    """A client for the data collection rules at `endpoint`.

    It authenticates with the identity that opens the state account. If a connection string opens
    that account, it uses `DefaultAzureCredential`: a managed identity, or the Azure CLI's user.
    """
    # Imported when the first sums are sent, because most processes send none.
    from azure.identity import DefaultAzureCredential  # noqa: PLC0415
    from azure.monitor.ingestion import LogsIngestionClient  # noqa: PLC0415

    is_identity = state.connection_string is None
    credential = identity(state.client_id) if is_identity else DefaultAzureCredential()
    # No retries: sums that could not be sent go with the next upload.
    return LogsIngestionClient(
        endpoint, credential, connection_timeout=CONNECT_S, read_timeout=TRY_S, retry_total=0
    )


class TrafficObserver:
    """Gathers the sums of all blobs of the process, and sends them in the background.

    The thread and the client are created when there is something to send. No method raises. Sums
    that could not be sent are logged in one warning and go with the next upload. The limit on rows
    holds for them too.
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
        """See `Observer.failed`. Counts what was committed before the failure."""
        self._gather(failed.outcome.traffic)

    def send(self) -> None:
        """Send the gathered sums. Not for several threads at once."""
        with self._lock:
            sums, self._gathered = self._gathered, Traffic()
        sums.fold(MAX_ROWS_SENT)
        rows = sums.rows()
        if not rows:
            return
        failed: list[tuple[Exception, list[Row]]] = []
        try:
            self._client = self._client or self._open_client()
            self._client.upload(
                self._rule, STREAM, rows, on_error=lambda e: failed.append((e.error, e.failed_logs))
            )
        except Exception as error:  # noqa: BLE001 - no error here may stop the flows
            failed = [(error, rows)]
        for why, unsent in failed:
            self._take_back(why, unsent)
        if not failed:
            self._warned_of.clear()

    def close(self) -> None:
        """Send what is not sent yet, within seconds. Later results are not counted.

        A process that ends normally also sends without this call.
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
        # A daemon thread, so that the process can end.
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
                # No such error is known. It must not end this thread, which sends all later sums.
                log.exception("traffic summaries were lost")
        if self._client is not None:
            self._client.close()

    def _take_back(self, error: Exception, unsent: list[Row]) -> None:
        told = _in_our_words(error)
        # Rows that Azure rejects as invalid would be rejected again.
        is_lost = isinstance(told, Refused)
        if not is_lost:
            with self._lock:
                self._gathered.merge(Traffic.of_rows(unsent))
        if type(told).__name__ not in self._warned_of:
            self._warned_of.add(type(told).__name__)
            what_next = "are dropped" if is_lost else "are sent with the next upload"
            log.warning("%s; %d traffic summaries %s", told, len(unsent), what_next)


def _in_our_words(error: Exception) -> Exception:
    """The error without secrets; an error of the Azure SDK as one of `flowlog_core.errors`."""
    redact(error)
    if not isinstance(error, AzureError):
        return error
    try:
        with storage_errors("sending to the workspace"):
            raise error
    except FlowlogError as told:
        return told
