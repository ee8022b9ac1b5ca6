"""Show whether forwarding keeps up: what is behind, what fails, and since when.

Reads listings, checkpoints, queues and dead letters of each source and resource, and changes
nothing. The lag is the age of the oldest committed byte that is not forwarded. It is an upper
bound, too long by less than the time between two commits to a blob. Reasons are those of the 100
newest dead letters. Settings come from the environment, see docs/settings.md. docs/operations.md
explains what to do.

Exit code: 0 keeps up; 1 behind by more than --max-lag; 2 unknown: something could not be read.

Examples:
  flowlog status --settings local.settings.json
  flowlog status --watch --since 2h
  flowlog status --output json | jq .totals
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time

from flowlog_core.cli.environment import add_settings_argument, service_of, settings_of
from flowlog_core.cli.options import (
    add_interval_argument,
    add_output_argument,
    add_range_arguments,
    duration_argument,
)
from flowlog_core.cli.status_screen import status_to_json, write_status
from flowlog_core.cli.terminal import AsTerminal, can_draw, screenful
from flowlog_core.config.settings import Settings
from flowlog_core.doctor.endpoints import Endpoints
from flowlog_core.doctor.explain_error import explained
from flowlog_core.doctor.installation import IMPATIENT
from flowlog_core.operate.letters import BlobLetters
from flowlog_core.operate.look import Sight, look
from flowlog_core.operate.passes import TablePasses
from flowlog_core.operate.status import Status
from flowlog_core.service import Service
from flowlog_core.sinks.depth import depth_of
from flowlog_core.storage.clients import Clients

EXIT_BEHIND, EXIT_CANNOT_TELL = 1, 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `flowlog status`."""
    add_settings_argument(parser)
    add_range_arguments(parser, "only hours from this time on", "", " (default: all hours)")
    parser.add_argument(
        "--max-lag",
        type=duration_argument(),
        default=600.0,
        metavar="TIME",
        help="exit with 1 if the lag is longer: 0s, 90s, 10m, 2h (default 10m)",
    )
    parser.add_argument(
        "--watch", action="store_true", help="show the status again and again, until Ctrl-C"
    )
    add_interval_argument(parser, 5.0, "with --watch: the time between two refreshes")
    add_output_argument(parser, "table", ("table", "json"))


def run(options: argparse.Namespace) -> int:
    """Look and print, once or until stopped. Returns the exit code."""
    settings = settings_of(options)
    if settings is None:
        return 2
    service = service_of(settings, Clients(settings, IMPATIENT))
    if service is None:
        return 2
    try:
        sight = sight_of(settings, service)
        since = options.since and options.since.replace(minute=0, second=0, microsecond=0)
        while True:
            status = look(sight, since)
            _show(status, options)
            if not options.watch:
                return exit_code(status, options.max_lag)
            time.sleep(options.interval_s)
    finally:
        service.close()


def sight_of(settings: Settings, service: Service) -> Sight:
    """What there is to look at of an installation."""
    clients = service.clients
    letters = clients.blobs(settings.state).get_container_client(settings.dead_letter_container)
    queues = clients.record_queues() if settings.sink == "queue" else []
    endpoints = Endpoints.of(settings, clients).all()
    return Sight(
        service.containers,
        service.blobs,
        service.pipeline.checkpoints,
        TablePasses.of(service),
        BlobLetters(letters),
        [lambda queue=queue: depth_of(queue) for queue in queues],  # type: ignore[misc]
        lambda error: explained(error, endpoints),
    )


def exit_code(status: Status, max_lag_s: float) -> int:
    """The exit code: 0 keeps up, 1 behind, 2 unknown."""
    lag_s = status.totals.lag_s
    if status.unknown or lag_s is None:
        return EXIT_CANNOT_TELL
    return EXIT_BEHIND if lag_s > max_lag_s else 0


def _show(status: Status, options: argparse.Namespace) -> None:
    out = sys.stdout
    if options.output != "table":
        out.write(f"{status_to_json(status)}\n")
    elif options.watch and can_draw(out):
        screen = AsTerminal()
        write_status(status, screen)
        out.write(screenful(screen.getvalue(), shutil.get_terminal_size()))
    else:
        write_status(status, out)
        out.write("\n" if options.watch else "")
    out.flush()
