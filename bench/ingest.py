"""What `ingest` costs besides normalizing, and its storage calls.

    python -m bench.ingest

1. The whole of `ingest` on fakes against framing, normalizing and packing alone.
2. A blob of 60 appends, taken append by append from Azurite: bytes and calls, counted where they
   leave the process, beside what a trigger that reads the whole blob at each event would read.
3. The processor time of 1, 10, 100 and 1,000 blobs: it must grow as their bytes do.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from statistics import correlation, linear_regression
from typing import Any

from azure.core.pipeline.transport import HttpTransport
from azure.core.rest import HttpRequest

from bench.harness.growing import GrowingBlob, service_of
from bench.harness.measuring import (
    HOUR,
    SHAPES,
    best_of,
    blob_of,
    entries_of,
    interface_of,
    machine,
)
from flowlog_core.blob import BlobRef, LogBlob, Position
from flowlog_core.demo.azurite import running_azurite
from flowlog_core.ingest import Pipeline, ingest
from flowlog_core.parsing.entry import normalize
from flowlog_core.parsing.framing import Entry, Framer
from flowlog_core.sinks import EntryRecords, Packed
from flowlog_core.sinks.message import messages_of
from flowlog_core.storage.clients import STEADY
from flowlog_core.storage.transport import make_transport
from flowlog_core.testing.generate import Format
from flowlog_core.testing.memory import MemoryBlobs, MemoryCheckpoints, MemoryDeadLetters

APPENDS = 60
ROUNDS = 7


@dataclass
class NoSink:
    """Packs as the queue sink does, and sends nowhere."""

    def pack(self, entry: EntryRecords) -> Packed:
        """See `Sink.pack`."""
        return Packed(*messages_of(entry))

    def send(self, messages: Iterable[Any]) -> int:
        """See `Sink.send`."""
        return sum(1 for _ in messages)


def reference(form: Format, number: int = 1) -> BlobRef:
    """A blob of one interface."""
    interface = interface_of(form)
    log = LogBlob.parse(interface.blob_name(HOUR))
    if log is None:
        raise SystemExit("the generator made a name that cannot be read")
    return BlobRef("account", f"container{number}", log)


def fresh(blobs: MemoryBlobs) -> Pipeline:
    """A pipeline that has seen nothing yet."""
    return Pipeline(blobs, MemoryCheckpoints(), NoSink(), MemoryDeadLetters())


def overhead() -> None:
    """Print the table of `ingest` against the work inside it."""
    print("### `ingest` on fakes\n")
    print("| format | tuples an entry | frame, normalize, pack | ingest | ratio |")
    print("|---|---|---|---|---|")
    for form, tuples in SHAPES:
        blob = blob_of(entries_of(form, tuples, 30_000))
        ref = reference(form)
        blobs = MemoryBlobs()
        blobs.put(ref, blob)

        def inside(blob: bytes = blob, ref: BlobRef = ref) -> None:
            start, framer = Position(ref), Framer()
            for item in framer.feed(blob):
                if isinstance(item, Entry):
                    position = start.at(item.start)
                    prefix = f"{position.entry_id}."
                    lines = item.use(partial(normalize, id_prefix=prefix)).lines
                    for _ in messages_of(EntryRecords(position, lines))[0]:
                        pass

        def whole(ref: BlobRef = ref, blobs: MemoryBlobs = blobs) -> None:
            ingest(ref, fresh(blobs))

        alone, around = best_of(ROUNDS, inside, whole)
        print(
            f"| {form} | {tuples} | {alone * 1e3:.1f} ms | {around * 1e3:.1f} ms "
            f"| {around / alone:.2f} |"
        )


class Counting(HttpTransport[Any, Any]):
    """Sends with Flowlog's own transport; counts requests and the bytes of answers."""

    def __init__(self) -> None:
        self._transport = make_transport(
            connect_s=STEADY.connect_s, call_s=STEADY.call_s, max_connections=32
        )
        self.start_over()

    def start_over(self) -> None:
        """Forget what was counted."""
        self.requests: Counter[str] = Counter()
        self.downloaded_bytes = 0

    def send(self, request: HttpRequest, **kwargs: Any) -> Any:
        """Send, and count."""
        answer = self._transport.send(request, **kwargs)
        kind = "send" if "/messages" in request.url else "other"
        self.requests[kind] += 1
        if kind == "other" and request.method == "GET" and "PT1H.json" in request.url:
            self.downloaded_bytes += len(answer.content)
        return answer

    def open(self) -> None:
        """See `HttpTransport.open`."""
        self._transport.open()

    def close(self) -> None:
        """See `HttpTransport.close`."""
        self._transport.close()

    def __exit__(self, *_: object) -> None:
        self.close()


def calls_and_bytes() -> None:
    """Print what sixty appends cost."""
    print(f"\n### {APPENDS} appends, one event each, on Azurite\n")
    with running_azurite() as azurite:
        counting = Counting()
        service = service_of(azurite.connection_string, counting)
        blob = GrowingBlob(service, "nsg2")
        blob.append(1)
        blob.ingest()  # which also makes the table and the queue
        counting.start_over()
        whole_blob_bytes = 0
        for _ in range(APPENDS):
            blob.append(150)
            blob.ingest()
            whole_blob_bytes += blob.blob_bytes
        size = blob.blob_bytes
        print("| | |\n|---|---|")
        print(f"| size of the blob at the end | {size:,} bytes |")
        print(
            f"| downloaded | {counting.downloaded_bytes:,} bytes, "
            f"{counting.downloaded_bytes / size:.3f} of its size |"
        )
        print(
            f"| a whole-blob trigger would have read | {whole_blob_bytes:,} bytes, "
            f"{whole_blob_bytes / size:.1f} of its size |"
        )
        calls, sends = (counting.requests[kind] / APPENDS for kind in ("other", "send"))
        print(f"| storage calls an append, sends left out | {calls:.2f} |")
        print(f"| messages an append | {sends:.2f} |")
        blob.close()
        service.close()


def growth() -> None:
    """Print how the time grows with the number of blobs."""
    print("\n### Growth with new bytes, on fakes\n")
    print("| blobs | bytes | processor time | a MB |\n|---|---|---|---|")
    content = blob_of(entries_of("nsg2", 150, 1500))
    megabytes, milliseconds = [], []
    for count in (1, 10, 100, 1000):
        blobs = MemoryBlobs()
        refs = [reference("nsg2", number) for number in range(count)]
        for ref in refs:
            blobs.put(ref, content)
        pipeline = fresh(blobs)

        def all_of_them(refs: list[BlobRef] = refs, pipeline: Pipeline = pipeline) -> None:
            for ref in refs:
                ingest(ref, pipeline)

        (seconds,) = best_of(1, all_of_them)
        size = len(content) * count
        print(f"| {count} | {size:,} | {seconds * 1e3:.1f} ms | {seconds / size * 1e9:.1f} ms |")
        megabytes.append(size / 1e6)
        milliseconds.append(seconds * 1e3)
    slope, at_zero = linear_regression(megabytes, milliseconds)
    certainty = correlation(megabytes, milliseconds) ** 2
    print(f"\nFit: {slope:.1f} ms a MB and {at_zero:.1f} ms; R² = {certainty:.5f}")
    # Each size by itself as well: in a fit the largest outweighs all others.
    exponent = linear_regression(
        [math.log(one) for one in megabytes], [math.log(one) for one in milliseconds]
    ).slope
    print(f"Fit of the logarithms: time grows as bytes to the power of {exponent:.2f}")


def main() -> None:
    """Print all three."""
    print(f"## Ingest\n\n{machine()}\n")
    works: tuple[Callable[[], None], ...] = (overhead, calls_and_bytes, growth)
    for work in works:
        work()


if __name__ == "__main__":
    main()
