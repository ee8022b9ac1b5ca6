"""Times, and how they are printed."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from statistics import quantiles
from typing import IO, NamedTuple

import orjson


class Took(NamedTuple):
    """Seconds that something took."""

    processor_s: float
    """Of all threads of this process."""
    elapsed_s: float


def timed(work: Callable[[], object]) -> Took:
    """Do it once."""
    processor_s, elapsed_s = time.process_time(), time.perf_counter()
    work()
    return Took(time.process_time() - processor_s, time.perf_counter() - elapsed_s)


def best_of(rounds: int, *works: Callable[[], object]) -> Iterator[float]:
    """The least processor time of each, in seconds; they take turns, so that noise hits all."""
    best = [float("inf")] * len(works)
    for _ in range(rounds):
        for number, work in enumerate(works):
            best[number] = min(best[number], timed(work).processor_s)
    yield from best


def processor_s(pid: int) -> float:
    """The processor time that a process has taken so far, where the system tells it; else 0."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return 0.0
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Ran(NamedTuple):
    """What a process printed, and what it took."""

    out: bytes
    """Empty if it was written elsewhere."""
    took: Took
    max_mb: float
    """Its largest resident memory."""


def run_python(
    *arguments: str, stdin: IO[bytes] | None = None, stdout: IO[bytes] | None = None
) -> Ran:
    """Run a process of this Python to its end. Ends the measurement if it fails."""
    started_s = time.perf_counter()
    command = [sys.executable, *arguments]
    with subprocess.Popen(command, stdin=stdin, stdout=stdout or subprocess.PIPE) as process:
        out = process.stdout.read() if process.stdout else b""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{arguments[:3]} failed: the figures would mean nothing")
    took = Took(usage.ru_utime + usage.ru_stime, time.perf_counter() - started_s)
    return Ran(out, took, usage.ru_maxrss * 1024 / 1e6)


def percentiles(seconds: Sequence[float]) -> tuple[float, float]:
    """p50 and p99, in seconds."""
    cut = quantiles(seconds, n=100)
    return cut[49], cut[98]


def markdown(header: str, rows: Iterable[Sequence[object]], left: int = 1) -> str:
    """A table whose first `left` columns hold words and the others figures."""
    columns = header.count("|") + 1
    lines = [f"| {header} |", "|" + "---|" * left + "--:|" * (columns - left)]
    return "\n".join([*lines, *(f"| {' | '.join(map(str, row))} |" for row in rows)])


def machine() -> str:
    """What the figures were measured on, in one line."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return (
        f"{(models or [platform.processor()])[0] or 'unknown processor'}, {os.cpu_count()} cores, "
        f"{platform.system()}, Python {platform.python_version()}, orjson {orjson.__version__}"
    )
