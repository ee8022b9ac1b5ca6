"""How much processor time each package takes in one event.

    python -m bench.event [events]

Appends to a blob on Azurite, one event each, under Python's profiler, with the threads that send.
Time spent waiting for an answer does not count, and what compiled functions take counts for the
package that calls them. A profiler makes calls dearer than they are, so only the shares are its
own: the milliseconds are those shares of what an event takes without it, in the same run.
"""

from __future__ import annotations

import cProfile
import sys
import sysconfig
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench.harness.azurite import GrowingBlob, service_of
from bench.harness.figures import machine, markdown, timed
from bench.harness.logs import blob_of, blob_ref, entries_of, interface_of, parse_and_pack
from flowlog_core.demo.azurite import running_azurite
from flowlog_core.testing.generate import Format

ROOT = Path(__file__).resolve().parents[1]
FORM: Format = "nsg2"
TUPLES = 100
WARM_UP = 20
LEAST_SHARE = 0.02


class Profiles:
    """Profiles processor time: of this thread while `here` is on, of later threads always."""

    def __init__(self) -> None:
        self.here = cProfile.Profile(time.thread_time)
        self._all = [self.here]

    def __enter__(self) -> Profiles:
        threading.setprofile(self._begin)
        return self

    def _begin(self, *_: object) -> None:
        profile = cProfile.Profile(time.thread_time)
        self._all.append(profile)
        profile.enable()

    def __exit__(self, *_: object) -> None:
        threading.setprofile(None)

    def seconds_by_package(self) -> dict[str, float]:
        """What each package took; to be asked when those threads have ended."""
        seconds: dict[str, float] = defaultdict(float)
        for entry in (entry for profile in self._all for entry in profile.getstats()):
            if not isinstance(entry.code, str):  # a compiled function's name: see its callers
                compiled = [one for one in entry.calls or () if isinstance(one.code, str)]
                own_s = entry.inlinetime + sum(one.inlinetime for one in compiled)
                seconds[package_of(Path(entry.code.co_filename))] += own_s
        return seconds


def package_of(file: Path) -> str:
    """Whose code a file is: Flowlog's, an installed package's, or Python's own."""
    installed = Path(sysconfig.get_path("purelib"))
    if file.is_relative_to(installed):
        parts = file.relative_to(installed).parts
        return ".".join(parts[: 1 + (parts[0] == "azure") + (parts[:2] == ("azure", "storage"))])
    if file.is_relative_to(ROOT):
        return "flowlog_core"
    return f"Python: {file.parent.name if file.parent.name in PYTHON_PARTS else 'other'}"


PYTHON_PARTS = {"http", "email", "json", "xml", "etree", "logging", "concurrent", "urllib"}


def appended(count: int) -> Iterator[tuple[int, GrowingBlob]]:
    """A blob of an Azurite of its own, so many times, each time with something new to ingest."""
    with running_azurite() as azurite:
        service = service_of(azurite.connection_string)
        blob = GrowingBlob(service, FORM)
        for number in range(count):
            blob.append(TUPLES)
            yield number, blob
        blob.close()
        service.close()


def processor_s_an_event(count: int) -> tuple[float, float]:
    """Of an event, and of parsing and packing as much as it forwards, without a profiler."""
    event_s = pure_s = 0.0
    ref = blob_ref(interface_of(FORM))
    entries = [blob_of([raw]) for raw in entries_of(FORM, TUPLES, (WARM_UP + count) * TUPLES)]
    for number, blob in appended(WARM_UP + count):
        ingested = timed(blob.ingest)
        packed = timed(partial(parse_and_pack, entries[number], ref))
        if number >= WARM_UP:
            event_s += ingested.processor_s
            pure_s += packed.processor_s
    return event_s / count, pure_s / count


def profiled(count: int) -> dict[str, float]:
    """Under the profiler: seconds by package."""
    with Profiles() as profiles:
        for _, blob in appended(WARM_UP + count):
            profiles.here.enable()
            blob.ingest()
            profiles.here.disable()
    return profiles.seconds_by_package()


def main(count: int = 300) -> None:
    """Print the table."""
    print(f"## One event of {TUPLES} tuples\n\n{machine()}; Azurite on the same machine\n")
    event_ms, pure_ms = (seconds * 1e3 for seconds in processor_s_an_event(count))
    seconds = profiled(count)
    whole = sum(seconds.values())
    rows = [
        (package, f"{own_s / whole:.0%}", f"{own_s / whole * event_ms:.1f}")
        for package, own_s in sorted(seconds.items(), key=lambda item: -item[1])
        if own_s / whole >= LEAST_SHARE
    ]
    print(markdown("package | share | ms", [*rows, ("**together**", "", f"{event_ms:.1f}")]))
    print(f"\nParsing and packing by themselves: {pure_ms:.2f} ms, {pure_ms / event_ms:.1%}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
