"""What was written and what was received, tuple by tuple, and the check of one against the other.

What a record must hold follows from the written tuple (see `testing.reference`), and its id from
the place where the writer put it: both by other code than what forwards it, so that a fault there
shows here.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from flowlog_core.blob import Position
from flowlog_core.testing.generate import Format
from flowlog_core.testing.reference import fields_of

_NAMED_AT_MOST = 5


@dataclass(frozen=True, slots=True)
class Delays:
    """From the return of an append's commit to the receipt of its tuples, in milliseconds."""

    p50: int
    p99: int
    most: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of the check. The tuples in it hold one sentence for each thing that is wrong."""

    written: int
    received: int
    missing: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()
    altered: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    """Received, but nothing was written there."""

    @property
    def ok(self) -> bool:
        """Whether something was written, and all of it received exactly once and as written."""
        wrong = self.missing or self.repeated or self.altered or self.unknown
        return 0 < self.written == self.received and not wrong

    def lines(self) -> list[str]:
        """In words: what is wrong, if anything, and in the last line the figures."""
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
            lines += [f"{kind}: {what}" for what in found[:_NAMED_AT_MOST]]
            if len(found) > _NAMED_AT_MOST:
                lines.append(f"{kind}: and {len(found) - _NAMED_AT_MOST:,} more")
        return [
            *lines,
            f"{self.written:,} tuples written, {self.received:,} received, {figures}: "
            f"{'OK' if self.ok else 'FAILED'}",
        ]


@dataclass(frozen=True, slots=True)
class _Due:
    """A tuple that was written and not received yet."""

    label: str
    where: str
    log_format: Format
    text: str
    at_s: float


class Ledger:
    """Keeps the books; threads may share it. Times are of one monotonic clock, in seconds.

    Of what is settled only the id is kept, so a long demo grows by some 200 bytes a tuple.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._due: dict[str, _Due] = {}
        # Received before the writer could say so: it was under way while the commit returned.
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
        """Note an entry that was committed at `position`; `label` is the log's."""
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
        """Note records that came out of the queue."""
        with self._lock:
            for record in records:
                key = str(record["id"])
                self._received += 1
                self._times[key] = self._times.get(key, 0) + 1
                if self._times[key] > 1:
                    self._repeated.append(f"{key}, received {self._times[key]} times by then")
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
        """How many tuples were written and not received yet."""
        with self._lock:
            return len(self._due)

    def counts(self) -> tuple[Counter[str], Counter[str]]:
        """Tuples written and, of these, received, by the log's label."""
        with self._lock:
            return self._written.copy(), self._settled.copy()

    def delays(self) -> Delays | None:
        """None as long as nothing was received."""
        with self._lock:
            ordered = sorted(self._delays_ms.items())
        total = sum(count for _, count in ordered)
        if not total:
            return None
        return Delays(
            _percentile(ordered, total, 50), _percentile(ordered, total, 99), ordered[-1][0]
        )

    def check(self) -> Verdict:
        """Hold what was received against what was written, as of now."""
        with self._lock:
            return Verdict(
                written=self._written.total(),
                received=self._received,
                missing=tuple(f"{due.where}: {due.text}" for due in self._due.values()),
                repeated=tuple(self._repeated),
                altered=tuple(self._altered),
                unknown=tuple(self._early),
            )


def _percentile(ordered: list[tuple[int, int]], total: int, percent: int) -> int:
    """The smallest value that `percent` of all do not exceed; `ordered` holds value and count."""
    passed = 0
    for value, count in ordered:
        passed += count
        if passed * 100 >= total * percent:
            return value
    raise AssertionError("the counts do not add up to their total")
