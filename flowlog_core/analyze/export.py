"""Flow records as a folder of Parquet files, partitioned as Hive does: `date=…/hour=…/`.

DuckDB, Polars, Spark, Synapse and the external tables of Azure Data Explorer read such folders, and
only those partitions that a query needs.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from flowlog_core.analyze.schema import SCHEMA

_MAX_ROWS_A_GROUP = 512 * 1024
_MAX_OPEN = 24
"""How many partitions gather rows at a time: a day."""


class Exported(NamedTuple):
    """What was written."""

    rows: int
    files: int
    parquet_bytes: int


def with_numbers(table: pa.Table) -> pa.Table:
    """The table with the IPv4 addresses as numbers beside their texts, to compare with ranges.

    Null for IPv6, whose numbers no integer of Parquet holds.
    """
    for side in ("src", "dst"):
        numbers = ipv4_numbers(table.column(f"{side}_ip").combine_chunks())
        table = table.append_column(f"{side}_ipv4", numbers)
    return table


def ipv4_numbers(addresses: pa.Array) -> pa.Array:
    """IPv4 addresses as unsigned 32-bit numbers; null for others."""
    texts = addresses.dictionary_encode()
    parts = pc.split_pattern(
        pc.if_else(pc.match_substring(texts.dictionary, ":"), None, texts.dictionary), "."
    )
    numbers = pa.repeat(pa.scalar(0, pa.uint32()), len(parts))
    for at in range(4):
        part = pc.list_element(parts, at).cast(pa.uint32())
        numbers = pc.add(pc.multiply(numbers, pa.scalar(256, pa.uint32())), part)
    return numbers.take(texts.indices)


EXPORT_SCHEMA = with_numbers(SCHEMA.empty_table()).schema
"""The columns of the files; `date` and `hour` are in the folders' names."""


class _Partition:
    """Rows of one hour that wait, and the file that they go to."""

    def __init__(self, path: Path) -> None:
        self._path, self._waiting, self._waiting_rows = path, list[pa.Table](), 0
        self._writer: parquet.ParquetWriter | None = None
        self._rows = 0

    def add(self, table: pa.Table) -> None:
        self._waiting.append(table)
        self._waiting_rows += table.num_rows
        self._rows += table.num_rows
        if self._waiting_rows >= _MAX_ROWS_A_GROUP:
            self._write()

    def _write(self) -> None:
        if self._writer is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = parquet.ParquetWriter(
                self._path, EXPORT_SCHEMA, compression="zstd", compression_level=9
            )
        whole = pa.concat_tables(self._waiting).combine_chunks()
        self._writer.write_table(whole, row_group_size=_MAX_ROWS_A_GROUP)
        self._waiting.clear()
        self._waiting_rows = 0

    def close(self) -> int:
        """How many rows it got."""
        try:
            if self._waiting:
                self._write()
        finally:
            if self._writer is not None:
                self._writer.close()
        return self._rows


def export(batches: Iterable[pa.RecordBatch], folder: Path) -> Exported:
    """Write records, with all their columns, under `folder` by the UTC hour of their time.

    Files get names that no other run has, so a second export adds to the first. While it runs, its
    files are in a folder whose name begins with a dot, which no reader looks into; they are moved
    when all are whole. Raises `OSError`; then nothing of this run is left.
    """
    run = uuid.uuid4().hex[:12]
    building = folder / f".{run}"
    building.mkdir(parents=True)
    open_ones: dict[str, _Partition] = {}
    rows = files = size = 0
    number = 0
    try:
        for batch in batches:
            table = with_numbers(pa.table(batch)).select(EXPORT_SCHEMA.names)
            for place, some in _by_hour(table):
                if place not in open_ones:
                    if len(open_ones) >= _MAX_OPEN:
                        rows += open_ones.pop(next(iter(open_ones))).close()
                    path = building / place / f"flows-{run}-{number}.parquet"
                    number += 1
                    open_ones[place] = _Partition(path)
                open_ones[place].add(some)
        for partition in open_ones.values():
            rows += partition.close()
        for path in sorted(building.rglob("*.parquet")):
            target = folder / path.relative_to(building)
            target.parent.mkdir(parents=True, exist_ok=True)
            size, files = size + path.stat().st_size, files + 1
            path.rename(target)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return Exported(rows, files, size)


def _by_hour(table: pa.Table) -> Iterable[tuple[str, pa.Table]]:
    hours = pc.strftime(
        pc.floor_temporal(table.column("time"), unit="hour"), format="date=%Y-%m-%d/hour=%H"
    ).combine_chunks()
    distinct = pc.unique(hours)
    if len(distinct) == 1:
        yield distinct[0].as_py(), table
        return
    for place in distinct.to_pylist():
        yield place, table.filter(pc.equal(hours, place))
