"""How soon a consumer can read what was appended, and how fast the sinks send, on Azurite.

    python -m bench.latency [appends]

Latency: from the moment when the commit of an append has returned, its event handed over at once,
until `ingest` returns, which is after every message is in the queue. Beside it the bare storage
calls that `ingest` makes, made one after the other with the same clients in the same run. Azurite
is one process of Node.js on the same machine; a storage account answers in a few milliseconds.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import quantiles
from typing import Any, NamedTuple

import orjson
from azure.core import MatchConditions
from azure.data.tables import UpdateMode

from bench.harness.growing import GrowingBlob, service_of
from bench.harness.measuring import best_of, entries_of, machine
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
SENDING_ROUNDS = 5
SENT_TUPLES = 15_000
TABLE_BATCHES = 40  # each takes Azurite longer than the one before


class Kind(NamedTuple):
    """A way to send: its name, how many calls at a time are several, and how much of it is sent."""

    name: str
    hours: int
    """Over how many the records spread: each has a partition of its own in a table."""
    several: int
    rounds: int
    max_calls: int | None
    make: Callable[[Service, Parallel, str], Any]


def percentiles(seconds: list[float]) -> tuple[float, float]:
    """p50 and p99 in milliseconds."""
    cut = quantiles(seconds, n=100)
    return cut[49] * 1e3, cut[98] * 1e3


def latency(connection: str, appends: int) -> None:
    """Print p50 and p99 over many appends, and where the time goes."""
    service = service_of(connection)
    settings = service.settings
    blob = GrowingBlob(service, FORM)
    queue = service.clients.queues(settings.sink_connection).get_queue_client(settings.queue)
    table = service.clients.tables(settings.state).get_table_client("bare")
    table.create_table()
    table.create_entity({"PartitionKey": "p", "RowKey": "r"})
    text = "x" * 20_000
    took: list[float] = []
    bare: list[float] = []
    steps: dict[str, float] = defaultdict(float)
    for number in range(appends + 20):
        blob.append(TUPLES)
        started = time.perf_counter()
        outcome = blob.ingest()
        ended = time.perf_counter()
        bare_started = time.perf_counter()
        bare_calls(blob.client, table, queue, blob.blob_bytes, text)
        bare_ended = time.perf_counter()
        if number >= 20:  # the first ones open connections
            took.append(ended - started)
            bare.append(bare_ended - bare_started)
            for step, seconds in outcome.seconds.items():
                steps[step] += seconds
        if number % 50 == 0:
            blob.start_over()
            blob.ingest()
    p50, p99 = percentiles(took)
    bare50, bare99 = percentiles(bare)
    print(
        f"### Latency over {appends} appends of {TUPLES} tuples\n\n| | p50 | p99 |\n|---|---|---|"
    )
    print(f"| append to message readable | {p50:.1f} ms | {p99:.1f} ms |")
    print(f"| the bare storage calls | {bare50:.1f} ms | {bare99:.1f} ms |")
    print(f"| ratio | {p50 / bare50:.2f} | {p99 / bare99:.2f} |")
    whole = sum(steps.values())
    print("\n| step | share |\n|---|---|")
    for name, seconds in sorted(steps.items(), key=lambda item: -item[1]):
        print(f"| {name} | {seconds / whole:.0%} |")
    service.close()


def bare_calls(client: Any, table: Any, queue: Any, size: int, text: str) -> None:
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
    queue.send_message(text)


def sending(azurite: Azurite) -> None:
    """Print how many messages and rows a second, one at a time and several, and who is at work.

    Azurite has one thread, and Python runs one at a time. With one call at a time their processor
    times add up; with several the longer of the two remains, whatever the sink does.
    """
    service = service_of(azurite.connection_string)
    print("\n### Sending, 15,000 records\n")
    print("| sink | calls | one at a time | several | ratio | ours | Azurite's | ratio at most |")
    print("|---|---|---|---|---|---|---|---|")
    for label, hours, several, rounds, max_calls, make in KINDS:
        # Tables of their own, as Azurite takes longer the more rows a partition has.
        name = "bench" + "".join(filter(str.isalnum, label))
        sinks = {n: make(service, Parallel(n), f"{name}{n}") for n in (1, several)}
        entries = records_of(SENT_TUPLES, hours)
        messages = [message for entry in entries for message in sinks[1].pack(entry).messages]
        messages = messages[:max_calls]
        best = dict.fromkeys(sinks, 0.0)
        busy = dict.fromkeys(sinks, (0.0, 0.0))
        for _ in range(rounds):
            for in_flight, sink in sinks.items():
                sink.send(messages[:in_flight])  # opens the connections
                before = time.process_time(), processor_s(azurite.pid)
                started = time.perf_counter()
                count = sink.send(messages)
                rate = count / (time.perf_counter() - started)
                if rate > best[in_flight]:
                    best[in_flight] = rate
                    after = time.process_time(), processor_s(azurite.pid)
                    ours, theirs = ((b - a) / count for a, b in zip(before, after, strict=True))
                    busy[in_flight] = ours, theirs
        ours, theirs = busy[several]
        print(
            f"| {label} | {len(messages)} | {best[1]:.1f}/s | {best[several]:.1f}/s with {several} "
            f"| {best[several] / best[1]:.2f} | {ours * 1e3:.1f} ms | {theirs * 1e3:.1f} ms "
            f"| {1 / best[1] / max(ours, theirs):.2f} |"
        )
    service.close()


def queue_sink(encoding: Encoding, service: Service, parallel: Parallel, name: str) -> QueueSink:
    """A queue of this name in the service's account."""
    queues = service.clients.queues(service.settings.sink_connection)
    return QueueSink(queues.get_queue_client(name), encoding, parallel)


def table_sink(service: Service, parallel: Parallel, name: str) -> TableSink:
    """A table of this name in the service's account."""
    tables = service.clients.tables(service.settings.sink_connection)
    return TableSink(tables.get_table_client(name), parallel)


# A batch keeps Azurite busy for as long as many messages, so fewer go at a time there.
KINDS = (
    Kind("queue", 1, 16, SENDING_ROUNDS, None, partial(queue_sink, "json")),
    Kind("gzip", 1, 16, SENDING_ROUNDS, None, partial(queue_sink, "gzip")),
    Kind("table", 20, 4, 1, TABLE_BATCHES, table_sink),
    Kind("table, one hour", 1, 4, 1, TABLE_BATCHES, table_sink),
)


def records_of(total_tuples: int, hours: int = 1) -> list[EntryRecords]:
    """Normalized entries of so many tuples in all, of one interface's logs of up to 24 hours."""
    entries = []
    for offset, raw in enumerate(entries_of(FORM, 150, total_tuples)):
        blob = some_blob(hour=offset % hours)
        lines = normalize(orjson.loads(raw), f"x.{offset}.").lines
        entries.append(EntryRecords(Position(blob, offset=offset), lines))
    return entries


def processor_s(pid: int) -> float:
    """The processor time that a process has taken so far, where the system tells it; else 0."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return 0.0
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def encodings() -> None:
    """Print how many messages a million tuples make, and what that costs the processor."""
    entries = records_of(6_000)
    tuples = sum(len(entry.lines) for entry in entries)
    print("\n### Encodings\n\n| encoding | messages a million tuples | packing, ns a tuple |")
    print("|---|---|---|")
    for encoding in ("json", "gzip"):

        def pack(encoding: Any = encoding) -> int:
            return sum(1 for entry in entries for _ in messages_of(entry, encoding)[0])

        (seconds,) = best_of(3, pack)
        print(f"| {encoding} | {pack() / tuples * 1e6:,.0f} | {seconds / tuples * 1e9:.0f} |")


def main() -> None:
    """Print all."""
    appends = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    logging.disable(logging.WARNING)  # each blob that is started over is said to be rewritten
    print(f"## Latency and sending\n\n{machine()}; Azurite on the same machine\n")
    with running_azurite() as azurite:
        latency(azurite.connection_string, appends)
        sending(azurite)
    encodings()


if __name__ == "__main__":
    main()
