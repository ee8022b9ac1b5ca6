"""From the bytes of a blob to finished queue messages, against `orjson.loads` of the same bytes.

    python -m bench.bench_normalize

Nanoseconds of processor time a tuple, the best of several rounds that take turns. `loads` is
`orjson.loads` of the whole blob at once: what only parsing the JSON costs. `entry by entry` is the
same for its entries one at a time. `frame`, `normalize` and `pack` are Flowlog's steps, `all` is
everything from the blob's bytes to base64 text. The ratio is `loads` to `all`.
"""

from __future__ import annotations

import orjson

from bench.measuring import HOUR, SHAPES, best_of, blob_of, entries_of, interface_of, machine
from flowlog_core.blob import BlobRef, LogBlob, Position
from flowlog_core.parsing.entry import normalize
from flowlog_core.parsing.framing import Entry, Framer
from flowlog_core.sinks import EntryRecords
from flowlog_core.sinks.message import messages_of
from flowlog_core.testing.generate import Format

# An hour of an interface with 150 flows a minute, and with 1,000. What `orjson.loads` makes of the
# smaller blob fits the processor's caches, where it takes a half to a third of the time.
BLOB_TUPLES = (9_000, 60_000)
ROUNDS = 9
COLUMNS = (
    *("format", "tuples a blob", "tuples an entry", "bytes a tuple", "loads", "entry by entry"),
    *("frame", "normalize", "pack", "all", "tuples/s", "ratio"),
)
PREFIX = "0123456789abcdef01234567.0.123456."


def measure(form: Format, tuples: int, blob_tuples: int) -> None:
    """Print one line of the table."""
    raw = entries_of(form, tuples, blob_tuples)
    blob = blob_of(raw)
    log = LogBlob.parse(interface_of(form).blob_name(HOUR))
    if log is None:
        raise SystemExit("the generator made a name that cannot be read")
    ref = BlobRef("account", "container", log)
    start = Position(ref)
    values = [orjson.loads(entry) for entry in raw]
    records = [EntryRecords(start.at(12), normalize(value, PREFIX).lines) for value in values]
    count = sum(len(entry.lines) for entry in records)
    if count != len(raw) * tuples:
        raise SystemExit("not every tuple became a record: the figures would mean nothing")

    def draw(entry: EntryRecords) -> None:
        for _ in messages_of(entry)[0]:
            pass

    def one_by_one() -> None:
        for entry in raw:
            orjson.loads(entry)

    def frame() -> None:
        framer = Framer()
        for _ in framer.feed(blob):
            pass

    def normalize_all() -> None:
        for value in values:
            normalize(value, PREFIX)

    def pack() -> None:
        for entry in records:
            draw(entry)

    def everything() -> None:
        framer = Framer()
        for item in framer.feed(blob):
            if isinstance(item, Entry):
                lines = item.use(lambda value: normalize(value, PREFIX)).lines
                draw(EntryRecords(start.at(item.start), lines))

    works = (lambda: orjson.loads(blob), one_by_one, frame, normalize_all, pack, everything)
    ns = [seconds / count * 1e9 for seconds in best_of(ROUNDS, *works)]
    print(
        f"| {form} | {blob_tuples:,} | {tuples} | {len(blob) / count:.0f} | "
        + " | ".join(f"{figure:.0f}" for figure in ns)
        + f" | {1e9 / ns[-1]:,.0f} | {ns[0] / ns[-1]:.1%} |"
    )


def main() -> None:
    """Print the table."""
    print(f"## Normalizing\n\n{machine()}; ns a tuple\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for blob_tuples in BLOB_TUPLES:
        for form, tuples in SHAPES:
            measure(form, tuples, blob_tuples)


if __name__ == "__main__":
    main()
