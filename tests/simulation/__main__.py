"""Test the promises in thousands of random schedules: concurrent workers, crashes, faults.

Each schedule runs the forwarding code on fakes, with concurrent workers, lost and repeated events,
crashes, timeouts, claims that run out and rewritten blobs. It checks every promise at every step.
The seed alone determines a schedule, so a failure can be replayed. Exit code: 0, or 1 if a promise
was broken.

Examples:
  make simulate ARGS="--schedules 20000"
  make simulate ARGS="--seed 12345 --schedules 1 --trace"   # replay one, call by call
  make simulate ARGS="--mutant no-ring"                     # insert a fault: it must be found
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext

from simulation.mutants import MUTANTS
from simulation.run import Report, simulate

_SEEDS_A_TASK = 250


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="make simulate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--schedules",
        type=_positive,
        default=2000,
        metavar="N",
        help="number of schedules (default 2000)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="first seed (default 0)")
    parser.add_argument(
        "--workers",
        type=_positive,
        default=4,
        metavar="K",
        help="workers that the host runs at a time (default 4)",
    )
    parser.add_argument(
        "--jobs",
        type=_positive,
        default=min(2, os.cpu_count() or 1),
        metavar="N",
        help="number of processes (default 2)",
    )
    parser.add_argument(
        "--mutant", metavar="NAME", help="insert this fault into the code first; ? lists them"
    )
    parser.add_argument(
        "--trace", action="store_true", help="print the timeline of the first broken schedule"
    )
    return parser.parse_args(arguments)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the schedules and print the results. Returns the exit code."""
    options = parsed(arguments)
    if options.mutant is not None and options.mutant not in MUTANTS:
        for mutant in MUTANTS.values():
            print(f"{mutant.name:26} {mutant.what}", file=sys.stderr)
        return 2
    began = time.monotonic()
    total = _all_schedules(options)
    seconds = time.monotonic() - began
    first = total.first_violation
    if options.trace and (first or options.schedules == 1):
        _print_trace(first[0] if first else options.seed, options)
    print(f"{options.schedules} schedules from seed {options.seed} in {seconds:.1f} s")
    for name, number in sorted(total.counts.items()):
        print(f"{number:12,}  {name}")
    if first is None:
        print("every promise was kept")
        return 0
    print(f"seed {first[0]} broke a promise ({total.violations} schedules did): {first[1]}")
    return 1


def _all_schedules(options: argparse.Namespace) -> Report:
    last = options.seed + options.schedules
    tasks = [
        (start, min(start + _SEEDS_A_TASK, last), options.workers, options.mutant)
        for start in range(options.seed, last, _SEEDS_A_TASK)
    ]
    total = Report()
    if options.jobs == 1 or len(tasks) == 1:
        for task in tasks:
            total += _some_schedules(*task)
        return total
    with ProcessPoolExecutor(options.jobs) as pool:
        for report in pool.map(_some_schedules, *zip(*tasks, strict=True)):
            total += report
    return total


def _some_schedules(first: int, end: int, workers: int, mutant: str | None) -> Report:
    report = Report()
    with MUTANTS[mutant].built_in() if mutant else nullcontext():
        for seed in range(first, end):
            report.add(simulate(seed, workers))
    return report


def _print_trace(seed: int, options: argparse.Namespace) -> None:
    with MUTANTS[options.mutant].built_in() if options.mutant else nullcontext():
        for line in simulate(seed, options.workers, traced=True).trace:
            print(line)


if __name__ == "__main__":
    sys.exit(main())
