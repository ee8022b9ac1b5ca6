"""Shared by the measurements: timing in processor time, and generated logs."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from time import process_time

import orjson

from flowlog_core.testing.generate import FlowLogGenerator, Format, Interface, document

HOUR = datetime(2026, 1, 1, 7, tzinfo=UTC)
SHAPES: tuple[tuple[Format, int], ...] = tuple(
    (form, tuples) for form in ("nsg1", "nsg2", "vnet4") for tuples in (150, 1000)
)


def interface_of(form: Format, number: int = 1) -> Interface:
    """An interface that logs in this format."""
    return Interface.vnet(number) if form == "vnet4" else Interface.nsg(number)


def entries_of(form: Format, tuples: int, total_tuples: int) -> list[bytes]:
    """Entries of so many tuples each."""
    generator, interface = FlowLogGenerator(1), interface_of(form)
    count = total_tuples // tuples
    return [generator.entry(form, interface, HOUR, tuples).raw for _ in range(count)]


def blob_of(entries: list[bytes]) -> bytes:
    """A whole PT1H.json."""
    empty = document([])
    return empty[:-2] + b",".join(entries) + empty[-2:]


def best_of(rounds: int, *works: Callable[[], object]) -> Iterator[float]:
    """The least processor time of each, in seconds; they take turns, so that noise hits all."""
    best = [float("inf")] * len(works)
    for _ in range(rounds):
        for number, work in enumerate(works):
            started = process_time()
            work()
            best[number] = min(best[number], process_time() - started)
    yield from best


def machine() -> str:
    """What the figures were measured on, in one line."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        )
        if Path("/proc/cpuinfo").exists()
        else iter([platform.processor()]),
        "unknown processor",
    )
    return (
        f"{model}, {os.cpu_count()} cores, {platform.system()}, "
        f"Python {platform.python_version()}, orjson {orjson.__version__}"
    )
