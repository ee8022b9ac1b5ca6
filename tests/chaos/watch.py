"""Looks at a run as `flowlog status` does, all the while, and holds the lag against the truth."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping, Sequence

from chaos.account import HOUR, Account, Commit, Log
from flowlog_core.checkpoints.checkpoint import Progress
from flowlog_core.cli.status import sight_of
from flowlog_core.config.settings import Settings
from flowlog_core.operate.look import look
from flowlog_core.service import Service

_EVERY_S = 0.5
_ROUNDING_S = 2  # times have whole seconds, and the lag allows for it by one more
_MAX_TOLD = 5


class Watcher(threading.Thread):
    """Looks until `end`. `wrong` is what was not as it must be."""

    def __init__(self, environment: Mapping[str, str], account: Account, logs: list[Log]) -> None:
        super().__init__(name="watcher", daemon=True)
        self.looks = self.behind = 0
        self.wrong: list[str] = []
        self._account, self._logs = account, logs
        settings = Settings.from_environment(environment)
        self._service = Service(settings)
        self._sight = sight_of(settings, self._service)
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(_EVERY_S):
            try:
                self._look()
            except Exception as error:  # noqa: BLE001 - whatever it is, the run reports it
                self.wrong.append(f"a look raised {error!r}")
                return

    def end(self) -> None:
        """Stop looking, and close the connections."""
        self._over.set()
        self.join()
        self._service.close()

    def _look(self) -> None:
        before = {log.blob: self._account.progress(log.blob) for log in self._logs}
        began = time.time()
        status = look(self._sight)
        ended = time.time()
        self.looks += 1
        if status.unknown:
            self.wrong.append(f"unknown: {status.unknown}")
        found = {row.resource_id.lower(): row.lag_s for row in status.resources}
        for log in self._logs:
            lag_s = found.get(log.blob.log.resource_id.lower(), 0.0)
            self.behind += lag_s > 0
            commits = list(log.commits)
            after = self._account.progress(log.blob)
            least = min_lag_s(commits, after.offset, began)
            most = max_lag_s(commits, before[log.blob].offset, ended)
            if any(is_part_of_a_version(one) for one in (before[log.blob], after)):
                # Nobody knows when the versions between two readings were committed.
                most = max(most, ended - commits[0].began + _ROUNDING_S)
            if not least <= lag_s <= most and len(self.wrong) < _MAX_TOLD:
                self.wrong.append(
                    f"the lag of {log.blob} is {lag_s} s, and not from {least} to {most} s"
                )


def is_part_of_a_version(progress: Progress) -> bool:
    """Whether it stops within a version: at an incomplete end, or halfway through a long read."""
    return bool(progress.pending_bytes or (progress.offset and not progress.etag))


def min_lag_s(commits: Sequence[Commit], offset: int, now: float) -> float:
    """The age of the oldest byte that was committed at `now` and lies behind `offset`."""
    for one in commits:
        if one.ended is not None and one.ended <= now and one.end > offset:
            return now - one.ended
    return 0.0


def max_lag_s(commits: Sequence[Commit], offset: int, now: float) -> float:
    """That age at most, and the time since the commit before; 0 if nothing is behind `offset`."""
    before = HOUR.timestamp()
    for one in commits:
        if one.began <= now and (one.ended is None or one.end > offset):
            return now - before + _ROUNDING_S
        before = one.began
    return 0.0 if commits else math.inf
