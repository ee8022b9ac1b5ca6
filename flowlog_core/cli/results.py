"""Results of a query on standard output: as a table for the eye, NDJSON, CSV or Parquet."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import IO, TYPE_CHECKING, Any, TextIO

from flowlog_core.cli.output import harmless_cell, harmless_json, set_encoding
from flowlog_core.cli.table import write_table

if TYPE_CHECKING:
    import pyarrow as pa


_NO_AMOUNTS = ("port", "version", "number")


def write_result(result: pa.Table, kind: str, out: TextIO | None = None) -> None:
    """Write a whole result. In tables, times are UTC."""
    out = out or sys.stdout
    if kind == "parquet":
        write_parquet(result.schema, result.to_batches())
        return
    names = result.schema.names
    rows = (
        list(row) for row in zip(*(column.to_pylist() for column in result.columns), strict=True)
    )
    set_encoding(out, kind)
    if kind == "table":
        # Ports and versions are numbers to compare, not to add up: they have no thousands.
        plain = [name for name in names if name.endswith(_NO_AMOUNTS)]
        shown = [[_for_the_eye(value) for value in row] for row in rows]
        write_table(names, shown, out, plain_numbers=plain)
    elif kind == "csv":
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([harmless_cell(_plain(value)) for value in row] for row in rows)
    else:
        for row in rows:
            out.write(to_json(dict(zip(names, row, strict=True))) + "\n")
    out.flush()


def to_json(row: dict[str, Any]) -> str:
    """One JSON object; times as RFC 3339, whole numbers of any size as numbers."""
    plain = {name: _plain(value) for name, value in row.items()}
    return harmless_json(json.dumps(plain, ensure_ascii=False, separators=(",", ":"), default=str))


def write_parquet(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    """Write Parquet to standard output. Raises `OSError` where that is a terminal."""
    from pyarrow import parquet  # noqa: PLC0415 - of the extra `analyze`

    if sys.stdout.isatty():
        raise OSError("Parquet is not for a terminal: send standard output to a file")
    binary: IO[bytes] = sys.stdout.buffer
    # A `pa.PythonFile` would close standard output at its end, before `main` flushes it.
    with parquet.ParquetWriter(binary, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        text = value.isoformat(timespec="milliseconds")
        return text.replace("+00:00", "Z") if value.tzinfo else text
    if isinstance(value, Decimal) and value == value.to_integral_value():
        return int(value)
    if isinstance(value, date | Decimal):
        return str(value)
    if isinstance(value, float) and value != value:  # noqa: PLR0124 - not a number, nor JSON's
        return None
    return value


def _for_the_eye(value: Any) -> str | int:
    value = _plain(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return "-" if value is None else str(value)
