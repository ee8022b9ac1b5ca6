"""Writes flow records to standard output: NDJSON, CSV or a table for people."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from io import TextIOWrapper
from types import MappingProxyType
from typing import Any, Protocol, TextIO

import orjson

from flowlog_core.cli.table import Column, fit, row_of
from flowlog_core.cli.terminal import columns_of
from flowlog_core.parsing.record import FIELDS


class Writer(Protocol):
    """Writes records, each one JSON object, as they arrive."""

    def write(self, lines: Iterable[str]) -> None:
        """Write some records."""
        ...


class NdjsonWriter:
    """One JSON object a line; what could steer a terminal is escaped, as JSON has it."""

    def __init__(self, out: TextIO, names: Sequence[str] | None = None) -> None:
        self._out, self._names = out, names

    def write(self, lines: Iterable[str]) -> None:
        """See `Writer.write`."""
        if self._names is not None:
            records = map(orjson.loads, lines)
            lines = [
                orjson.dumps({name: record.get(name) for name in self._names}).decode()
                for record in records
            ]
        text = "\n".join(lines)
        if text:
            self._out.write(harmless_json(text) + "\n")


class CsvWriter:
    """RFC 4180 with a header line; null is empty.

    No cell can pass for a formula, or steer a terminal: there, characters are written as escapes.
    """

    def __init__(self, out: TextIO, names: Sequence[str] | None = None) -> None:
        self._names = names or FIELDS
        self._csv = csv.writer(out, lineterminator="\n")
        self._csv.writerow(self._names)

    def write(self, lines: Iterable[str]) -> None:
        """See `Writer.write`."""
        for line in lines:
            record = orjson.loads(line)
            self._csv.writerow(harmless_cell(record.get(name)) for name in self._names)


# What a spreadsheet runs begins like this, also behind white space or in full width.
# Source: OWASP's page "CSV Injection".
_FORMULA = re.compile(r"[\s\x00-\x1f]*(?:[=+\-@\uff1d\uff0b\uff0d\uff20]|(?<=[\t\r\n]))")
# Controls of C1, which a terminal takes for commands as it does ESC and others of C0 (in JSON these
# are escaped already), and what turns the direction of text. Sources: ECMA-48; Unicode's UAX #9.
_STEERING = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_CONTROLS = re.compile(f"[\\x00-\\x1f]|{_STEERING.pattern}")


def harmless_json(text: str) -> str:
    """JSON in which what could steer a terminal is escaped."""
    return _STEERING.sub(_escaped_for_json, text)


def _escaped_for_json(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def harmless_cell(value: Any) -> Any:
    """A value that no spreadsheet takes for a formula, and no terminal for a command."""
    if not isinstance(value, str):
        return value
    shown = _CONTROLS.sub(lambda match: ascii(match[0])[1:-1], value)
    # A leading apostrophe makes spreadsheets show the text instead.
    return f"'{shown}" if _FORMULA.match(value) else shown


class TableWriter:
    """Aligned columns of the fields that people look at first, or of those that are asked for.

    On a terminal no line is longer than it is wide: the least important columns are left out.
    """

    _COLUMNS = (
        Column("time", 24, 19, 9),
        Column("action", 6, importance=7),
        Column("dir", 8, importance=3),
        Column("state", 8, importance=2),
        Column("proto", 9, 5, 6),
        Column("source", 27, 21, 8),
        Column("destination", 27, 21, 8),
        Column("packets", 11, importance=1),
        Column("bytes", 15, importance=4),
        Column("rule", 36, 20, importance=5),
    )

    _WIDTHS = MappingProxyType(
        {"id": 44, "time": 24, "src_ip": 15, "dst_ip": 15, "rule": 36, "acl_id": 36, "mac": 12}
    )

    def __init__(self, out: TextIO, names: Sequence[str] | None = None) -> None:
        self._out, self._names = out, names
        columns: tuple[Column, ...] = self._COLUMNS
        self._max_width = columns_of(out)
        if names is None:
            self._widths = fit(columns, self._max_width)
        else:  # each of them was asked for, so none is left out: the line is cut
            widths = (max(len(name), self._WIDTHS.get(name, 8)) for name in names)
            columns = tuple(map(Column, names, widths))
            self._widths = fit(columns, None)
        self._row([column.title for column in columns])

    def write(self, lines: Iterable[str]) -> None:
        """See `Writer.write`."""
        for line in lines:
            r = orjson.loads(line)
            if self._names is not None:
                self._row(["-" if r[name] is None else str(r[name]) for name in self._names])
                continue
            self._row(
                [
                    r["time"] if self._widths[0] >= len(r["time"]) else r["time"][:19],
                    r["action"],
                    r["direction"],
                    r["state"] or "-",
                    r["protocol"],
                    _endpoint(r["src_ip"], r["src_port"]),
                    _endpoint(r["dst_ip"], r["dst_port"]),
                    _both_ways(r["packets_src_to_dst"], r["packets_dst_to_src"]),
                    _both_ways(r["bytes_src_to_dst"], r["bytes_dst_to_src"]),
                    r["rule"] or "-",
                ]
            )

    def _row(self, cells: list[str]) -> None:
        self._out.write(row_of(cells, self._widths, self._max_width) + "\n")


def _endpoint(ip: str, port: int) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def _both_ways(there: int | None, back: int | None) -> str:
    if there is None and back is None:
        return "-"
    return f"{'-' if there is None else there}/{'-' if back is None else back}"


WRITERS: dict[str, Callable[[TextIO, Sequence[str] | None], Writer]] = {
    "ndjson": NdjsonWriter,
    "csv": CsvWriter,
    "table": TableWriter,
}


def writer_for(kind: str, out: TextIO | None = None, names: Sequence[str] | None = None) -> Writer:
    """The writer named `kind`, on standard output if no other stream is given.

    `names` are the fields to write, in that order; without, those that suit the kind.

    There, records are UTF-8 whatever the terminal's encoding; what is to be looked at is in that.
    """
    if out is None:
        out = sys.stdout
        set_encoding(out, kind)
    return WRITERS[kind](out, names)


def set_encoding(out: TextIO, kind: str) -> None:
    """Make a stream write what `kind` of output holds, whatever the terminal's encoding."""
    if isinstance(out, TextIOWrapper) and kind == "table":
        out.reconfigure(errors="backslashreplace")
    elif isinstance(out, TextIOWrapper):
        out.reconfigure(encoding="utf-8")
