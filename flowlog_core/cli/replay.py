"""Send again what was forwarded, with the same ids and the same content.

A consumer that keys records by id sees no difference. The command reads each log from
its beginning to the offset of the app, and never writes the app's checkpoints. It skips
and names a log that was rewritten after it was forwarded. It makes no dead letters. The
content is the same only with the same encoding, rules, fields and schema; the command
prints those it uses.

--to queue, table or eventhub sends to the app's sink, after a question. --to FILE and
--to - write NDJSON, one record per line. Stop it with Ctrl-C; the same command
continues, after a crash too, because its cursor is a file. --to - keeps no cursor.

Exit code: 0 everything was sent; 1 a log could not be sent, or it was stopped; 2 wrong
usage, or the question was not answered with yes.

Examples:
  flowlog replay --since 2026-01-31T09 --until 2026-01-31T10 --to queue
  flowlog replay --since 24h --resource web-1-nsg --to flows.ndjson
  flowlog replay --since 2h --to - | jq .src_ip
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

from flowlog_core.blob import digest
from flowlog_core.cli.environment import add_settings_argument, environment_of, log_to_stderr
from flowlog_core.cli.options import SINK_OR_FILE, SINKS, shows_progress
from flowlog_core.cli.progress import TransferProgress, line_above_logs
from flowlog_core.cli.selecting import (
    add_selection_arguments,
    form_of,
    hours_of,
    selection_of,
    what_failed,
)
from flowlog_core.cli.signals import stopped_by_signals
from flowlog_core.cli.summary import sink_of
from flowlog_core.cli.terminal import ProgressLine
from flowlog_core.cli.words import how_many, in_bytes, joined_counts
from flowlog_core.config.settings import Settings
from flowlog_core.errors import FlowlogError, SettingsError
from flowlog_core.operate.record_file import RecordFile
from flowlog_core.operate.replay import Replay, ReplayReport, plan_replay, run_replay
from flowlog_core.operate.replay_cursor import BadCursor, CursorFile, ReplayCursor, named_in_errors
from flowlog_core.operate.selection import LogSelection
from flowlog_core.service import Service


class _UsageError(Exception):
    """Exit code 2; the text says why."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `flowlog replay`."""
    add_settings_argument(parser)
    add_selection_arguments(parser)
    parser.add_argument(
        "--to",
        required=True,
        type=_target,
        metavar=SINK_OR_FILE,
        help="queue, table or eventhub: the app's; or a file; or - for standard output",
    )
    parser.add_argument("--yes", action="store_true", help="send to the sink without asking")
    parser.add_argument(
        "--cursor",
        metavar="FILE",
        help="where to keep how far it has come (default: a file under ~/.local/state/flowlog "
        "that is named for what was asked)",
    )
    parser.add_argument(
        "--restart",
        action="store_true",
        help="start from the beginning, wherever an earlier run ended",
    )


def _target(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("it names no sink and no file")
    return text


def run(options: argparse.Namespace) -> int:
    """Send it. Returns the exit code."""
    log_to_stderr(options, default=logging.WARNING)
    try:
        settings = _settings_of(options)
    except (SettingsError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    service = Service(settings)
    try:
        with stopped_by_signals("Stopping. Run the same command again to continue.") as stop:
            return _Command(options, settings, service, stop).run()
    except (_UsageError, BadCursor) as error:
        print(f"flowlog replay: {error}", file=sys.stderr)
        return 2
    except FlowlogError as error:
        print(f"flowlog replay: {what_failed(error, options, service)}", file=sys.stderr)
        if options.to != "-":
            print("Run the same command again to continue.", file=sys.stderr)
        return 1
    finally:
        service.close()


def _settings_of(options: argparse.Namespace) -> Settings:
    """The app's settings, with the sink that was asked for."""
    environment = environment_of(options)
    if options.to in SINKS:
        environment["FLOWLOG_SINK"] = options.to
    return Settings.from_environment(environment)


class _Command:
    """One run of the command."""

    def __init__(
        self,
        options: argparse.Namespace,
        settings: Settings,
        service: Service,
        stop: threading.Event,
    ) -> None:
        self._options, self._settings, self._service = options, settings, service
        self._stop = stop
        self._has_cursor = options.to != "-"
        self._owns_output = False  # whether an earlier run wrote the file
        path = Path(options.cursor) if options.cursor else _default_cursor(options, service)
        self._file = CursorFile(path)

    def run(self) -> int:
        if not self._has_cursor:
            return self._run(self._begin())
        with self._file.locked():
            stored = self._file.load()
            self._owns_output = stored is not None
            if self._options.restart:
                self._file.remove()
                stored = None
            cursor = stored or self._begin()
            form = form_of(self._settings)
            if stored and stored.form != form:
                raise _UsageError(
                    f"this replay began with {stored.form}, and the settings are now {form}. "
                    "Set them back, or begin again with --restart"
                )
            if stored and stored.counts.entries:
                self._say(
                    f"Continuing where an earlier run ended, after {self._sent(stored)}. "
                    "--restart begins again."
                )
            return self._run(cursor)

    def _begin(self) -> ReplayCursor:
        try:
            selection = selection_of(self._options, self._service)
        except ValueError as error:
            raise _UsageError(str(error)) from None
        return ReplayCursor(selection.since, selection.until, form_of(self._settings))

    def _run(self, cursor: ReplayCursor) -> int:
        selection = self._selection(cursor)
        service = self._service
        with (
            line_above_logs(ProgressLine(is_wanted=shows_progress(self._options))) as line,
            self._output(cursor) as output,
        ):
            pipeline, sink = service.pipeline, service.pipeline.sink
            if output is not None:
                sink = RecordFile(output, sink)
                # No message around the lines names the blob that an id begins with.
                pipeline = replace(pipeline, shaper=replace(pipeline.shaper, names_blob=False))
            replay = Replay(
                service.blobs, pipeline.checkpoints, pipeline, service.containers, selection, sink
            )
            line.show("Listing …")
            found = plan_replay(replay)
            line.clear()
            if not found.blobs:
                what = "Nothing was forwarded" if found.logs else "No such flow logs"
                self._say(f"{what} in {hours_of(selection)}.")
                return 0
            self._say(
                f"{how_many(found.blobs, 'blob')} with {in_bytes(found.forwarded_bytes)} that were "
                f"forwarded in {hours_of(selection)}, to {self._whither()}.\n"
                f"With these settings: {form_of(self._settings)}."
            )
            if self._options.to in SINKS and not self._may_send():
                raise _UsageError("nothing was sent")
            if self._has_cursor:
                self._file.save(cursor)  # so that a file that is begun is known as its own
            progress = TransferProgress(line, found.blobs, found.forwarded_bytes)
            progress.go_on_from(cursor.counts.blobs, cursor.counts.read_bytes)

            def save(now: ReplayCursor) -> None:
                if not self._has_cursor:
                    return
                if output is not None:
                    os.fsync(output.fileno())
                    now = replace(now, output_bytes=output.tell())
                self._file.save(now)

            report = run_replay(replay, cursor, save, progress, self._stop)
        return self._end(report)

    def _end(self, report: ReplayReport) -> int:
        if report.is_whole:
            if self._has_cursor:
                self._file.remove()
            self._say(f"Sent again: {self._sent(report.cursor)}.")
        else:
            self._say(f"Stopped after {self._sent(report.cursor)}. The same command continues.")
        skipped = report.cursor.counts.skipped
        if skipped:
            self._say(
                f"{how_many(skipped, 'log')} could not be sent again, named above and by the runs "
                "before this one."
            )
        return 0 if report.is_whole and not skipped else 1

    def _selection(self, cursor: ReplayCursor) -> LogSelection:
        """What was asked for, in the hours that it had when it began."""
        given = argparse.Namespace(
            **{**vars(self._options), "since": cursor.since, "until": cursor.until}
        )
        try:
            return selection_of(given, self._service)
        except ValueError as error:
            raise _UsageError(str(error)) from None

    @contextmanager
    def _output(self, cursor: ReplayCursor) -> Iterator[IO[bytes] | None]:
        """The file that records are written to, cut to what the cursor knows of."""
        to = self._options.to
        if to in SINKS:
            yield None
        elif to == "-":
            yield sys.stdout.buffer
        else:
            path = Path(to)
            if path.exists() and path.stat().st_size and not self._owns_output:
                raise _UsageError(f"{to} exists already. Name another file, or remove it first")
            if cursor.output_bytes and not path.exists():
                raise _UsageError(
                    f"{to} is gone, and an earlier run wrote to it. Begin again with --restart"
                )
            mode = "r+b" if path.exists() else "xb"
            with named_in_errors(path), path.open(mode) as file:
                file.truncate(cursor.output_bytes)
                file.seek(cursor.output_bytes)
                yield file

    def _whither(self) -> str:
        to = self._options.to
        if to in SINKS:
            return sink_of(self._settings)
        return "standard output" if to == "-" else f"file {to}"

    def _may_send(self) -> bool:
        if self._options.yes:
            return True
        if not sys.stdin.isatty():
            raise _UsageError(
                "sending to the sink needs a yes, and there is no terminal to ask. Use --yes"
            )
        print(
            "Consumers get these records again: those that key them by id see no difference.\n"
            "Send them? [y/N] ",
            end="",
            file=sys.stderr,
            flush=True,
        )
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    def _sent(self, cursor: ReplayCursor) -> str:
        counts = cursor.counts
        call = ("message", "messages") if self._options.to == "queue" else ("batch", "batches")
        told = joined_counts(
            (counts.entries, "entry", "entries"),
            (counts.records, "record", "records"),
            (counts.messages if self._options.to in SINKS else 0, *call),
        )
        return how_many(counts.blobs, "blob") + (f", {told}" if told else "")

    def _say(self, text: str) -> None:
        if not self._options.quiet:
            print(text, file=sys.stderr, flush=True)


def _default_cursor(options: argparse.Namespace, service: Service) -> Path:
    """A file that is named for what was asked, of which app, and whither."""
    settings = service.settings
    to = options.to if options.to in SINKS else str(Path(options.to).absolute())
    checkpoints = service.clients.blobs(settings.state).url, settings.checkpoint_table
    asked = [
        *(getattr(options, name, "") for name in ("since_text", "until_text")),
        *(options.source, options.resource, options.mac, to, *checkpoints),
        *("/".join(container) for container in service.containers),
    ]
    home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return home / "flowlog" / f"replay-{digest(json.dumps(asked), digest_bytes=8)}.json"
