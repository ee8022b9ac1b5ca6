"""From a blob's bytes to its records, against the last version that had compiled code.

    git archive --prefix=last-compiled/ d30d81b | tar x -C build
    (cd build/last-compiled && python -c "import setuptools as s; s.setup()" build_ext --inplace)
    python -m bench.parsing --yardstick build/last-compiled

The yardstick is that version twice: as it was without its compiled code, and with it. Without
`--yardstick` only this version is measured. Processor time, the least of several rounds that take
turns; what counts are the ratios within one run.
"""

from __future__ import annotations

import argparse
import importlib
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from bench.harness.figures import best_of, machine, markdown
from bench.harness.logs import SAMPLES, blob_of, captures, entries_of, renewed_captures
from flowlog_core.parsing import ParsedEntry, read

TUPLES = 60_000
ENTRIES_ALONE = 2_000  # of one tuple: what is left is what an entry costs
ROUNDS = 7
ID = "0123456789abcdef01234567.0.{}"

Parse = Callable[[bytes], int]


def parse(blob: bytes) -> int:
    """How many records this version makes of a blob."""
    items = read((blob,), ID.format)
    return sum(len(item.lines) for item in items if isinstance(item, ParsedEntry))


@contextmanager
def packages_of(folder: Path) -> Iterator[None]:
    """Import `flowlog_core` from another folder for a while."""

    def take_out() -> dict[str, Any]:
        names = [name for name in sys.modules if name.partition(".")[0] == "flowlog_core"]
        return {name: sys.modules.pop(name) for name in names}

    ours = take_out()
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        take_out()
        sys.modules.update(ours)


def yardsticks(folder: Path) -> dict[str, Parse]:
    """The same by the version in `folder`, which had both ways."""
    with packages_of(folder):
        framing: Any = importlib.import_module("flowlog_core.framing")
        normalizing: Any = importlib.import_module("flowlog_core.normalize")
        is_compiled: bool = importlib.import_module("flowlog_core.compiled").is_compiled()

    def way(*, compiled: bool) -> Parse:
        def parse(blob: bytes) -> int:
            framer, count = framing.Framer(compiled=compiled), 0
            for item in (*framer.feed(blob), *framer.end(final=True)):
                prefix = f"{ID.format(item.start)}."
                count += len(normalizing.normalize(item.parsed, prefix, compiled=compiled).lines)
            return count

        return parse

    if not is_compiled:
        raise SystemExit(f"{folder}: nothing is compiled there; see bench/parsing.py")
    return {"old Python": way(compiled=False), "compiled": way(compiled=True)}


def addresses(count: int) -> bytes:
    """Entries of 150 tuples between so many addresses."""
    random_ = random.Random(1)
    pool = [".".join(str(random_.randrange(1, 255)) for _ in range(4)) for _ in range(count)]
    entries = []
    at = 0
    for raw in entries_of("vnet4", 150, TUPLES):
        entry = orjson.loads(raw)
        for outer in entry["flowRecords"]["flows"]:
            for group in outer["flowGroups"]:
                for index, text in enumerate(group["flowTuples"]):
                    time, _, _, rest = text.split(",", 3)
                    source, destination = pool[at % count], pool[(at + 1) % count]
                    at += 2
                    group["flowTuples"][index] = f"{time},{source},{destination},{rest}"
        entries.append(orjson.dumps(entry))
    return blob_of(entries)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="From a blob's bytes to its records.")
    parser.add_argument("--yardstick", type=Path, help="the version to measure against, unpacked")
    options = parser.parse_args()
    ways = {"now": parse, **(yardsticks(options.yardstick) if options.yardstick else {})}
    logs: dict[str, Callable[[], bytes]] = {}
    if SAMPLES.exists():
        logs["the samples"] = lambda: captures(TUPLES)
        logs["the samples, renewed"] = lambda: renewed_captures(TUPLES)
    logs |= {
        "vnet4, 1 an entry": lambda: blob_of(entries_of("vnet4", 1, ENTRIES_ALONE)),
        "nsg2, 1 an entry": lambda: blob_of(entries_of("nsg2", 1, ENTRIES_ALONE)),
        "nsg2, 150 an entry": lambda: blob_of(entries_of("nsg2", 150, TUPLES)),
        "vnet4, 150 an entry": lambda: blob_of(entries_of("vnet4", 150, TUPLES)),
        "50 addresses": lambda: addresses(50),
        "100,000 addresses": lambda: addresses(100_000),
    }
    print(f"## Parsing\n\n{machine()}; ns of processor time a tuple, from bytes to records\n")
    header = ["log", "tuples", *ways, *(f"{way} / now" for way in ways if way != "now")]
    print(markdown(" | ".join(header), ()))
    for name, log in logs.items():
        blob = log()
        counts = {way(blob) for way in ways.values()}
        if len(counts) > 1:
            raise SystemExit(f"{name}: not as many records each way")
        (count,) = counts
        works = [partial(way, blob) for way in ways.values()]
        ns = [seconds / count * 1e9 for seconds in best_of(ROUNDS, *works)]
        ratios = [one / ns[0] for one in ns[1:]]
        cells = [f"{one:.0f}" for one in ns] + [f"{one:.2f}" for one in ratios]
        print(f"| {name} | {count:,} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
