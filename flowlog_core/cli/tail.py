"""Take records from the queue and print them: a table on a terminal, NDJSON in a pipe.

Where FLOWLOG_SHARDS makes several queues, all are read in turn. A message is removed from its queue
once its records are printed. One that is no Flowlog message is named on standard error and left
where it is. Lean records are made whole; records with other fields, or of another schema, are
written as NDJSON. Settings come from the environment.

Examples:
  flowlog tail
  flowlog tail --once > flows.ndjson
"""

from __future__ import annotations

import argparse
import sys
import time

import orjson
from azure.storage.queue import QueueClient, QueueMessage

from flowlog_core.cli.environment import add_settings_argument, log_to_stderr, settings_of
from flowlog_core.cli.output import writer_for
from flowlog_core.consume import Batch, decode, receive
from flowlog_core.doctor.endpoints import Endpoints
from flowlog_core.doctor.explain_error import explained
from flowlog_core.errors import FlowlogError, NotFound, storage_errors
from flowlog_core.parsing.record import FIELDS
from flowlog_core.sinks import SCHEMA
from flowlog_core.storage.clients import Clients

_SHOWN = frozenset(FIELDS)
_IDLE_S = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `flowlog tail`."""
    add_settings_argument(parser)
    parser.add_argument("--once", action="store_true", help="exit when nothing is in the queue")


def run(options: argparse.Namespace) -> int:
    """Print until stopped, or until nothing is in the queue. Returns the exit code."""
    settings = settings_of(options)
    if settings is None:
        return 2
    if settings.sink != "queue":
        print(f"FLOWLOG_SINK is {settings.sink}: there is no queue to read from", file=sys.stderr)
        return 2
    log_to_stderr(options)
    clients = Clients(settings)
    queues = clients.record_queues()
    writers = _Writers("table" if sys.stdout.isatty() else "ndjson")
    unreadable = 0
    try:
        while True:
            received = False
            for queue in queues:
                for message in _receive(queue):
                    received = True
                    unreadable += not _print(message, queue, writers)
            sys.stdout.flush()
            if not received:
                if options.once:
                    return 1 if unreadable else 0
                time.sleep(_IDLE_S)
    except FlowlogError as error:
        print(explained(error, Endpoints.of(settings, clients).all()), file=sys.stderr)
        return 1
    finally:
        clients.close()


class _Writers:
    """A table shows whole flow records. What has other fields is written as NDJSON."""

    def __init__(self, kind: str) -> None:
        self._of_whole = writer_for(kind)
        self._of_others = self._of_whole if kind == "ndjson" else writer_for("ndjson")

    def write(self, batch: Batch) -> None:
        """Write a message's records."""
        is_whole = batch.schema == SCHEMA and all(
            record.keys() >= _SHOWN for record in batch.records
        )
        writer = self._of_whole if is_whole else self._of_others
        writer.write(orjson.dumps(record).decode() for record in batch.records)


def _receive(queue: QueueClient) -> list[QueueMessage]:
    try:
        with storage_errors(f"reading queue {queue.queue_name}"):
            return receive(queue)
    except NotFound:  # nothing was sent yet
        return []


def _print(message: QueueMessage, queue: QueueClient, writers: _Writers) -> bool:
    """Print and remove one message; False if it could not be read."""
    try:
        batch = decode(message.content)
    except ValueError as error:
        print(f"message {message.id}: {error}", file=sys.stderr)
        return False
    writers.write(batch)
    sys.stdout.flush()
    with storage_errors(f"removing a message from queue {queue.queue_name}"):
        queue.delete_message(message)
    return True
