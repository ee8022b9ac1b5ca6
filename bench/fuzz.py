"""Checks the reader's promises on any number of damaged flow logs.

Run from the repository's root: python -m bench.fuzz [--inputs 1000000] [--seed 0] [--processes 2]

Input N is the document of seed N (tests/fuzz/fuzz_documents.py), and what must hold of it is in
tests/fuzz/fuzz_oracle.py. Prints how many inputs, entries, damaged spans and records there were
and the slowest input; then each seed that broke a promise, raised or took more than two seconds
of processor time, for tests/fuzz/seeds.txt. Exit code 1 if there is any.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from multiprocessing import Pool
from pathlib import Path
from time import perf_counter, process_time
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from fuzz.fuzz_documents import fuzz_document
from fuzz.fuzz_oracle import check

MAX_S = 2.0
BATCH = 2000


class Batch(NamedTuple):
    found: Counter[str]
    failures: list[str]
    slowest_s: float
    slowest_seed: int


def run_batch(seeds: range) -> Batch:
    signal.signal(signal.SIGPROF, _too_slow)
    found: Counter[str] = Counter(inputs=len(seeds))
    failures: list[str] = []
    slowest = (0.0, 0)
    for seed in seeds:
        document = fuzz_document(seed)
        start = process_time()
        signal.setitimer(signal.ITIMER_PROF, MAX_S)
        try:
            found.update(check(document, seed)._asdict())
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
            failures.append(f"{seed}  # {type(error).__name__}: {str(error)[:200]!r}")
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        slowest = max(slowest, (process_time() - start, seed))
        found.update(bytes=len(document.blob), untouched=len(document.untouched))
    return Batch(found, failures, *slowest)


def _too_slow(*_: object) -> None:
    raise TimeoutError(f"takes more than {MAX_S} s")


def batches(first: int, inputs: int) -> Iterator[range]:
    for start in range(first, first + inputs, BATCH):
        yield range(start, min(start + BATCH, first + inputs))


def main() -> None:
    parser = argparse.ArgumentParser(description="Fuzz framing, normalizing and packing.")
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    start = perf_counter()
    total: Counter[str] = Counter()
    failures: list[str] = []
    slowest = (0.0, 0)
    with Pool(options.processes) as pool:
        work = batches(options.seed, options.inputs)
        for batch in pool.imap_unordered(run_batch, work):
            total += batch.found
            failures += batch.failures
            slowest = max(slowest, (batch.slowest_s, batch.slowest_seed))
    took_s = perf_counter() - start
    print(
        f"{total['inputs']:,} inputs from seed {options.seed}, {total['bytes'] / 1e6:,.0f} MB, "
        f"in {took_s:.0f} s with {options.processes} processes\n"
        f"  {total['entries']:,} entries, {total['untouched']:,} of them untouched originals; "
        f"{total['damaged']:,} damaged spans; {total['records']:,} records\n"
        f"  slowest input {slowest[0] * 1000:.0f} ms, seed {slowest[1]}\n"
        f"  {len(failures)} failures"
    )
    print(*failures, sep="\n", end="\n" if failures else "")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
