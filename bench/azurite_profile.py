"""Where Azurite's time goes while the sinks send: why several calls at a time gain little there.

    python -m bench.azurite_profile

For each way to send, once one call at a time and once several, an Azurite of its own runs with the
CPU profiler of Node.js on, which notes about every millisecond what Azurite's one thread does.
Printed is the share of the time in which that thread was busy, and what it was busy with. To the
profiler a thread that waits for a core is busy; Linux tells how long it ran and how long it waited,
and that stands beside it, as does the processor time of the sending process. The profiler takes
time itself, so the rates are below those of bench_latency. Last, without the profiler: how long a
batch of rows takes, by how many there are. Needs the signal SIGUSR2, so not Windows.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch
from urllib.parse import quote

from bench.bench_latency import KINDS, SENT_TUPLES, Kind, records_of
from bench.growing import service_of
from bench.measuring import machine
from bench.node_profile import OTHER, Shares, shares_of
from flowlog_core.demo.azurite import Azurite, running_azurite
from flowlog_core.sinks.parallel import Parallel

# Node.js takes no --cpu-prof from NODE_OPTIONS. At SIGUSR2 the profile is written whole.
PROFILER = """
import {Session} from 'node:inspector';
import {renameSync, writeFileSync} from 'node:fs';
const file = FILE, session = new Session();
session.connect();
session.post('Profiler.enable');
session.post('Profiler.start');
process.once('SIGUSR2', () => session.post('Profiler.stop', (error, {profile}) => {
  writeFileSync(file + '.part', JSON.stringify(profile));
  renameSync(file + '.part', file);
}));
"""
PROFILE_WITHIN_S = 30.0
TOP_FUNCTIONS = 5
PARTS = 5
AREAS = (
    ("database (LokiJS)", r"lokijs/"),
    ("signatures and hashes", r"azurite/.*/authentication/|node:(internal/)?crypto"),
    ("logging", r"azurite/.*/[Ll]ogger|winston|logform/|triple-beam/|morgan/"),
    ("Azurite's tables", r"azurite/dist/src/table/"),
    ("Azurite's queues", r"azurite/dist/src/queue/"),
    ("Azurite's common code", r"azurite/"),
    ("XML", r"sax/|xml2js/|xmlbuilder/|@azure/ms-rest-js/"),
    ("HTTP: Express", r"express/|qs/|body-parser/|finalhandler/|proxy-addr/|uri-templates/|etag/"),
    ("HTTP: Node.js", r"node:(_http|_stream|net|stream|internal/(stream|js_stream|http|net))"),
    ("events, timers, buffers", r"node:(events|buffer|timers|async_hooks|internal/)"),
)


class Run(NamedTuple):
    """One profile, and what was seen from outside meanwhile, as shares of the time."""

    shares: Shares
    calls_per_s: float
    running: float
    waiting: float
    ours: float


def ran_and_waited_s(pid: int) -> tuple[float, float]:
    """How long a process's first thread ran and waited for a core, where Linux tells it; else 0."""
    file = Path(f"/proc/{pid}/schedstat")
    ran_ns, waited_ns, *_ = file.read_text().split() if file.exists() else ("0", "0")
    return int(ran_ns) / 1e9, int(waited_ns) / 1e9


def messages_of(sink: Any, hours: int = 1) -> list[Any]:
    """All that there is to send."""
    entries = records_of(SENT_TUPLES, hours)
    return [message for entry in entries for message in sink.pack(entry).messages]


@contextmanager
def ready_to_send(kind: Kind, in_flight: int) -> Iterator[tuple[Azurite, Any]]:
    """An Azurite of its own and a sink that sends to it this way."""
    with (
        running_azurite() as azurite,
        closing(service_of(azurite.connection_string)) as service,
        closing(Parallel(in_flight)) as parallel,
    ):
        yield azurite, kind.make(service, parallel, "bench")


def written_profile(pid: int, file: Path) -> dict[str, Any]:
    """What the profiler has noted so far."""
    os.kill(pid, signal.SIGUSR2)
    give_up_at = time.monotonic() + PROFILE_WITHIN_S
    while not file.exists():
        if time.monotonic() > give_up_at:
            raise SystemExit("Azurite wrote no profile")
        time.sleep(0.02)
    profile: dict[str, Any] = json.loads(file.read_bytes())
    return profile


def profiled(kind: Kind, in_flight: int) -> Run:
    """Send this way, and look at Azurite from inside and from outside."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "azurite.cpuprofile")
        script = quote(PROFILER.replace("FILE", json.dumps(str(file))))
        options = f"{os.environ.get('NODE_OPTIONS', '')} --import=data:text/javascript,{script}"
        with (
            patch.dict(os.environ, NODE_OPTIONS=options),
            ready_to_send(kind, in_flight) as (azurite, sink),
        ):
            messages = messages_of(sink, kind.hours)[: kind.most_calls]
            sink.send(messages[:in_flight])  # opens the connections
            before = time.perf_counter(), time.process_time(), *ran_and_waited_s(azurite.pid)
            calls = sum(sink.send(messages) for _ in range(kind.rounds))
            after = time.perf_counter(), time.process_time(), *ran_and_waited_s(azurite.pid)
            profile = written_profile(azurite.pid, file)
    seconds, ours_s, ran_s, waited_s = (b - a for a, b in zip(before, after, strict=True))
    # The profiler's clock is the system's monotonic one, as perf_counter is.
    shares = shares_of(profile, AREAS, before[0] * 1e6, after[0] * 1e6)
    return Run(shares, calls / seconds, ran_s / seconds, waited_s / seconds, ours_s / seconds)


def batch_ms(*, spread: bool) -> list[float]:
    """How long a batch of rows takes in each part of the sending, one partition or one a batch."""
    took_ms = []
    with ready_to_send(KINDS[-1], 1) as (_, sink):
        batches = messages_of(sink)
        for number, batch in enumerate(batches if spread else ()):
            for row in batch.rows:
                row["PartitionKey"] += f"|{number:03}"
        in_part = len(batches) // PARTS
        for first in range(0, len(batches), in_part):
            started = time.perf_counter()
            sink.send(batches[first : first + in_part])
            took_ms.append((time.perf_counter() - started) * 1e3 / in_part)
    return took_ms


def main() -> None:
    """Print all."""
    print(f"## What Azurite does while it is sent to\n\n{machine()}\n")
    print("| sink | calls at a time | calls | busy | running | waiting for a core | our process |")
    print("|---|---|---|---|---|---|---|")
    several: dict[str, Shares] = {}
    for kind in KINDS:
        for in_flight in (1, kind.several):
            run = profiled(kind, in_flight)
            several[kind.name] = run.shares
            seen = (run.shares.busy, run.running, run.waiting, run.ours)
            shares = " | ".join(f"{share:.0%}" for share in seen)
            print(f"| {kind.name} | {in_flight} | {run.calls_per_s:.1f}/s | {shares} |", flush=True)
    print("\n### Of the busy time, several calls at a time\n")
    print(f"| area | {' | '.join(several)} |\n|---|{'---|' * len(several)}")
    for area in (*(area for area, _ in AREAS), "(garbage collector)", "(program)", OTHER):
        row = " | ".join(f"{shares.areas.get(area, 0):.1%}" for shares in several.values())
        print(f"| {area} | {row} |")
    print("\n| sink | function | file | share |\n|---|---|---|---|")
    for name, shares_ in several.items():
        for (function, file), share in list(shares_.functions.items())[:TOP_FUNCTIONS]:
            where = f"`{file}`" if file else ""
            print(f"| {name} | `{function}` | {where} | {share:.1%} |")
    print("\n| rows in the table | a batch, one partition for all | a partition for each batch |")
    print("|---|---|---|")
    took_ms = zip(batch_ms(spread=False), batch_ms(spread=True), strict=True)
    for part, (one, each) in enumerate(took_ms, start=1):
        rows = SENT_TUPLES * part // PARTS
        print(f"| up to {rows:,} | {one:.0f} ms | {each:.0f} ms |")


if __name__ == "__main__":
    main()
