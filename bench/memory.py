"""How much memory a large backlog takes: it must not grow with the blob.

Run from the repository's root: python -m bench.memory [--megabytes 1000] [--max-megabytes 200]
                                            [--largest-entries]

Measures, each in a process of its own, the peak resident memory (wait4) of three things:
`ingest` of a blob that nobody has read yet, packed as queue messages that are then thrown away;
`flowlog parse -` of the same bytes; and 16 blobs at once with an entry each that is as large as an
entry may be and as many JSON values as can be in it. The backlog is made as it is read, so that
nobody holds it. Exit code 1 if one of them takes more than it may.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from threading import Barrier
from time import perf_counter
from typing import Any

from bench.harness.fakes import DiscardingSink
from bench.harness.figures import run_python
from flowlog_core.allocator import keep_freed_memory
from flowlog_core.blob import BlobRef
from flowlog_core.dead_letters import DeadLetter
from flowlog_core.ingest import ingest
from flowlog_core.parsing.recovery import MAX_ENTRY_BYTES
from flowlog_core.pipeline import Pipeline
from flowlog_core.source.reading import Slice
from flowlog_core.testing.generate import HEAD, TAIL, FlowLogGenerator, Interface
from flowlog_core.testing.memory import (
    ManualClock,
    MemoryBlobs,
    MemoryCheckpoints,
    MemoryDeadLetters,
    some_blob,
)

MEGABYTE = 1_000_000
AT_ONCE = 16  # host.json, maxDegreeOfParallelism
MAX_MEGABYTES_AT_ONCE = 400
MAX_MEGABYTES_LARGEST_ENTRIES = 900


def blob_of(megabytes: int) -> Iterator[bytes]:
    hour = datetime(2026, 1, 1, tzinfo=UTC)
    return FlowLogGenerator(1).stream("nsg2", Interface.nsg(), hour, megabytes * MEGABYTE)


@dataclass
class StreamedBlob:
    """A `LogReader` of one blob that is read once from its beginning, and never held whole.

    It is one byte longer than what was made so far, until no more is made.
    """

    stream: Iterator[bytes]
    read_bytes: int = 0
    _ahead: bytearray = field(default_factory=bytearray)

    def read(self, blob: BlobRef, start: int, max_bytes: int, etag: str | None) -> Slice:
        """See `LogReader.read`. Raises ValueError for anything but the next bytes."""
        if start != self.read_bytes or etag not in {None, "only version"}:
            raise ValueError(f"{blob} is read at {start} instead of {self.read_bytes}")
        while len(self._ahead) <= max_bytes and (made := next(self.stream, b"")):
            self._ahead += made
        data = bytes(self._ahead[:max_bytes])
        del self._ahead[:max_bytes]
        self.read_bytes += len(data)
        return Slice(data, "only version", self.blob_bytes(blob))

    def blob_bytes(self, blob: BlobRef) -> int:
        """See `LogReader.blob_bytes`. So far as it is known."""
        del blob
        return self.read_bytes + bool(self._ahead)


def ingest_many(megabytes: int) -> str:
    """As many blobs at once as the host gives to one process."""
    keep_freed_memory()  # as the service does
    with ThreadPoolExecutor(AT_ONCE) as pool:
        told = [*pool.map(ingest_backlog, [megabytes // AT_ONCE] * AT_ONCE)]
    return f"each {told[0]}"


def ingest_backlog(megabytes: int) -> str:
    blob, clock = some_blob(), ManualClock()
    reader, letters = StreamedBlob(blob_of(megabytes)), MemoryDeadLetters()
    checkpoints = MemoryCheckpoints(clock)
    outcome = ingest(blob, Pipeline(reader, checkpoints, DiscardingSink(), letters, 180, clock))
    if reader.read_bytes < megabytes * MEGABYTE or letters.letters or not outcome.records:
        raise SystemExit("the backlog was not forwarded: the figures would mean nothing")
    return f"{outcome.records:,} records in {outcome.messages:,} messages"


def largest_entries() -> list[bytes]:
    """Entries as large as one may be: lists, with a tuple and in no known format; tuples; bad ones.

    `[],` takes 64 bytes of memory for three of the blob; no JSON value takes more. The record of a
    tuple repeats the names and ids of its entry.
    """
    good = b'"1767225564000,10.0.1.4,203.0.113.60,46013,443,6,O,B,NX,0,0,0,0",'
    lists = b'"unknown":[[]%b],'
    return [
        _filled(b"FlowLogFlowEvent", lists, good[:-1], b",[]"),
        _filled(b"Unknown", lists, good[:-1], b",[]"),
        _filled(b"FlowLogFlowEvent", b"", b"%b" + good[:-1], good),
        _filled(b"FlowLogFlowEvent", lists, b",".join([b'"bad"'] * 10_000), b",[]"),
    ]


def _filled(category: bytes, unknown: bytes, tuples: bytes, filler: bytes) -> bytes:
    flows = b'{"aclID":"%b","flowGroups":[{"rule":"r","flowTuples":[%b]}]}' % (b"a" * 300, tuples)
    start = b'{"time":"t","category":"%b","flowLogVersion":4,' % category
    entry = start + unknown + b'"flowRecords":{"flows":[%b]}}' % flows
    return entry % (filler * ((MAX_ENTRY_BYTES - len(entry)) // len(filler)))


class AtOnce(DiscardingSink, MemoryDeadLetters):
    """Of one blob: lets its first send or upload go on when all blobs have come so far."""

    def __init__(self, barrier: Barrier) -> None:
        super().__init__()
        self._all_are_here = cache(partial(barrier.wait, timeout=900))

    def send(self, messages: Iterable[Any]) -> int:
        """See `Sink.send`."""
        sent = 0
        for sent, _ in enumerate(messages, start=1):  # noqa: B007 - the last is the answer
            self._all_are_here()
        return sent

    def put(self, letters: Iterable[DeadLetter]) -> None:
        """See `DeadLetterStore.put`."""
        for letter in letters:
            content = letter.to_json()
            self._all_are_here()
            if len(content) < len(letter.raw):
                raise SystemExit("a dead letter is not whole: the figures would mean nothing")


def ingest_largest_entries(_: int) -> str:
    """As many blobs at once as the host gives to one process, each with one entry."""
    keep_freed_memory()
    barrier, clock = Barrier(AT_ONCE), ManualClock()
    contents = [HEAD + entry + TAIL for entry in largest_entries()]

    def ingest_one(content: bytes) -> tuple[bool, int]:
        blobs, at_once = MemoryBlobs(clock), AtOnce(barrier)
        blobs.put(some_blob(), content)
        pipeline = Pipeline(blobs, MemoryCheckpoints(clock), at_once, at_once, 180, clock)
        outcome = ingest(some_blob(), pipeline, final=True)
        return outcome.records > 0, outcome.dead_letters

    times = AT_ONCE // len(contents)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        counts = [*pool.map(ingest_one, contents * times)]
    if counts != [(True, 0), (False, 1), (True, 0), (False, 1)] * times:
        raise SystemExit("not as it should be: the figures would mean nothing")
    return f"each an entry of {MAX_ENTRY_BYTES:,} bytes"


def write_backlog(megabytes: int) -> None:
    """To standard output."""
    sys.stdout.buffer.writelines(blob_of(megabytes))


def child(what: str, megabytes: int) -> list[str]:
    return ["-m", "bench.memory", "--child", what, "--megabytes", str(megabytes)]


def measure_ingest(megabytes: int, what: str = "ingest") -> tuple[float, str]:
    ran = run_python(*child(what, megabytes))
    return ran.max_mb, ran.out.decode().strip()


def measure_parse(megabytes: int) -> tuple[float, str]:
    command = [sys.executable, *child("write", megabytes)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as writer,
        Path(os.devnull).open("wb") as nowhere,
    ):
        ran = run_python("-m", "flowlog_core", "parse", "-", stdin=writer.stdout, stdout=nowhere)
    if writer.returncode:
        raise SystemExit("the backlog was not parsed: the figures would mean nothing")
    return ran.max_mb, "records to standard output"


CHILDREN: dict[str, Callable[[int], str | None]] = {
    "ingest": ingest_backlog,
    "many": ingest_many,
    "largest": ingest_largest_entries,
    "write": write_backlog,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Peak memory for a large backlog.")
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--max-megabytes", type=int, default=200)
    parser.add_argument(
        "--largest-entries", action="store_true", help="these too; takes two minutes"
    )
    parser.add_argument("--child", choices=CHILDREN, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        if told := CHILDREN[options.child](options.megabytes):
            print(told)
        return
    print(f"peak memory for a backlog of {options.megabytes} MB, in MB")
    too_much = False
    works: list[tuple[str, int, Callable[[int], tuple[float, str]]]] = [
        ("ingest", options.max_megabytes, measure_ingest),
        (f"{AT_ONCE} at once", MAX_MEGABYTES_AT_ONCE, partial(measure_ingest, what="many")),
        ("flowlog parse -", options.max_megabytes, measure_parse),
    ]
    if options.largest_entries:
        many_values = partial(measure_ingest, what="largest")
        works.append(("largest entries", MAX_MEGABYTES_LARGEST_ENTRIES, many_values))
    for name, max_megabytes, measure in works:
        start = perf_counter()
        peak, told = measure(options.megabytes)
        too_much |= peak > max_megabytes
        print(f"  {name:<16} {peak:4.0f}   {told}, {perf_counter() - start:.0f} s", flush=True)
    sys.exit(1 if too_much else 0)


if __name__ == "__main__":
    main()
