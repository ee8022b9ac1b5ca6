"""How soon a consumer can read what was appended, and how fast the sinks send, on Azurite.

    python -m bench.latency [appends]

Latency: from the moment when the commit of an append has returned, its event handed over at once,
until `ingest` returns, which is after every message is in the queue. Beside it the bare storage
calls that `ingest` makes, made one after the other with the same clients in the same run. Azurite
is one process of Node.js on the same machine; a storage account answers in a few milliseconds.
"""

from __future__ import annotations

import logging
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import orjson
from azure.core import MatchConditions
from azure.data.tables import UpdateMode

from bench.harness.azurite import GrowingBlob, service_of
from bench.harness.figures import best_of, machine, markdown, percentiles, processor_s, timed
from bench.harness.logs import entries_of
from flowlog_core.blob import Position
from flowlog_core.demo.azurite import Azurite, running_azurite
from flowlog_core.parallel import Parallel
from flowlog_core.parsing.entry import normalize
from flowlog_core.service import Service
from flowlog_core.sinks import EntryRecords
from flowlog_core.sinks.message import Encoding, messages_of
from flowlog_core.sinks.queue import QueueSink
from flowlog_core.sinks.table import TableSink
from flowlog_core.testing.generate import Format
from flowlog_core.testing.memory import some_blob

FORM: Format = "nsg2"
TUPLES = 20  # one message
WARM_UP = 20  # appends; the first ones open connections
APPENDS_A_BLOB = 50  # Azurite's reads grow with the blob, which is not what is measured
SENT_TUPLES = 15_000


def latency(connection: str, appends: int) -> None:
    """Print p50 and p99 over many appends, and where the time goes."""
    service = service_of(connection)
    settings = service.settings
    blob = GrowingBlob(service, FORM)
    queue = service.clients.queues(settings.sink_connection).get_queue_client(settings.queue)
    table = service.clients.tables(settings.state).get_table_client("bare")
    table.create_table()
    table.create_entity({"PartitionKey": "p", "RowKey": "r"})
    took_s: list[float] = []
    bare_s: list[float] = []
    steps: defaultdict[str, float] = defaultdict(float)
    for number in range(WARM_UP + appends):
        if number % APPENDS_A_BLOB == 0:
            blob.start_over()
            blob.ingest()
        blob.append(TUPLES)
        started_s = time.perf_counter()
        outcome = blob.ingest()
        ended_s = time.perf_counter()
        bare = timed(partial(bare_calls, blob.client, table, queue, blob.blob_bytes))
        if number >= WARM_UP:
            took_s.append(ended_s - started_s)
            bare_s.append(bare.elapsed_s)
            for step, seconds in outcome.seconds.items():
                steps[step] += seconds
    ours, bare_calls_s = percentiles(took_s), percentiles(bare_s)
    rows = [
        ("append to message readable", *(f"{one * 1e3:.1f} ms" for one in ours)),
        ("the bare storage calls", *(f"{one * 1e3:.1f} ms" for one in bare_calls_s)),
        ("ratio", *(f"{a / b:.2f}" for a, b in zip(ours, bare_calls_s, strict=True))),
    ]
    print(f"### Latency over {appends} appends of {TUPLES} tuples\n")
    print(markdown(" | p50 | p99", rows), end="\n\n")
    whole_s = sum(steps.values())
    by_share = sorted(steps.items(), key=lambda item: -item[1])
    print(markdown("step | share", [(name, f"{s / whole_s:.0%}") for name, s in by_share]))
    blob.close()
    service.close()


def bare_calls(client: Any, table: Any, queue: Any, size: int) -> None:
    """What an ordinary append costs: get, claim, read, send, commit and let go."""
    entity = table.get_entity("p", "r")
    client.download_blob(max(0, size - 2500), 2500, max_concurrency=1).readall()
    for _ in range(2):
        said = table.update_entity(
            entity,
            mode=UpdateMode.REPLACE,
            etag=entity.metadata["etag"],
            match_condition=MatchConditions.IfNotModified,
        )
        entity.metadata["etag"] = said["etag"]
    queue.send_message("x" * 20_000)


class Kind(NamedTuple):
    """A way to send: its name, the sink, how many calls at a time are several, how much is sent."""

    name: str
    make: Callable[[Service, Parallel, str], Any]
    several: int = 16
    rounds: int = 5
    max_calls: int | None = None
    hours: int = 1
    """Over how many the records spread: each has a partition of its own in a table."""


def sending(azurite: Azurite) -> None:
    """Print how many messages and rows a second, one at a time and several, and who is at work.

    Azurite has one thread, and Python runs one at a time. With one call at a time their processor
    times add up; with several the longer of the two remains, whatever the sink does.
    """
    service = service_of(azurite.connection_string)
    rows = []
    for kind in KINDS:
        # Tables of their own, as Azurite takes longer the more rows a partition has.
        name = "bench" + "".join(filter(str.isalnum, kind.name))
        sinks = {n: kind.make(service, Parallel(n), f"{name}{n}") for n in (1, kind.several)}
        entries = records_of(SENT_TUPLES, kind.hours)
        messages = [message for entry in entries for message in sinks[1].pack(entry).messages]
        messages = messages[: kind.max_calls]
        best: dict[int, tuple[float, ...]] = {}  # seconds a call: elapsed, ours, Azurite's
        for _ in range(kind.rounds):
            for in_flight, sink in sinks.items():
                sink.send(messages[:in_flight])  # opens the connections
                before_s = processor_s(azurite.pid)
                took = timed(partial(sink.send, messages))
                theirs_s = processor_s(azurite.pid) - before_s
                all_s = took.elapsed_s, took.processor_s, theirs_s
                found = tuple(seconds / len(messages) for seconds in all_s)
                best[in_flight] = min(best.get(in_flight, found), found)
        alone_s = best[1][0]
        several_s, ours_s, theirs_s = best[kind.several]
        rows.append(
            (
                *(kind.name, len(messages), f"{1 / alone_s:.1f}/s"),
                f"{1 / several_s:.1f}/s with {kind.several}",
                f"{alone_s / several_s:.2f}",
                *(f"{ours_s * 1e3:.1f} ms", f"{theirs_s * 1e3:.1f} ms"),
                f"{alone_s / max(ours_s, theirs_s):.2f}",
            )
        )
    service.close()
    print(f"\n### Sending, {SENT_TUPLES:,} records\n")
    columns = "sink | calls | one at a time | several | ratio | ours | Azurite's | ratio at most"
    print(markdown(columns, rows))


def queue_sink(encoding: Encoding, service: Service, parallel: Parallel, name: str) -> QueueSink:
    """A queue of this name in the service's account."""
    queues = service.clients.queues(service.settings.sink_connection)
    return QueueSink(queues.get_queue_client(name), encoding, parallel)


def table_sink(service: Service, parallel: Parallel, name: str) -> TableSink:
    """A table of this name in the service's account."""
    tables = service.clients.tables(service.settings.sink_connection)
    return TableSink(tables.get_table_client(name), parallel)


# A batch keeps Azurite busy for as long as many messages, so fewer go at a time there, and each
# takes it longer than the one before, so few are sent.
KINDS = (
    Kind("queue", partial(queue_sink, "json")),
    Kind("gzip", partial(queue_sink, "gzip")),
    Kind("table", table_sink, several=4, rounds=1, max_calls=40, hours=20),
    Kind("table, one hour", table_sink, several=4, rounds=1, max_calls=40),
)


def records_of(total_tuples: int, hours: int = 1) -> list[EntryRecords]:
    """Normalized entries of so many tuples in all, of one interface's logs of up to 24 hours."""
    entries = []
    for offset, raw in enumerate(entries_of(FORM, 150, total_tuples)):
        blob = some_blob(hour=offset % hours)
        lines = normalize(orjson.loads(raw), f"x.{offset}.").lines
        entries.append(EntryRecords(Position(blob, offset=offset), lines))
    return entries


def encodings() -> None:
    """Print how many messages a million tuples make, and what that costs the processor."""
    entries = records_of(6_000)
    tuples = sum(len(entry.lines) for entry in entries)
    rows = []
    for encoding in ("json", "gzip"):

        def pack(encoding: Any = encoding) -> int:
            return sum(1 for entry in entries for _ in messages_of(entry, encoding)[0])

        (seconds,) = best_of(3, pack)
        messages = f"{pack() / tuples * 1e6:,.0f}"
        rows.append((encoding, messages, f"{seconds / tuples * 1e9:.0f}"))
    print("\n### Encodings\n")
    print(markdown("encoding | messages a million tuples | packing, ns a tuple", rows))


def main(appends: int = 1000) -> None:
    """Print all."""
    logging.disable(logging.WARNING)  # each blob that is started over is said to be rewritten
    print(f"## Latency and sending\n\n{machine()}; Azurite on the same machine\n")
    with running_azurite() as azurite:
        latency(azurite.connection_string, appends)
        sending(azurite)
    encodings()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
