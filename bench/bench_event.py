"""Where the processor's time goes in one event, package by package.

    python -m bench.bench_event [events]

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
from pathlib import Path

from bench.measuring import HOUR, interface_of, machine
from flowlog_core.demo.azurite import Azurite, running_azurite
from flowlog_core.service import Service
from flowlog_core.settings import Settings
from flowlog_core.testing.generate import FlowLogGenerator, Format
from flowlog_core.testing.network_watcher import NetworkWatcherWriter

ROOT = Path(__file__).resolve().parents[1]
FORM: Format = "nsg2"
TUPLES = 100  # three messages
EVENTS = 300
WARM_UP = 20
LEAST_SHARE = 0.02


class Profiles:
    """Profiles by processor time: of this thread as `here` is told to, of later threads always."""

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


class GrowingBlob:
    """A blob on Azurite, and a service that ingests what is appended to it."""

    def __init__(self, azurite: Azurite) -> None:
        connection = azurite.connection_string
        settings = Settings.from_environment(
            {"FlowLogs": connection, "AzureWebJobsStorage": connection}
        )
        self.service = Service(settings)
        self._generator, self._interface = FlowLogGenerator(1), interface_of(FORM)
        self._container, self._name = settings.nsg_container, self._interface.blob_name(HOUR)
        source = self.service.clients.blobs(settings.sources[0])
        container = source.create_container(self._container)
        self._writer = NetworkWatcherWriter(container.get_blob_client(self._name))

    def append(self) -> None:
        """Append an entry."""
        self._writer.append(self._generator.entry(FORM, self._interface, HOUR, TUPLES))

    def ingest(self) -> None:
        """What an event does."""
        outcome = self.service.ingest_named("FlowLogs", self._container, self._name)
        if outcome is None or outcome.records != TUPLES:
            raise SystemExit("an append did not arrive: the figures would mean nothing")


def processor_s_an_event(count: int) -> float:
    """Without a profiler."""
    took_s = 0.0
    with running_azurite() as azurite:
        blob = GrowingBlob(azurite)
        for number in range(WARM_UP + count):
            blob.append()
            started_s = time.process_time()
            blob.ingest()
            took_s += time.process_time() - started_s if number >= WARM_UP else 0
        blob.service.close()
    return took_s / count


def profiled(count: int) -> dict[str, float]:
    """Under the profiler: seconds by package."""
    with running_azurite() as azurite, Profiles() as profiles:
        blob = GrowingBlob(azurite)
        for _ in range(WARM_UP + count):
            blob.append()
            profiles.here.enable()
            blob.ingest()
            profiles.here.disable()
        blob.service.close()
    return profiles.seconds_by_package()


def main() -> None:
    """Print the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else EVENTS
    print(f"## One event of {TUPLES} tuples\n\n{machine()}; Azurite on the same machine\n")
    event_ms = processor_s_an_event(count) * 1e3
    seconds = profiled(count)
    whole = sum(seconds.values())
    print("| package | share | ms |\n|---|--:|--:|")
    for package, own_s in sorted(seconds.items(), key=lambda item: -item[1]):
        if own_s / whole >= LEAST_SHARE:
            print(f"| {package} | {own_s / whole:.0%} | {own_s / whole * event_ms:.1f} |")
    print(f"| **together** | | {event_ms:.1f} |")


if __name__ == "__main__":
    main()
