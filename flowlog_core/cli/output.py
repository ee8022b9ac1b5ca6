"""Writes flow records to standard output: NDJSON, CSV or a table for people."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterable
from io import TextIOWrapper
from typing import Any, Protocol, TextIO

import orjson

from flowlog_core.parsing.record import FIELDS


class Writer(Protocol):
    """Writes records, each one JSON object, as they arrive."""

    def write(self, lines: Iterable[str]) -> None:
        """Write some records."""
        ...


class NdjsonWriter:
    """One JSON object per line, unchanged."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, lines: Iterable[str]) -> None:
        """See `Writer.write`."""
        text = "\n".join(lines)
        if text:
            self._out.write(text + "\n")


class CsvWriter:
    """RFC 4180 with a header line. Null is empty, and no cell is a formula."""

    def __init__(self, out: TextIO) -> None:
        self._csv = csv.writer(out, lineterminator="\n")
        self._csv.writerow(FIELDS)

    def write(self, lines: Iterable[str]) -> None:
        """See `Writer.write`."""
        for line in lines:
            record = orjson.loads(line)
            self._csv.writerow(_harmless_cell(record[name]) for name in FIELDS)


def _harmless_cell(value: Any) -> Any:
    # Spreadsheets evaluate cells that begin like this; a leading apostrophe prevents that.
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value


class TableWriter:
    """Aligned columns of the most important fields."""

    _COLUMNS = (
        ("time", 24),
        ("action", 6),
        ("dir", 8),
        ("state", 8),
        ("proto", 9),
        ("source", 27),
        ("destination", 27),
        ("packets", 11),
        ("bytes", 15),
        ("rule", 0),
    )

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._row([name for name, _ in self._COLUMNS])

    def write(self, lines: Iterable[str]) -> None:
        """See `Writer.write`."""
        for line in lines:
            r = orjson.loads(line)
            self._row(
                [
                    r["time"],
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
        padded = (
            printable(cell).ljust(width)
            for cell, (_, width) in zip(cells, self._COLUMNS, strict=True)
        )
        self._out.write("  ".join(padded).rstrip() + "\n")


def _endpoint(ip: str, port: int) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def _both_ways(there: int | None, back: int | None) -> str:
    if there is None and back is None:
        return "-"
    return f"{'-' if there is None else there}/{'-' if back is None else back}"


def printable(text: str) -> str:
    """`text` with every control character for a terminal written as an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


WRITERS: dict[str, Callable[[TextIO], Writer]] = {
    "ndjson": NdjsonWriter,
    "csv": CsvWriter,
    "table": TableWriter,
}


def writer_for(kind: str, out: TextIO | None = None) -> Writer:
    """The writer named `kind`, by default to standard output.

    There, NDJSON and CSV are UTF-8; a table has the terminal's encoding.
    """
    if out is None:
        out = sys.stdout
        if isinstance(out, TextIOWrapper) and kind == "table":
            out.reconfigure(errors="backslashreplace")
        elif isinstance(out, TextIOWrapper):
            out.reconfigure(encoding="utf-8")
    return WRITERS[kind](out)
