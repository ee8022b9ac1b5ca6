"""The storage account of a run: everything has unique names, and no faults are injected."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import chain, starmap
from typing import Any

from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient
from host.event_grid import blob_created

from chaos.truth import BROKEN, Record, Truth, apart, check
from flowlog_core.blob import BlobRef, LogBlob, Position
from flowlog_core.checkpoints.checkpoint import Progress, checkpoint_key
from flowlog_core.checkpoints.table import TableCheckpoints
from flowlog_core.consume import decode
from flowlog_core.demo.azurite import ACCOUNT, Azurite
from flowlog_core.parsing.record import FIELDS
from flowlog_core.testing.document import TAIL
from flowlog_core.testing.generate import FlowLogGenerator, Format, GeneratedEntry, Interface
from flowlog_core.testing.network_watcher import NetworkWatcherWriter

HOUR = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
"""The hour that is written: a timer looks at the youngest three hours first."""
_MAX_TUPLES = 12
_BAD_TUPLE, _BROKEN_ENTRY = 0.03, 0.02


@dataclass
class Commit:
    """One version of a blob; times by this machine's clock, which is the emulator's."""

    began: float
    ended: float | None = None
    """None while it is under way."""
    end: int = 0
    """The byte after its last entry."""


@dataclass
class Log:
    """One blob that grows."""

    blob: BlobRef
    interface: Interface
    formats: tuple[Format, ...]
    """Which take turns, as a change of version within the hour was seen in a capture."""
    writer: NetworkWatcherWriter
    generator: FlowLogGenerator
    random: random.Random
    commits: list[Commit] = field(default_factory=list)

    def append(self) -> None:
        """Commit one minute's entries, few of them damaged."""
        minute = HOUR + timedelta(minutes=len(self.writer.entries))
        commit = Commit(time.time())
        self.commits.append(commit)
        self.writer.append(*[self._entry(minute) for _ in range(self.random.randint(1, 3))])
        commit.end = len(self.writer.content) - len(TAIL)
        commit.ended = time.time()

    def event(self, blob_url: str) -> dict[str, Any]:
        """Event Grid's event of the last commit; `blob_url` is where the app reads the blob."""
        etag = self.writer.blob.get_blob_properties().etag
        return blob_created(ACCOUNT, blob_url, self.blob.container, self.blob.log.name, etag)

    def _entry(self, minute: datetime) -> GeneratedEntry:
        log_format = self.random.choice(self.formats)
        tuples = self.random.randint(1, _MAX_TUPLES)
        entry = self.generator.entry(log_format, self.interface, minute, tuples)
        dice = self.random.random()
        if dice < _BAD_TUPLE:
            bad = b'"not,a,tuple"'
            return replace(entry, raw=entry.raw.replace(b'"%b"' % entry.tuples[0].encode(), bad, 1))
        if dice < _BAD_TUPLE + _BROKEN_ENTRY:
            return GeneratedEntry(BROKEN.encode(), ())
        return entry


class Account:
    """The same emulator for several runs; `name` sets theirs apart (letters and digits)."""

    def __init__(self, azurite: Azurite, name: str, sink: str) -> None:
        self._sink = sink
        text = azurite.connection_string
        self._blobs = BlobServiceClient.from_connection_string(text)
        self._queues = QueueServiceClient.from_connection_string(text)
        self._tables = TableServiceClient.from_connection_string(text)
        self._checkpoints = TableCheckpoints(self._tables.get_table_client(f"checkpoints{name}"))
        self.settings = {
            "FLOWLOG_NSG_CONTAINER": f"nsg{name}",
            "FLOWLOG_VNET_CONTAINER": f"vnet{name}",
            "FLOWLOG_CHECKPOINT_TABLE": f"checkpoints{name}",
            "FLOWLOG_DEAD_LETTER_CONTAINER": f"dead{name}",
            "FLOWLOG_SINK": sink,
            "FLOWLOG_QUEUE": f"queue{name}",
            "FLOWLOG_TABLE": f"table{name}",
            "FLOWLOG_SENDS_IN_FLIGHT": "4",
        }
        for kind in ("NSG", "VNET"):
            self._blobs.create_container(self.settings[f"FLOWLOG_{kind}_CONTAINER"])

    def logs(self, count: int, seed: int) -> list[Log]:
        """Blobs that nothing was written to; all three formats are among any two."""
        return [self._log(number, seed * 1000 + number) for number in range(count)]

    def _log(self, number: int, seed: int) -> Log:
        interface = (Interface.nsg if number % 2 else Interface.vnet)(number)
        container = self.settings[f"FLOWLOG_{interface.kind.upper()}_CONTAINER"]
        log = LogBlob.parse(interface.blob_name(HOUR))
        assert log is not None
        writer = NetworkWatcherWriter(self._blobs.get_blob_client(container, log.name), seed=seed)
        formats: tuple[Format, ...] = ("nsg1", "nsg2") if interface.kind == "nsg" else ("vnet4",)
        blob = BlobRef(ACCOUNT, container, log)
        return Log(blob, interface, formats, writer, FlowLogGenerator(seed), random.Random(seed))

    def wrong(self, logs: list[Log]) -> tuple[list[str], int, int, int]:
        """What is not as it must be; then how many records arrived, repeats, and dead letters."""
        truth = Truth()
        wrong: list[str] = []
        stored = list(self._dead_letters())
        for log in logs:
            before = len(truth.records)
            end = truth.wrote(log.blob, log.writer.entries)
            # How many entries became one letter depends on how far each read came.
            letters_of = f"{Position(log.blob).blob_digest}."
            dead_letters = sum(letter_id.startswith(letters_of) for letter_id, _ in stored)
            wrong += self._wrong_checkpoint(log, end, len(truth.records) - before, dead_letters)
        arrived = self._rows() if self._sink == "table" else self._messages()
        verdict = check("record", truth.records, ((record["id"], record) for record in arrived))
        letters = check("dead letter", truth.dead_letters, chain(*starmap(apart, stored)))
        wrong += verdict.wrong + letters.wrong
        if self._sink == "table" and verdict.repeats:
            wrong.append(f"{verdict.repeats} records stand in more than one row")
        return wrong, verdict.arrived, verdict.repeats, letters.arrived

    def progress(self, blob: BlobRef) -> Progress:
        """Up to where a blob is forwarded."""
        checkpoint = self._checkpoints.get(checkpoint_key(blob)).checkpoint
        return checkpoint.progress if checkpoint else Progress()

    def _wrong_checkpoint(
        self, log: Log, end: int, records: int, dead_letters: int
    ) -> Iterator[str]:
        if not log.writer.entries:
            return
        checkpoint = self._checkpoints.get(checkpoint_key(log.blob)).checkpoint
        broken = sum(entry.raw == BROKEN.encode() for entry in log.writer.entries)
        due = Progress(
            offset=end,
            entries=len(log.writer.entries) - broken,
            records=records,
            dead_letters=dead_letters,
        )
        # The seam, the ETag and the service's times are whatever they are.
        found = checkpoint and replace(
            checkpoint.progress,
            seam="",
            seam_bytes=due.seam_bytes,
            etag="",
            blob_created=None,
            blob_last_modified=None,
        )
        if found != due:
            yield f"checkpoint of {log.blob}: {found} instead of {due}"

    def _messages(self) -> Iterator[Record]:
        queue = self._queues.get_queue_client(self.settings["FLOWLOG_QUEUE"])
        while messages := list(
            queue.receive_messages(max_messages=32, messages_per_page=32, visibility_timeout=3600)
        ):
            for message in messages:
                yield from decode(message.content).records

    def _rows(self) -> Iterator[Record]:
        for row in self._tables.get_table_client(self.settings["FLOWLOG_TABLE"]).list_entities():
            yield {name: getattr(row.get(name), "value", row.get(name)) for name in FIELDS}

    def _dead_letters(self) -> Iterator[tuple[str, str]]:
        container = self._blobs.get_container_client(self.settings["FLOWLOG_DEAD_LETTER_CONTAINER"])
        if container.exists():
            for blob in container.list_blobs():
                letter = json.loads(container.download_blob(blob.name).readall())
                yield letter["id"], letter["raw"]

    def close(self) -> None:
        """Close the connections."""
        for client in (self._blobs, self._queues, self._tables):
            client.close()
