"""Runs the demo: interfaces that write, the service, a consumer and the ledger."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack

from flowlog_core.closing import close_all
from flowlog_core.config.settings import Settings
from flowlog_core.demo.consumer import Consumer
from flowlog_core.demo.events import Events
from flowlog_core.demo.ledger import Ledger, Verdict
from flowlog_core.demo.scenario import FlowLog, Network, Pace
from flowlog_core.demo.screen import LogRow, View
from flowlog_core.ingest import Outcome
from flowlog_core.service import Service
from flowlog_core.storage.clients import Clients

_SOURCE = "FlowLogs"


class Running:
    """A demo on the storage account of `connection_string`. Leaving the context ends its threads.

    `settings` override the defaults. Raises `SettingsError`.
    """

    def __init__(
        self,
        connection_string: str,
        logs: list[FlowLog],
        pace: Pace,
        settings: Mapping[str, str],
    ) -> None:
        self._settings = Settings.from_environment(
            {_SOURCE: connection_string, "AzureWebJobsStorage": connection_string, **settings}
        )
        self._logs = logs
        self._rows = [LogRow(log.label, log.interface.mac, log.format) for log in logs]
        self._stop, self._finish = threading.Event(), threading.Event()
        self._closing = ExitStack()
        self._service = Service(self._settings)
        self._closing.callback(self._service.close)
        # Its own connections, because a real consumer is another program.
        clients = Clients(self._settings)
        self._closing.callback(clients.close)
        self._ledger = Ledger()
        self._consumer = Consumer(clients.record_queues(), self._ledger)
        self._events = Events(self._ingest, pace.seed)
        self._network = Network(
            connection_string, self._service.accounts[_SOURCE], self._ledger, self._events, pace
        )
        self._pool = ThreadPoolExecutor(len(logs) + 1, thread_name_prefix="demo")
        self._writers: list[Future[None]] = []
        self._receiving: Future[None] | None = None
        self._began_at_s = 0.0

    def _ingest(self, container: str, name: str) -> Outcome:
        outcome = self._service.ingest_named(_SOURCE, container, name)
        if outcome is None:
            raise ValueError(f"{name} was not recognized as a flow log")
        return outcome

    def __enter__(self) -> Running:
        self._network.create_containers(self._logs)
        self._began_at_s = time.monotonic()
        self._receiving = self._pool.submit(self._consumer.run, self._finish)
        self._writers = [
            self._pool.submit(self._network.write, log, number, self._stop)
            for number, log in enumerate(self._logs)
        ]
        return self

    def __exit__(self, *_: object) -> None:
        with self._closing:
            self._stop.set()
            self._finish.set()
            wait(self._writers)  # they publish events
            close_all(self._events.close, self._pool.shutdown)

    def raise_if_broken(self) -> None:
        """Raise the error that ended a writer or the consumer, if there is one."""
        for future in (*self._writers, *([self._receiving] if self._receiving else [])):
            if future.done():
                future.result()

    def finish(self, within_s: float, show: Callable[[], None]) -> bool:
        """Stop writing and wait until everything is received; call `show` while waiting.

        Returns False if the time was up first. Raises the same errors as `raise_if_broken`.
        """
        give_up_at_s = time.monotonic() + within_s
        self._stop.set()
        writing = list(self._writers)
        while time.monotonic() < give_up_at_s:
            show()
            self.raise_if_broken()
            writing = [future for future in writing if not future.done()]
            if not writing and not self._events.pending and not self._ledger.outstanding:
                # Nothing more is sent. Messages that are still in the queues would be repeats.
                self._finish.set()
            if self._receiving is not None and self._receiving.done():
                return True
            time.sleep(0.05)
        return False

    def check(self) -> Verdict:
        """Compare what was received with what was written."""
        return self._ledger.check()

    def blob_bytes(self) -> int:
        """The total length of the log blobs now."""
        return self._network.blob_bytes(self._logs)

    @property
    def elapsed_s(self) -> float:
        """Seconds since writing began."""
        return time.monotonic() - self._began_at_s

    def view(self, doing: str, warnings: list[str]) -> View:
        """The current state."""
        written, received = self._ledger.counts()
        return View(
            doing=doing,
            elapsed_s=self.elapsed_s,
            logs=self._rows,
            written=written,
            received=received,
            tally=self._events.tally(),
            delays=self._ledger.delays(),
            latest=self._consumer.latest(),
            queues=len(self._settings.queues),
            warnings=tuple(warnings),
        )
