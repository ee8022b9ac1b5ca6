"""Run Flowlog without a cloud account: flow logs grow, Flowlog forwards, every tuple is checked.

Starts Azurite, Microsoft's storage emulator. Simulated network interfaces write flow logs to it as
Azure's Network Watcher does, but faster: each append, about every second, has a minute of traffic.
Each append raises an event; some events arrive twice at the same time, or late. The service that
runs in Azure Functions forwards new records to a queue, and a consumer receives them.

The demo runs until Ctrl-C, or for the given time. Then it waits for unfinished work and compares
what was written with what was received, tuple by tuple and field by field. The exit code is 0 if
each tuple was received exactly once, else 1. Azurite keeps all data in memory, so nothing remains.
The demo reads one setting, FLOWLOG_SHARDS: the number of queues.

Examples:
  flowlog demo
  flowlog demo --for 20s --interfaces 8 --appends-per-s 3
  flowlog demo --seed --settings local.settings.sample.json  # sample logs only
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from azure.core.exceptions import AzureError

from flowlog_core.checkpoints.checkpoint import SEAM_BYTES
from flowlog_core.cli.environment import add_settings_argument, settings_of
from flowlog_core.cli.options import duration_argument, shows_progress
from flowlog_core.cli.signals import stopped_by_signals
from flowlog_core.demo.azurite import running_azurite
from flowlog_core.demo.display import FRAME_S, Display
from flowlog_core.demo.running import Running
from flowlog_core.demo.sample_logs import write_sample_logs
from flowlog_core.demo.scenario import Pace, flow_logs
from flowlog_core.demo.screen import Line, counts, facts
from flowlog_core.doctor.endpoints import Endpoints
from flowlog_core.doctor.explain_error import explained
from flowlog_core.errors import FlowlogError
from flowlog_core.storage.clients import Clients

_FINISH_WITHIN_S = 30.0
_WARNINGS_PRINTED = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `flowlog demo`."""
    parser.add_argument(
        "--for",
        dest="for_s",
        type=duration_argument(0.1),
        metavar="TIME",
        help="stop after a time, such as 20s or 5m (default: at Ctrl-C)",
    )
    parser.add_argument("--for-s", type=float, help=argparse.SUPPRESS)
    parser.add_argument(
        "--appends-per-s",
        type=_number(float, 0.01, 50),
        default=1.0,
        metavar="N",
        help="appends to each log per second (default 1)",
    )
    parser.add_argument(
        "--interfaces",
        type=_number(int, 1, 32),
        default=4,
        metavar="N",
        help="number of network interfaces, each with its own log (default 4)",
    )
    parser.add_argument(
        "--tuples",
        type=_number(int, 1, 400),
        default=20,
        metavar="N",
        help="maximum tuples in an entry; an append has one to three entries (default 20)",
    )
    parser.add_argument(
        "--seed",
        action="store_true",
        help="write sample logs of the last hours into the settings' first account, and exit",
    )
    parser.add_argument(
        "--hours",
        type=_number(int, 1, 48),
        default=2,
        metavar="N",
        help="with --seed: whole hours of logs to write (default 2)",
    )
    add_settings_argument(parser)
    parser.add_argument(
        "--random-seed",
        type=_number(int, 0, 1e9),
        default=1,
        metavar="N",
        help="seed of the generated traffic (default 1)",
    )


def _number(kind: Callable[[str], float], minimum: float, maximum: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        number = kind(text)
        if not minimum <= number <= maximum:
            raise argparse.ArgumentTypeError(f"must be between {minimum:g} and {maximum:g}")
        return number

    return parse


def run(options: argparse.Namespace) -> int:
    """Run the demo. Returns 0 if every tuple was received exactly once, else 1."""
    if options.seed:
        return _write_sample_logs(options)
    pace = Pace(
        first_hour=datetime.now(UTC).replace(minute=0, second=0, microsecond=0),
        appends_per_s=options.appends_per_s,
        max_tuples=options.tuples,
        seed=options.random_seed,
    )
    settings = {"FLOWLOG_SHARDS": os.environ.get("FLOWLOG_SHARDS", "")}
    with stopped_by_signals() as stop, _collected_warnings() as warnings:
        if shows_progress(options):
            print("Starting Azurite, Microsoft's storage emulator ...", flush=True)
        try:
            with (
                running_azurite() as azurite,
                Running(
                    azurite.connection_string, flow_logs(options.interfaces), pace, settings
                ) as running,
            ):
                finished = _watch(running, options, stop, warnings)
                ok = _report(running, warnings)
                if not finished:
                    print(f"Not everything was received within {_FINISH_WITHIN_S:g} s of the stop.")
                return 0 if ok and finished else 1
        except (FlowlogError, AzureError) as error:
            print(f"flowlog demo: {error}", file=sys.stderr)
            return 1
        finally:
            for warning in warnings[0 if options.verbose else -_WARNINGS_PRINTED :]:
                print(f"warning: {warning}", file=sys.stderr)


def _write_sample_logs(options: argparse.Namespace) -> int:
    """Write them, and say what to do next. Returns the exit code."""
    settings = settings_of(options)
    if settings is None:
        return 2
    clients = Clients(settings)
    source = settings.sources[0]
    try:
        written, existing = write_sample_logs(
            clients.blobs(source),
            settings,
            datetime.now(UTC),
            interfaces=options.interfaces,
            hours=options.hours,
            max_tuples=options.tuples,
            seed=options.random_seed,
        )
    except FlowlogError as error:
        explained_error = explained(error, Endpoints.of(settings, clients).all())
        print(f"flowlog demo: {explained_error}", file=sys.stderr)
        return 1
    finally:
        clients.close()
    print(*written, sep="\n")
    found = f", {len(existing)} exist already" if existing else ""
    print(f"Wrote {len(written)} sample logs into the account of {source.name}{found}.")
    print("Forward them with `flowlog run` or `func start`, and look with `flowlog tail`.")
    return 0


def _watch(
    running: Running, options: argparse.Namespace, stop: threading.Event, warnings: list[str]
) -> bool:
    """Show the demo until it has finished. Returns False if it did not finish in time."""
    plural = "s" if options.appends_per_s != 1 else ""
    doing = (
        f"{options.appends_per_s:g} append{plural} per second to each log. "
        "Ctrl-C stops it and checks every tuple."
    )
    until_s = running.elapsed_s + (options.for_s or float("inf"))
    with Display(is_wanted=shows_progress(options)) as display:
        while not stop.is_set() and running.elapsed_s < until_s:
            running.raise_if_broken()
            display.show(running.view(doing, warnings))
            stop.wait(min(FRAME_S, max(0.0, until_s - running.elapsed_s)))
        doing = "Stopped writing. Waiting until everything is received ..."
        return running.finish(_FINISH_WITHIN_S, lambda: display.show(running.view(doing, warnings)))


def _report(running: Running, warnings: list[str]) -> bool:
    """Print the final figures and the result of the check, and return that result."""
    view = running.view("", warnings)
    for line in [*counts(view, len(view.logs)), Line(""), *facts(view)]:
        print(line.text)
    verdict, stored = running.check(), running.blob_bytes()
    times = view.tally.new_bytes / stored if stored else 0.0
    print(
        f"stored     {stored:,} bytes of logs: read {times:.2f} times, plus up to {SEAM_BYTES} "
        "bytes each time a blob is read"
    )
    print()
    print(*verdict.lines(), sep="\n")
    return verdict.ok


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@contextmanager
def _collected_warnings() -> Iterator[list[str]]:
    """Collect warnings in a list: on standard error they would break the screen."""
    collector, root = _Collector(), logging.getLogger()
    root.addHandler(collector)
    try:
        yield collector.messages
    finally:
        root.removeHandler(collector)
