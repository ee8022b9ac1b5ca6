"""Forward logs of a time range that were never forwarded.

It uses the app's checkpoints, so it may run beside the app, and nothing that was
forwarded is sent again. Each log is forwarded to its end. Stop it with Ctrl-C at any
time; the same command continues.

With --dry-run it reads the logs, counts what would be sent, and sends nothing.

Exit code: 0 everything is forwarded; 1 something failed or is left; 2 wrong usage.

Examples:
  flowlog backfill --since 2026-01-31 --dry-run
  flowlog backfill --since 2026-01-31T09 --until 2026-01-31T12
  flowlog backfill --since 7d --resource 'web-*-nsg' --source FlowLogs
"""

from __future__ import annotations

import argparse
import logging
import sys
import threading

from flowlog_core.cli.environment import add_settings_argument, log_to_stderr, settings_of
from flowlog_core.cli.options import shows_progress
from flowlog_core.cli.progress import TransferProgress, line_above_logs
from flowlog_core.cli.selecting import (
    add_selection_arguments,
    hours_of,
    live_of,
    selection_of,
    what_failed,
)
from flowlog_core.cli.signals import stopped_by_signals
from flowlog_core.cli.summary import summary
from flowlog_core.cli.terminal import ProgressLine
from flowlog_core.cli.words import how_many, in_bytes, joined_counts
from flowlog_core.errors import FlowlogError
from flowlog_core.operate.backfill import Plan, backfill, forecast, plan
from flowlog_core.operate.selection import LogSelection
from flowlog_core.service import Service


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `flowlog backfill`."""
    add_settings_argument(parser)
    add_selection_arguments(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="count what would be sent and send nothing"
    )


def run(options: argparse.Namespace) -> int:
    """Forward what is behind. Returns the exit code."""
    settings = settings_of(options)
    if settings is None:
        return 2
    log_to_stderr(options, default=logging.WARNING)
    service = Service(settings)
    try:
        try:
            selection = selection_of(options, service)
        except ValueError as error:
            print(f"flowlog backfill: {error}", file=sys.stderr)
            return 2
        with stopped_by_signals("Stopping. What is under way is finished.") as stop:
            return _Backfill(options, service, selection, stop).run()
    except FlowlogError as error:
        print(f"flowlog backfill: {what_failed(error, options, service)}", file=sys.stderr)
        return 1
    finally:
        service.close()


class _Backfill:
    """One run of the command."""

    def __init__(
        self,
        options: argparse.Namespace,
        service: Service,
        selection: LogSelection,
        stop: threading.Event,
    ) -> None:
        self._options, self._live = options, live_of(service)
        self._selection, self._stop = selection, stop

    def run(self) -> int:
        with line_above_logs(ProgressLine(is_wanted=shows_progress(self._options))) as line:
            line.show("Listing …")
            found = plan(self._live, self._selection, self._live.now())
            line.clear()
            self._say(self._found(found))
            if not found.blobs:
                return 1 if found.archived else 0
            progress = TransferProgress(line, found.blobs, found.behind_bytes)
            if self._options.dry_run:
                return self._dry_run(found, progress)
            report = backfill(self._live, self._selection, progress, self._stop)
        if self._stop.is_set():
            self._say(f"Stopped: {summary(report)}. The same command continues.")
            return 1
        self._say(summary(report))
        left = report.failed + report.backing_off + report.left_to_others + report.archived
        return 1 if left else 0

    def _dry_run(self, found: Plan, progress: TransferProgress) -> int:
        counted = forecast(self._live, self._selection, progress, self._stop)
        if self._stop.is_set():
            self._say(f"Stopped after {counted.blobs:,} of {how_many(found.blobs, 'blob')}.")
            return 1
        others = joined_counts(
            (counted.dropped, "tuples are dropped by the rules"),
            (counted.dead_letters, "dead letters"),
        )
        print(
            f"Would forward {how_many(counted.blobs, 'blob')}, {in_bytes(counted.new_bytes)}: "
            f"{how_many(counted.records, 'tuple')} in {how_many(counted.messages, 'message')}"
            f"{others and '; '}{others}. Nothing was sent."
        )
        return 0

    def _found(self, found: Plan) -> str:
        archived = ""
        if found.archived:
            archived = (
                f" {how_many(found.archived, 'blob')} in the archive tier cannot be read and "
                "must be rehydrated first."
            )
        if not found.logs:
            return f"No such flow logs in {hours_of(self._selection)}."
        if not found.blobs:
            return f"Nothing is behind in {hours_of(self._selection)}.{archived}"
        return (
            f"{how_many(found.blobs, 'blob')} with {in_bytes(found.behind_bytes)} not forwarded "
            f"in {hours_of(self._selection)}.{archived}"
        )

    def _say(self, text: str) -> None:
        if not self._options.quiet:
            print(text, file=sys.stderr, flush=True)
