"""What `ingest` costs besides normalizing, and its storage calls.

    python -m bench.ingest

1. The whole of `ingest` on fakes against framing, normalizing and packing alone.
2. A blob of 60 appends, taken append by append from Azurite: bytes and calls, counted where they
   leave the process, beside what a trigger that reads the whole blob at each event would read.
3. The processor time of 1, 10, 100 and 1,000 blobs: it must grow as their bytes do.
"""

from __future__ import annotations

import math
from functools import partial
from statistics import correlation, linear_regression

from bench.harness.azurite import CountingTransport, GrowingBlob, service_of
from bench.harness.fakes import DiscardingSink
from bench.harness.figures import best_of, machine, markdown, timed
from bench.harness.logs import blob_of, blob_ref, entries_of, interface_of, parse_and_pack
from flowlog_core.blob import BlobRef
from flowlog_core.demo.azurite import running_azurite
from flowlog_core.ingest import Pipeline, ingest
from flowlog_core.testing.generate import Format
from flowlog_core.testing.memory import MemoryBlobs, MemoryCheckpoints, MemoryDeadLetters

APPENDS = 60
ROUNDS = 7
FORMATS: tuple[Format, ...] = ("nsg1", "nsg2", "vnet4")


def pipeline_of(blobs: MemoryBlobs) -> Pipeline:
    """A pipeline that has seen nothing yet."""
    return Pipeline(blobs, MemoryCheckpoints(), DiscardingSink(), MemoryDeadLetters())


def overhead() -> None:
    """Print the table of `ingest` against the work inside it."""
    rows = []
    for form in FORMATS:
        for tuples in (150, 1000):
            blob, ref = blob_of(entries_of(form, tuples, 30_000)), blob_ref(interface_of(form))
            blobs = MemoryBlobs()
            blobs.put(ref, blob)

            def whole(ref: BlobRef = ref, blobs: MemoryBlobs = blobs) -> None:
                ingest(ref, pipeline_of(blobs))

            inside_s, whole_s = best_of(ROUNDS, partial(parse_and_pack, blob, ref), whole)
            times = f"{inside_s * 1e3:.1f} ms", f"{whole_s * 1e3:.1f} ms"
            rows.append((form, tuples, *times, f"{whole_s / inside_s:.2f}"))
    print("### `ingest` on fakes\n")
    print(markdown("format | tuples an entry | frame, normalize, pack | ingest | ratio", rows))


def calls_and_bytes() -> None:
    """Print what sixty appends cost."""
    with running_azurite() as azurite:
        counted = CountingTransport()
        service = service_of(azurite.connection_string, counted)
        blob = GrowingBlob(service, "nsg2")
        blob.append(1)
        blob.ingest()  # which also makes the table and the queue
        counted.start_over()
        whole_bytes = 0
        for _ in range(APPENDS):
            blob.append(150)
            blob.ingest()
            whole_bytes += blob.blob_bytes
        size = blob.blob_bytes
        blob.close()
        service.close()
    read, sends = counted.read_bytes, counted.requests["send"]
    rows = (
        ("size of the blob at the end", f"{size:,} bytes"),
        ("downloaded", f"{read:,} bytes, {read / size:.3f} of its size"),
        (
            "a whole-blob trigger would have read",
            f"{whole_bytes:,} bytes, {whole_bytes / size:.1f} of its size",
        ),
        (
            "storage calls an append, sends left out",
            f"{(counted.requests.total() - sends) / APPENDS:.2f}",
        ),
        ("messages an append", f"{sends / APPENDS:.2f}"),
    )
    print(f"\n### {APPENDS} appends, one event each, on Azurite\n")
    print(markdown(" | ", rows))


def growth() -> None:
    """Print how the time grows with the number of blobs."""
    content = blob_of(entries_of("nsg2", 150, 1500))
    megabytes, milliseconds, rows = [], [], []
    for count in (1, 10, 100, 1000):
        blobs = MemoryBlobs()
        refs = [blob_ref(interface_of("nsg2", number)) for number in range(count)]
        for ref in refs:
            blobs.put(ref, content)
        pipeline = pipeline_of(blobs)

        def all_of_them(refs: list[BlobRef] = refs, pipeline: Pipeline = pipeline) -> None:
            for ref in refs:
                ingest(ref, pipeline)

        size, ms = len(content) * count, timed(all_of_them).processor_s * 1e3
        rows.append((count, f"{size:,}", f"{ms:.1f} ms", f"{ms / size * 1e6:.1f} ms"))
        megabytes.append(size / 1e6)
        milliseconds.append(ms)
    print("\n### Growth with new bytes, on fakes\n")
    print(markdown("blobs | bytes | processor time | a MB", rows))
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
    overhead()
    calls_and_bytes()
    growth()


if __name__ == "__main__":
    main()
