"""Show the records in the queue. Without --consume, the messages stay there.

Storage shows only the 32 messages at the front of a queue to a reader that takes none.
`flowlog tail` prints each of them once, estimates how many are behind them, and prints
the next ones when a consumer has taken those in front.

With --consume, each message is deleted once its records are printed, those that --where
leaves out included. Its consumer no longer receives it.

With FLOWLOG_SHARDS, all queues are read in turn. A message that is not Flowlog's is
named on standard error and stays in the queue.
Lean records are completed. Records with other fields, or of another schema, are written
as NDJSON.

Examples:
  flowlog tail
  flowlog tail --max 5 --output ndjson | jq .
  flowlog tail --where "action=deny,dst_port=22"
  flowlog tail --consume --once > flows.ndjson
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from itertools import islice

import orjson

from flowlog_core.cli.analysis import rules_argument
from flowlog_core.cli.environment import add_settings_argument, log_to_stderr, settings_of
from flowlog_core.cli.options import add_interval_argument, add_output_argument, count_argument
from flowlog_core.cli.output import writer_for
from flowlog_core.cli.terminal import is_read_no_more
from flowlog_core.cli.words import how_many
from flowlog_core.consume import Batch
from flowlog_core.doctor.endpoints import Endpoints
from flowlog_core.doctor.explain_error import explained
from flowlog_core.errors import FlowlogError
from flowlog_core.operate.tail import MAX_PEEKED, Peeking, Received, Taking, remove
from flowlog_core.parsing.record import FIELDS
from flowlog_core.shape.rules import Rules
from flowlog_core.sinks import SCHEMA
from flowlog_core.storage.clients import Clients

_SHOWN = frozenset(FIELDS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `flowlog tail`."""
    add_settings_argument(parser)
    parser.add_argument(
        "--once", action="store_true", help="exit when there is nothing more to print"
    )
    parser.add_argument(
        "--consume", action="store_true", help="take messages off the queue and delete them"
    )
    parser.add_argument(
        "--max", type=count_argument(1), metavar="N", help="exit after N messages were read"
    )
    parser.add_argument(
        "--where",
        type=rules_argument,
        metavar="RULE",
        help="print only records that match a rule (docs/rules.md)",
    )
    add_output_argument(parser, None, default_is="table on a terminal, else ndjson")
    add_interval_argument(parser, 1.0, "polling interval of an empty queue")


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
    try:
        tail = _Tail(options, clients)
        if fault := tail.fault:
            print(f"flowlog tail: {fault}", file=sys.stderr)
            return 2
        return tail.run()
    except FlowlogError as error:
        queue = Endpoints.of(settings, clients).records
        print(explained(error, [queue] if queue else []), file=sys.stderr)
        return 1
    finally:
        clients.close()


class _Writers:
    """A table shows whole flow records. What has other fields is written as NDJSON."""

    def __init__(self, kind: str) -> None:
        self._of_whole = writer_for(kind)
        self._of_others = self._of_whole if kind == "ndjson" else writer_for("ndjson")

    def write(self, batch: Batch, records: Iterable[dict[str, object]]) -> None:
        """Write some records of a message."""
        is_whole = batch.schema == SCHEMA and all(
            record.keys() >= _SHOWN for record in batch.records
        )
        writer = self._of_whole if is_whole else self._of_others
        writer.write([orjson.dumps(record).decode() for record in records])


class _Tail:
    """One run of the command."""

    def __init__(self, options: argparse.Namespace, clients: Clients) -> None:
        self._options = options
        self._queues = clients.record_queues()
        self._peeking, self._taking = Peeking(self._queues), Taking(self._queues)
        self._where: Rules | None = options.where
        self._read = self._unreadable = 0
        self._is_idle = self._has_named_schema = False

    @property
    def fault(self) -> str:
        """Why what was asked for cannot be done; empty if it can."""
        wanted, max_messages = self._options.max, self._peeking.max_messages
        if self._options.consume or wanted is None or wanted <= max_messages:
            return ""
        of = "a queue" if len(self._queues) == 1 else f"each of {len(self._queues)} queues"
        return (
            f"--max {wanted} is more than can be looked at. The service shows only the "
            f"{MAX_PEEKED} messages at the front of {of} to those who do not take them. "
            f"Ask for {max_messages} at most, or take messages with --consume"
        )

    def run(self) -> int:
        self._say(self._beginning())
        kind = self._options.output or ("table" if sys.stdout.isatty() else "ndjson")
        writers = _Writers(kind)
        sys.stdout.flush()
        while True:
            found = self._print(writers)
            if self._is_done(found):
                if not self._read:
                    self._say("No messages.")
                self._say_what_is_hidden()
                return 1 if self._unreadable else 0
            if not found:
                if is_read_no_more(sys.stdout):
                    return 0
                self._be_idle()
                time.sleep(self._options.interval_s)

    def _print(self, writers: _Writers) -> int:
        """Print what is new. Returns how many messages that were."""
        left = None if self._options.max is None else self._options.max - self._read
        messages: Iterable[Received]
        if self._options.consume:
            messages = self._taking.messages(left)
        else:
            messages = islice(self._peeking.messages(), left)
        found = 0
        for message in messages:
            found += 1
            self._read += 1
            if message.batch is None:
                self._unreadable += 1
                print(f"message {message.id}: {message.fault}", file=sys.stderr)
                continue
            writers.write(message.batch, self._wanted(message.batch))
            sys.stdout.flush()  # before it is removed
            if self._options.consume:
                remove(message)
        return found

    def _wanted(self, batch: Batch) -> list[dict[str, object]]:
        """The records that `--where` matches; those of other schemas have no such fields."""
        if self._where is None:
            return batch.records
        if batch.schema != SCHEMA and not self._has_named_schema:
            self._has_named_schema = True
            print(f"--where cannot match records of {batch.schema}: none is shown", file=sys.stderr)
        return [] if batch.schema != SCHEMA else list(filter(self._where.matches, batch.records))

    def _is_done(self, found: int) -> bool:
        wanted = self._options.max
        return (wanted is not None and self._read >= wanted) or (self._options.once and not found)

    def _be_idle(self) -> None:
        if not self._is_idle:
            self._is_idle = True
            self._say_what_is_hidden()
            self._say("No new messages. Waiting; Ctrl-C ends this.")

    def _say_what_is_hidden(self) -> None:
        if self._options.quiet or self._options.consume:
            return
        if hidden := self._peeking.hidden():
            self._say(
                f"About {how_many(hidden, 'more message')} in the queue; "
                "only --consume reaches them."
            )

    def _beginning(self) -> str:
        first, last = self._queues[0], self._queues[-1]
        names = f"queue {first.queue_name}"
        if len(self._queues) > 1:
            names = f"the queues {first.queue_name} to {last.queue_name}"
        where = f"{names} of account {first.account_name}"
        if self._options.consume:
            return f"Taking messages off {where}: its consumer does not get them."
        return f"Looking at {where}. Nothing is taken from it."

    def _say(self, text: str) -> None:
        if not self._options.quiet:
            print(text, file=sys.stderr, flush=True)
