"""A separate DuckDB in memory that may not install or load extensions."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow as pa


@contextmanager
def connected() -> Iterator[duckdb.DuckDBPyConnection]:
    """An empty database. What does not fit into memory is put into a temporary folder.

    Its times are UTC. Without extensions it reaches no network.
    """
    with tempfile.TemporaryDirectory(prefix="flowlog-") as folder:
        settings: dict[str, Any] = {
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "python_enable_replacements": "false",  # a name in a query is no variable of ours
            "temp_directory": folder,
        }
        with duckdb.connect(":memory:", config=settings) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("SET enable_progress_bar = false")  # it goes to standard output
            yield connection


def answer(rows: pa.RecordBatchReader, name: str, sql: str) -> pa.Table:
    """The result of a query that reads rows under a name."""
    with connected() as connection:
        connection.register(name, rows)
        return with_plain_integers(connection.sql(sql).to_arrow_table())


def with_plain_integers(table: pa.Table) -> pa.Table:
    """DuckDB's sums, which are of 128 bits, as 64-bit integers where all of a column fit."""
    for at, field in enumerate(table.schema):
        if pa.types.is_decimal(field.type) or pa.types.is_floating(field.type):
            try:
                column = table.column(at).cast(pa.int64())
            except pa.ArrowInvalid:
                continue
            table = table.set_column(at, field.name, column)
    return table
