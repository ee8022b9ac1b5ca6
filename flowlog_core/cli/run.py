"""Forward flow logs without the Functions host: list changed blobs, forward them, wait, repeat.

It uses the settings, checkpoints and code of the function app, so both may run at the
same time and nothing is forwarded twice. Settings come from the environment, see
docs/settings.md.

It forwards everything that is behind, however old. --once goes back only as far as the
sweep (FLOWLOG_SWEEP_HOURS) or to --since, and reports what older logs it left out.

Examples:
  flowlog run --settings local.settings.json
  flowlog run --once               # catch up, print a summary, exit
  flowlog run --once --since 2026-01-31
"""

from __future__ import annotations

import argparse
import logging
import math
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Protocol

from flowlog_core.blob import BlobRef
from flowlog_core.checkpoints.checkpoint import checkpoint_key
from flowlog_core.cli.environment import (
    add_settings_argument,
    environment_of,
    log_to_stderr,
    settings_of,
)
from flowlog_core.cli.options import add_interval_argument, add_range_arguments
from flowlog_core.cli.signals import stopped_by_signals
from flowlog_core.cli.summary import left_out, summary, watched
from flowlog_core.clock import Clock, SystemClock
from flowlog_core.config.checks import Facts, extras_are_installed, something_is_sent
from flowlog_core.config.settings import Settings
from flowlog_core.doctor.behind import (
    WHERE_FLOW_LOGS_ARE,
    failed_and_next,
    no_containers,
    not_flow_logs,
)
from flowlog_core.doctor.endpoints import Endpoints
from flowlog_core.doctor.explain_once import ExplainOnce
from flowlog_core.errors import FlowlogError
from flowlog_core.observe.otel import MetricsObserver
from flowlog_core.operate.asks_later import AsksLater
from flowlog_core.operate.catch_up import add_up, add_work, catch_up
from flowlog_core.outcome import Failed, Observers, Outcome
from flowlog_core.service import Service
from flowlog_core.sweep.behind import SETTLED_AFTER
from flowlog_core.sweep.report import MAX_NAMED, SweepReport

log = logging.getLogger(__name__)

_WHOLE_EVERY_S = 60
"""How often all hours are looked at if that takes longer than `_QUICK_S`, and how often it is kept,
for `flowlog status`, that they were."""
_QUICK_S = 2


class CatchUpOfService(Protocol):
    """`catch_up` of `operate`, for one service."""

    def __call__(
        self,
        stop: threading.Event,
        forward_since: datetime | None = None,
        *,
        look_since: datetime | None = None,
        waits_after_failures: bool = True,
        is_noted: bool = False,
    ) -> SweepReport:
        """See `catch_up`."""
        ...


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `flowlog run`."""
    add_settings_argument(parser)
    parser.add_argument(
        "--once",
        action="store_true",
        help="make one pass, then exit with 0, or with 1 if a blob failed",
    )
    add_interval_argument(parser, 5.0, "polling interval, such as 500ms or 1m")
    parser.add_argument("--interval-s", type=float, help=argparse.SUPPRESS)
    add_range_arguments(
        parser,
        since="forward only logs of the hours from this time on",
        until="",
        more=" (default with --once: FLOWLOG_SWEEP_HOURS ago)",
    )
    parser.add_argument(
        "--log",
        choices=("text", "json"),
        default="text",
        help="format of the log on standard error: text, or one JSON object per line",
    )
    parser.add_argument(
        "--heartbeat",
        type=Path,
        metavar="FILE",
        help="touch FILE after each pass over the accounts and after each blob, for a health check",
    )


def run(options: argparse.Namespace) -> int:
    """Run until stopped, or once. Returns the exit code."""
    settings = settings_of(options)
    if settings is None:
        return 2
    log_to_stderr(options, as_json=options.log == "json")
    facts = Facts(settings, environment_of(options))
    for finding in extras_are_installed(facts):
        log.warning("%s. Run: %s", finding.what, finding.to_do)
    for finding in something_is_sent(facts):
        log.warning("%s. %s", finding.what, finding.to_do)
    if settings.trigger_source == "EventQueue":
        log.warning(
            "flowlog run looks for changed blobs and reads no events. If no function app reads the "
            "queue %s, events pile up there: remove the event subscriptions, or set "
            "FLOWLOG_TRIGGER_SOURCE to Timer",
            settings.event_queue,
        )
    with stopped_by_signals() as stop:
        return _forward(options, settings, stop)


def _forward(options: argparse.Namespace, settings: Settings, stop: threading.Event) -> int:
    """Look and forward until `stop` is set, or once. Returns the exit code."""
    service = Service(settings, metrics=MetricsObserver.from_environment(os.environ))
    explain = ExplainOnce(Endpoints.of(settings, service.clients).all())
    logging.getLogger().addHandler(explain)  # behind the one that prints: the error comes first
    heartbeat = Heartbeat(options.heartbeat)
    observers = Observers(service.pipeline.observer, explain, heartbeat)
    service.pipeline = replace(service.pipeline, observer=observers)
    total = SweepReport()
    found: SweepReport | None = SweepReport()
    whole: SweepReport | None = None
    since = _since(options, settings)
    lister = AsksLater(service.blobs, SystemClock())
    looks = Looks(partial(catch_up, service, lister=lister), stop, since)
    teller = _Teller(options)
    teller.begin(f"Watching {watched(settings, service.containers)}. {_looks_back(since)}")
    threading.Thread(
        target=clean_up_daily, args=(service.remove_stale_checkpoints, stop), daemon=True
    ).start()
    try:
        while not stop.is_set():
            found = looks.next(is_whole=options.once)
            heartbeat.beat()
            if found is not None and looks.was_whole:
                whole = found
                _log_found(found, total)
                add_up(total, found)
            elif found is not None:
                log.log(logging.INFO if found.behind else logging.DEBUG, "%s", found)
                add_work(total, found)
            if options.once and (found is None or not found.forwarded + found.left_to_others):
                break
            teller.looked(found)
            if not options.once or (found and not found.forwarded):
                stop.wait(options.interval_s)  # what others have may take a while
        if found is not None and whole is not None:
            _name_still_behind(service, whole)
    finally:
        stop.set()
        logging.getLogger().removeHandler(explain)
        service.close()
    teller.end(total, has_looked=whole is not None)
    return 1 if options.once and (found is None or found.failed + found.backing_off) else 0


def clean_up_daily(clean_up: Callable[[threading.Event], int], stop: threading.Event) -> None:
    """Call `clean_up` an hour after the start and then once a day, until told to stop.

    As the function app's `cleanup` does. A process that is restarted all the time never gets to it.
    """
    wait_s = 3600
    while not stop.wait(wait_s):
        try:
            clean_up(stop)
        except FlowlogError as error:
            log.warning("cannot remove old checkpoints, tomorrow again: %s", error)
        wait_s = 24 * 3600


class Looks:
    """Looks at all hours, or only at the youngest if looking at all of them takes long.

    Azure writes only to the youngest hours. An account with the logs of weeks takes many calls.
    """

    def __init__(
        self,
        catch_up: CatchUpOfService,
        stop: threading.Event,
        forward_since: datetime | None,
        clock: Clock | None = None,
    ) -> None:
        self._catch_up, self._stop, self._since = catch_up, stop, forward_since
        self._clock = clock or SystemClock()
        self._took_s = 0.0
        self._began = self._noted = -math.inf
        self.was_whole = True
        """Whether the latest look was at all hours."""

    def next(self, *, is_whole: bool = False) -> SweepReport | None:
        """Look again, at all hours if `is_whole`; None, and why in the log, if that failed."""
        now = self._clock.monotonic()
        is_first = self._began == -math.inf
        long_ago = now - self._began >= _WHOLE_EVERY_S
        self.was_whole = is_whole or long_ago or self._took_s <= _QUICK_S
        is_noted = self.was_whole and (is_whole or now - self._noted >= _WHOLE_EVERY_S)
        if self.was_whole:
            self._began = now
        if is_noted:
            self._noted = now
        try:
            return self._catch_up(
                self._stop,
                self._since,
                look_since=None if self.was_whole else datetime.now(UTC) - SETTLED_AFTER,
                waits_after_failures=not is_first,  # somebody may have repaired it
                is_noted=is_noted,
            )
        except FlowlogError as error:
            log.warning("cannot look for what is behind: %s", error)
            return None
        finally:
            if self.was_whole:
                self._took_s = self._clock.monotonic() - now


class Heartbeat:
    """Touches a file whenever something was done; without a file, nothing."""

    def __init__(self, file: Path | None) -> None:
        self._file = file

    def beat(self) -> None:
        """Say that the process is alive and gets on."""
        if self._file is not None:
            self._file.touch()

    def done(self, blob: BlobRef, outcome: Outcome) -> None:  # noqa: ARG002 - as `Observer.done`
        """See `Observer.done`."""
        self.beat()

    def failed(self, blob: BlobRef, failed: Failed) -> None:  # noqa: ARG002 - as `Observer.failed`
        """See `Observer.failed`."""
        self.beat()


def _log_found(found: SweepReport, total: SweepReport) -> None:
    """Log what a look found, and what it cannot forward unless the looks before found it too."""
    if found.archived and found.archived != total.archived:
        log.warning("%s", found.archived_warning)
    if found.not_flow_logs and not total.not_flow_logs:
        others = not_flow_logs(found.not_flow_logs, found.not_flow_logs_example)
        log.warning("%s. %s", others, WHERE_FLOW_LOGS_ARE)
    # An account with logs of one kind has one of its two containers.
    accounts = Counter(one.partition("/")[0] for one in found.missing)
    without = [one for one in found.missing if accounts[one.partition("/")[0]] > 1]
    if without and found.missing != total.missing:
        log.warning("%s. %s", no_containers(without), WHERE_FLOW_LOGS_ARE)
    if found.behind:
        log.info("%s", found)


def _name_still_behind(service: Service, found: SweepReport) -> None:
    """Log each blob that is still behind, with its error and its next try."""
    for blob in found.still_behind:
        try:
            stored = service.pipeline.checkpoints.get(checkpoint_key(blob)).checkpoint
        except FlowlogError:
            continue  # the log has said so already
        if stored is not None and stored.failure is not None:
            log.warning("still behind: %s: %s", blob, failed_and_next(stored.failure))
    more = found.failed + found.backing_off - len(found.still_behind)
    if len(found.still_behind) == MAX_NAMED and more:
        log.warning("still behind: %d more", more)


class _Teller:
    """Says on standard error what is watched, that nothing is behind, and what was done."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options, self._is_idle = options, False

    def begin(self, text: str) -> None:
        """Say what is watched."""
        self._say(text)

    def looked(self, found: SweepReport | None) -> None:
        """Say, once, that nothing is behind; `found` is what a look found."""
        if found is None or found.behind or self._is_idle or self._options.once:
            return
        self._is_idle = True
        self._say("Nothing is behind. Waiting for new flow logs; Ctrl-C ends this.")

    def end(self, total: SweepReport, *, has_looked: bool) -> None:
        """Say what was done, and what was left out."""
        if not has_looked:
            self._say("No flow log was looked at")
        elif self._options.log == "json":
            log.info("%s", total)
        else:
            self._say(summary(total))
        if older := left_out(total):
            self._say(older)

    def _say(self, text: str) -> None:
        if self._options.log == "json":
            log.info("%s", text)  # with --quiet, the log has no such lines
        elif not self._options.quiet:
            print(text, file=sys.stderr, flush=True)


def _since(options: argparse.Namespace, settings: Settings) -> datetime | None:
    """The first hour that is forwarded; None for all there are."""
    since: datetime | None = options.since
    if since is None and options.once:
        since = datetime.now(UTC) - timedelta(hours=settings.sweep_hours)
        since = min(since, settings.catch_up_since or since)
    return since and since.replace(minute=0, second=0, microsecond=0)


def _looks_back(since: datetime | None) -> str:
    if since is None:
        return "Logs of all hours are forwarded."
    return f"Logs of the hours from {since:%Y-%m-%dT%H} (UTC) on are forwarded."
