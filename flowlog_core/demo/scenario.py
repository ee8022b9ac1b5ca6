"""The demo's network interfaces, each with a thread that writes its log as Azure does.

An append has a minute of traffic and happens about every second. So an hour's blob is full after
sixty appends, and the next one begins: the demo runs sixty times as fast as Azure.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from azure.storage.blob import BlobServiceClient

from flowlog_core.blob import BlobRef, LogBlob, Position
from flowlog_core.demo.events import BlobCreated, Events
from flowlog_core.demo.ledger import Ledger
from flowlog_core.testing.generate import (
    HEAD,
    FlowLogGenerator,
    Format,
    GeneratedEntry,
    Interface,
)
from flowlog_core.testing.network_watcher import NetworkWatcherWriter

# Azurite is local: a call that fails twice keeps failing. The default retries take minutes.
_RETRIES: dict[str, Any] = {"retry_total": 1, "initial_backoff": 1, "increment_base": 1}
_MINUTES = 60
_MINUTES_BEFORE_CHANGE = 2


@dataclass(frozen=True, slots=True)
class FlowLog:
    """One interface, and the formats that its log has in each hour, in this order."""

    label: str
    interface: Interface
    formats: tuple[Format, ...]

    @property
    def format(self) -> str:
        """For people, such as `NSG v2, then v1`."""
        kind = "VNet" if self.interface.kind == "vnet" else "NSG"
        return f"{kind} {', then '.join(f'v{name[-1]}' for name in self.formats)}"

    def appends(
        self, generator: FlowLogGenerator, hour: datetime, max_tuples: int
    ) -> Iterator[tuple[Format, tuple[GeneratedEntry, ...]]]:
        """What is appended in one hour; no entry has more than `max_tuples` tuples."""
        minutes = [
            generator.minutes(
                log_format,
                self.interface,
                hour + timedelta(minutes=number * _MINUTES_BEFORE_CHANGE),
                tuples=max_tuples,
            )
            for number, log_format in enumerate(self.formats)
        ]
        for minute in range(_MINUTES):
            at = min(minute // _MINUTES_BEFORE_CHANGE, len(self.formats) - 1)
            yield self.formats[at], next(minutes[at])


def flow_logs(count: int) -> list[FlowLog]:
    """The first `count` interfaces, which take all formats and forms of blob name in turn."""
    made = []
    for number in range(1, count + 1):
        variants: tuple[tuple[Interface, tuple[Format, ...]], ...] = (
            (Interface.nsg(number), ("nsg2", "nsg1")),  # a change that was seen in a capture
            (Interface.vnet(number, "watcher"), ("vnet4",)),
            (Interface.nsg(number), ("nsg2",)),
            (Interface.vnet(number, "resource-id"), ("vnet4",)),
            (Interface.vnet(number, "watcher-flowlogs"), ("vnet4",)),
        )
        made.append(FlowLog(f"web-{number}", *variants[(number - 1) % len(variants)]))
    return made


class Pace(NamedTuple):
    """How the logs grow."""

    first_hour: datetime
    appends_per_s: float
    max_tuples: int
    seed: int


class Network:
    """Where interfaces write: the storage account and the ledger; publishes the events."""

    def __init__(
        self, connection_string: str, account: str, ledger: Ledger, events: Events, pace: Pace
    ) -> None:
        self._connection_string, self._account = connection_string, account
        self._ledger, self._events, self._pace = ledger, events, pace

    def create_containers(self, logs: list[FlowLog]) -> None:
        """Create the log containers, as Network Watcher does before its first log."""
        with self._open() as blobs:
            for container in _containers(logs):
                blobs.create_container(container)

    def blob_bytes(self, logs: list[FlowLog]) -> int:
        """The total length of the log blobs, from the service's listing."""
        with self._open() as blobs:
            return sum(
                found.size
                for container in _containers(logs)
                for found in blobs.get_container_client(container).list_blobs()
            )

    def _open(self) -> BlobServiceClient:
        return BlobServiceClient.from_connection_string(self._connection_string, **_RETRIES)

    def write(self, log: FlowLog, number: int, stop: threading.Event) -> None:
        """Write the log until `stop` is set. Its seed and its rhythm follow from `number`.

        Raises errors of the Azure SDK.
        """
        generator = FlowLogGenerator(self._pace.seed * 1000 + number)
        beat = _Beat(1 / self._pace.appends_per_s, begin_after_s=0.23 * number % 1, stop=stop)
        hour = self._pace.first_hour
        with self._open() as blobs:
            while not stop.is_set():
                self._write_hour(log, hour, generator, beat, blobs)
                hour += timedelta(hours=1)

    def _write_hour(
        self,
        log: FlowLog,
        hour: datetime,
        generator: FlowLogGenerator,
        beat: _Beat,
        blobs: BlobServiceClient,
    ) -> None:
        container, name = log.interface.container, log.interface.blob_name(hour)
        written = LogBlob.parse(name)
        assert written is not None  # noqa: S101 - the interface made the name
        start = Position(BlobRef(self._account, container, written))
        writer = NetworkWatcherWriter(blobs.get_blob_client(container, name), seed=self._pace.seed)
        offset = len(HEAD)
        for log_format, entries in log.appends(generator, hour, self._pace.max_tuples):
            if not beat.wait():
                return
            writer.append(*entries)
            committed_at_s = time.monotonic()
            for entry in entries:
                self._ledger.wrote(
                    log.label, start.at(offset), log_format, entry.tuples, committed_at_s
                )
                offset += len(entry.raw) + len(b",")
            self._events.publish(BlobCreated(log.label, container, name, len(writer.content)))


def _containers(logs: list[FlowLog]) -> list[str]:
    return sorted({log.interface.container for log in logs})


class _Beat:
    """Waits for the time of the next append. A late append does not make later ones faster."""

    def __init__(self, every_s: float, begin_after_s: float, stop: threading.Event) -> None:
        self._every_s, self._stop = every_s, stop
        self._next_at = time.monotonic() + every_s * begin_after_s

    def wait(self) -> bool:
        """Wait; return False if stopped."""
        now = time.monotonic()
        stopped = self._stop.wait(max(0.0, self._next_at - now))
        self._next_at = max(self._next_at, now) + self._every_s
        return not stopped
