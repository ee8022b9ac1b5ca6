"""Records what was written and received, tuple by tuple, and compares the two.

The expected record follows from the written tuple (see `testing.reference`), and its id from the
position where the writer put it. Both use other code than the forwarding does, so that faults in
the forwarding are found.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from flowlog_core.blob import Position
from flowlog_core.testing.generate import Format
from flowlog_core.testing.reference import fields_of

_MAX_NAMED = 5


@dataclass(frozen=True, slots=True)
class Delays:
    """Time from the commit of an append to the receipt of its tuples, in milliseconds."""

    p50: int
    p99: int
    max: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of the comparison. Each tuple has one sentence for each difference."""

    written: int
    received: int
    missing: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()
    altered: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    """Received with an id that was not written."""

    @property
    def ok(self) -> bool:
        """Whether something was written, and everything was received exactly once and unaltered."""
        wrong = self.missing or self.repeated or self.altered or self.unknown
        return 0 < self.written == self.received and not wrong

    def lines(self) -> list[str]:
        """The differences, and in the last line the figures."""
        kinds = {
            "missing": self.missing,
            "repeated": self.repeated,
            "altered": self.altered,
            "unknown": self.unknown,
        }
        figures = ", ".join(
            f"{len(found):,} {kind}" for kind, found in kinds.items() if found or kind != "unknown"
        )
        lines: list[str] = []
        for kind, found in kinds.items():
            lines += [f"{kind}: {what}" for what in found[:_MAX_NAMED]]
            if len(found) > _MAX_NAMED:
                lines.append(f"{kind}: and {len(found) - _MAX_NAMED:,} more")
        return [
            *lines,
            f"{self.written:,} tuples written, {self.received:,} received, {figures}: "
            f"{'OK' if self.ok else 'FAILED'}",
        ]


@dataclass(frozen=True, slots=True)
class _Due:
    """A tuple that was written and is not received yet."""

    label: str
    where: str
    log_format: Format
    text: str
    at_s: float


class Ledger:
    """Records written and received tuples. Thread-safe. Times are monotonic, in seconds.

    Of a received tuple it keeps only the id, so a long demo needs about 200 bytes a tuple.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._due: dict[str, _Due] = {}
        # Received before the writer recorded it, while the commit was returning.
        self._early: dict[str, tuple[Mapping[str, Any], float]] = {}
        self._times: dict[str, int] = {}
        self._repeated: list[str] = []
        self._altered: list[str] = []
        self._delays_ms: Counter[int] = Counter()
        self._written: Counter[str] = Counter()
        self._settled: Counter[str] = Counter()
        self._received = 0

    def wrote(
        self,
        label: str,
        position: Position,
        log_format: Format,
        tuples: Iterable[str],
        at_s: float,
    ) -> None:
        """Record an entry that was committed at `position`; `label` is the log's."""
        with self._lock:
            for index, text in enumerate(tuples):
                key = position.record_id(index)
                where = (
                    f"{label}, entry at byte {position.offset:,} of {position.blob.name}, "
                    f"tuple {index}"
                )
                due = _Due(label, where, log_format, text, at_s)
                self._written[label] += 1
                if key in self._early:
                    self._settle(due, *self._early.pop(key))
                else:
                    self._due[key] = due

    def received(self, records: Iterable[Mapping[str, Any]], at_s: float) -> None:
        """Record what arrived from the queue."""
        with self._lock:
            for record in records:
                key = str(record["id"])
                self._received += 1
                self._times[key] = self._times.get(key, 0) + 1
                if self._times[key] > 1:
                    self._repeated.append(f"{key}, received {self._times[key]} times")
                elif key in self._due:
                    self._settle(self._due.pop(key), record, at_s)
                else:
                    self._early[key] = record, at_s

    def _settle(self, due: _Due, record: Mapping[str, Any], at_s: float) -> None:
        self._settled[due.label] += 1
        self._delays_ms[max(0, round((at_s - due.at_s) * 1000))] += 1
        for name, value in fields_of(due.log_format, due.text).items():
            if name not in record or record[name] != value:
                self._altered.append(
                    f"{due.where}: {due.text} was written, {name} is {record.get(name)!r} "
                    f"instead of {value!r}"
                )
                return

    @property
    def outstanding(self) -> int:
        """Number of tuples that were written and are not received yet."""
        with self._lock:
            return len(self._due)

    def counts(self) -> tuple[Counter[str], Counter[str]]:
        """Tuples written, and how many of them were received, by the log's label."""
        with self._lock:
            return self._written.copy(), self._settled.copy()

    def delays(self) -> Delays | None:
        """The delays so far; None if nothing was received."""
        with self._lock:
            counts = sorted(self._delays_ms.items())
        if not counts:
            return None
        passed = list(accumulate(count for _, count in counts))
        # The smallest delay that so many percent of all do not exceed.
        return Delays(
            *(counts[bisect_left(passed, passed[-1] * each / 100)][0] for each in (50, 99, 100))
        )

    def check(self) -> Verdict:
        """Compare what was received with what was written so far."""
        with self._lock:
            return Verdict(
                written=self._written.total(),
                received=self._received,
                missing=tuple(f"{due.where}: {due.text}" for due in self._due.values()),
                repeated=tuple(self._repeated),
                altered=tuple(self._altered),
                unknown=tuple(self._early),
            )
