"""Renders the demo's state as lines for a screen of any size. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from flowlog_core.cli.table import Column, fit, row_of
from flowlog_core.cli.terminal import printable
from flowlog_core.cli.words import joined_counts
from flowlog_core.demo.events import Tally
from flowlog_core.demo.ledger import Delays

Style = Literal["plain", "title", "dim", "strong", "bad"]
_MIN_COLUMNS = 20  # below that, lines may wrap
_MAX_LATEST = 16


class Line(NamedTuple):
    """One line of text without control characters, and its style."""

    text: str
    style: Style = "plain"


@dataclass(frozen=True, slots=True)
class LogRow:
    """One interface's log."""

    label: str
    mac: str
    format: str


@dataclass(frozen=True, slots=True)
class View:
    """The state of the demo at one time."""

    doing: str
    """What happens now, in a sentence."""
    elapsed_s: float
    logs: Sequence[LogRow]
    written: Counter[str]
    """Tuples, by the log's label."""
    received: Counter[str]
    tally: Tally
    delays: Delays | None = None
    latest: Sequence[Mapping[str, Any]] = ()
    """Records, the newest last."""
    warnings: Sequence[str] = field(default_factory=tuple)
    queues: int = 1
    """Number of queues that receive records."""


def screen(view: View, columns: int, rows: int) -> list[Line]:
    """At most `rows` lines of at most `columns` characters; the least important are left out."""
    columns = max(columns, _MIN_COLUMNS)
    top = [*_header(view, columns), Line("")]
    below = [Line(""), *facts(view)]
    if view.warnings:
        count = len(view.warnings)
        below.append(Line(f"warnings   {count}, the last: {printable(view.warnings[-1])}", "bad"))
    # If there are many interfaces, show as many as fit above the facts, and the total.
    room = rows - len(top) - len(below) - 3
    lines = [*top, *counts(view, room), *below]
    lines += _latest(view, columns, min(rows - len(lines), _MAX_LATEST + 2))
    return [Line(_clipped(line.text, columns), line.style) for line in lines[:rows]]


def progress(view: View) -> str:
    """The state in one line, for a log file."""
    delays = view.delays
    others = joined_counts(
        (view.tally.handed_over, "handed over"),
        (view.tally.dead_letters, "dead letters"),
        (len(view.warnings), "warnings"),
    )
    return (
        f"{view.elapsed_s:5.0f} s  {view.written.total():,} tuples written, "
        f"{view.tally.forwarded.total():,} forwarded, {view.received.total():,} received"
        + (f"; delay p50 {delays.p50:,} ms, p99 {delays.p99:,} ms" if delays else "")
        + (f"; {others}" if others else "")
    )


def counts(view: View, max_logs: int) -> list[Line]:
    """The table of interfaces: tuples written, forwarded and received."""
    forwarded = view.tally.forwarded
    shown = view.logs if len(view.logs) <= max_logs else view.logs[: max(0, max_logs - 1)]
    lines = [Line(_count_row("interface", "log format", "written", "forwarded", "received"), "dim")]
    for log in shown:
        name = log.label
        figures = (view.written[name], forwarded[name], view.received[name])
        lines.append(Line(_count_row(name, log.format, *(f"{figure:,}" for figure in figures))))
    if len(shown) < len(view.logs):
        lines.append(Line(f"... and {len(view.logs) - len(shown)} more", "dim"))
    totals = (view.written.total(), forwarded.total(), view.received.total())
    lines.append(Line(_count_row("all", "", *(f"{total:,}" for total in totals)), "strong"))
    return lines


def _count_row(label: str, log_format: str, *figures: str) -> str:
    return f"{label:<10} {log_format:<18}" + "".join(f"{figure:>12}" for figure in figures)


def facts(view: View) -> list[Line]:
    """One line each for delay, events, bytes and dead letters."""
    tally, delays = view.tally, view.delays
    delay = "nothing received yet"
    if delays:
        delay = f"p50 {delays.p50:,} ms   p99 {delays.p99:,} ms   max {delays.max:,} ms"
        delay += "   (commit to receipt)"
    lines = [
        Line(f"delay      {delay}"),
        Line(
            "events     "
            + joined_counts(
                (tally.appends, "appends"),
                (tally.doubled, "delivered twice"),
                (tally.late, "late"),
                (tally.handed_over, "handed over to a busy worker"),
            )
        ),
        Line(
            f"read       {tally.new_bytes:,} bytes; reading whole blobs at each append: "
            f"{tally.whole_bytes:,}"
        ),
    ]
    if tally.dead_letters:
        lines.append(Line(f"unreadable {tally.dead_letters:,} dead letters", "bad"))
    if tally.failed:
        failed = f"{tally.failed:,} attempts; {tally.given_up:,} events failed five times"
        lines.append(Line(f"failed     {failed}", "bad"))
    return lines


def _header(view: View, columns: int) -> list[Line]:
    seconds = int(view.elapsed_s)
    clock = f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    title = "Flowlog demo: network flow logs, forwarded while they grow"
    room = max(0, columns - len(clock) - 1)
    to = "a queue" if view.queues == 1 else f"{view.queues} queues"
    return [
        Line(f"{title:<{room}} {clock}", "title"),
        Line(f"Interfaces log to Azurite; Flowlog forwards what is new to {to}.", "dim"),
        Line(view.doing, "dim"),
    ]


_COLUMNS = (
    Column("time", 8, importance=8),
    Column("from", 6, importance=7),
    Column("action", 6, importance=6),
    Column("direction", 9, importance=3),
    Column("state", 8, importance=2),
    Column("proto", 9, 5, importance=4),
    Column("source", 19, importance=8),
    Column("destination", 19, importance=8),
    Column("port", 5, importance=5),
    Column("bytes ->", 9, importance=1),
    Column("bytes <-", 9, importance=1),
    Column("rule", 20),
)


def _latest(view: View, columns: int, max_lines: int) -> list[Line]:
    """A blank line, a heading and the newest records first; empty if none fits."""
    if max_lines < 3 or not view.latest:
        return []
    labels = {log.mac: log.label for log in view.logs}
    lines = [Line(""), Line(_row([column.title for column in _COLUMNS], columns), "dim")]
    newest = list(view.latest)[: -(max_lines - 1) : -1]
    lines += [Line(_row(_cells(record, labels), columns)) for record in newest]
    return lines


def _cells(record: Mapping[str, Any], labels: Mapping[str, str]) -> list[str]:
    cells = [
        record["time"][11:19],
        labels.get(record["mac"], "?"),
        *(record[name] for name in ("action", "direction", "state", "protocol")),
        *(record[name] for name in ("src_ip", "dst_ip", "dst_port")),
        *(record[name] for name in ("bytes_src_to_dst", "bytes_dst_to_src", "rule")),
    ]
    return ["-" if cell is None else str(cell) for cell in cells]


def _row(cells: Sequence[str], columns: int) -> str:
    return row_of(cells, fit(_COLUMNS, columns), columns)


def _clipped(text: str, columns: int) -> str:
    return text if len(text) <= columns else text[: columns - 3] + "..."
