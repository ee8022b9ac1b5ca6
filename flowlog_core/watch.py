"""Finding changed blobs by listing the source containers: for where no events come."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from flowlog_core.blob_source import Listed
from flowlog_core.checkpoint import BlobRef
from flowlog_core.errors import FlowlogError, NotFound
from flowlog_core.service import Service
from flowlog_core.sinks.parallel import Parallel

log = logging.getLogger(__name__)

_BLOBS_AT_A_TIME = 4


@dataclass(slots=True)
class Summary:
    """What one look, or several added up, found and did."""

    forwarded: int = 0
    failed: int = 0
    entries: int = 0
    records: int = 0
    dead_letters: int = 0
    new_bytes: int = 0

    def __iadd__(self, other: Summary) -> Summary:
        self.forwarded += other.forwarded
        self.failed += other.failed
        self.entries += other.entries
        self.records += other.records
        self.dead_letters += other.dead_letters
        self.new_bytes += other.new_bytes
        return self

    def __str__(self) -> str:
        return (
            f"{self.forwarded} changed blobs forwarded, {self.failed} failed: {self.entries} "
            f"entries, {self.records} records, {self.dead_letters} dead letters, "
            f"{self.new_bytes} new bytes"
        )


class Watch:
    """Remembers the version of every blob that was dealt with, and ingests those that changed."""

    def __init__(self, service: Service, stop: threading.Event) -> None:
        self._service, self._stop = service, stop
        self._seen: dict[BlobRef, str] = {}
        self._parallel = Parallel(_BLOBS_AT_A_TIME)
        self._lock = threading.Lock()

    def look(self) -> Summary:
        """List all, ingest what changed; a blob that fails is tried again at the next look."""
        summary = Summary()

        def ingest(found: Listed) -> None:
            if self._stop.is_set():
                return
            try:
                outcome = self._service.ingest(found.blob)
            except FlowlogError as error:
                log.warning("failed %s: %s", found.blob, error)
                with self._lock:
                    summary.failed += 1
                return
            with self._lock:
                self._seen[found.blob] = found.etag
                summary.forwarded += 1
                summary.entries += outcome.entries
                summary.records += outcome.records
                summary.dead_letters += outcome.dead_letters
                summary.new_bytes += outcome.new_bytes

        self._parallel(self._changed(summary), ingest)
        return summary

    def _changed(self, summary: Summary) -> Iterator[Listed]:
        for account in self._service.accounts.values():
            for container in self._service.settings.containers:
                try:
                    for found in self._service.blobs.flow_logs(account, container):
                        if self._seen.get(found.blob) != found.etag:
                            yield found
                except NotFound:
                    log.debug("%s/%s does not exist yet", account, container)
                except FlowlogError as error:
                    log.warning("cannot list: %s", error)
                    with self._lock:
                        summary.failed += 1
