"""What is exported is read back, whole and typed, by those who read such folders."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import duckdb
import orjson
import polars as pl
import pyarrow.dataset as ds
import pytest

from flowlog_core.analyze.export import EXPORT_SCHEMA, Exported, export
from flowlog_core.analyze.problems import Problems
from flowlog_core.analyze.rows import rows
from flowlog_core.analyze.scan import Query, reader
from flowlog_core.analyze.sources import expand
from flowlog_core.parsing.record import FIELDS
from flowlog_core.testing.generate import FlowLogGenerator, Interface, document

HOUR = datetime(2026, 1, 1, 22, tzinfo=UTC)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Three hours across midnight, of two formats."""
    folder = tmp_path / "logs"
    folder.mkdir()
    generator = FlowLogGenerator(3)
    for number in range(3):
        time = HOUR + timedelta(hours=number, minutes=30)
        entries = [
            generator.entry("vnet4", Interface.vnet(), time, 30),
            generator.entry("nsg2", Interface.nsg(), time, 30),
        ]
        (folder / f"{number}.json").write_bytes(document(entries))
    return folder


def expected(logs: Path) -> dict[str, dict[str, Any]]:
    """Each record by its id, with what the files have beside."""
    found: dict[str, dict[str, Any]] = {}
    for lines in rows(expand([str(logs)]), Problems()):
        for line in lines:
            record = orjson.loads(line)
            time = record["time"] = datetime.fromisoformat(record["time"])
            for side in ("src", "dst"):
                ip = ip_address(record[f"{side}_ip"])
                record[f"{side}_ipv4"] = int(ip) if ip.version == 4 else None
            found[record["id"]] = record | {"date": time.date(), "hour": time.hour}
    return found


def exported(logs: Path, to: Path) -> Exported:
    return export(reader(expand([str(logs)]), Problems(), Query()), to)


def by_id(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    assert len({row["id"] for row in found}) == len(found)
    return {row["id"]: row for row in found}


def test_duckdb_polars_and_pyarrow_read_back_every_record(logs: Path, tmp_path: Path) -> None:
    to = tmp_path / "out"
    done = exported(logs, to)
    truth = expected(logs)
    assert (done.rows, done.files) == (len(truth), 3)
    assert sorted(str(path.relative_to(to).parent) for path in to.rglob("*.parquet")) == [
        "date=2026-01-01/hour=22",
        "date=2026-01-01/hour=23",
        "date=2026-01-02/hour=00",
    ]
    pattern = f"{to}/**/*.parquet"

    with duckdb.connect() as connection:
        connection.execute("set TimeZone='UTC'")
        sql = f"select * from read_parquet('{pattern}', hive_partitioning = true)"
        found = connection.sql(sql).to_arrow_table().to_pylist()
    assert {key: row | {"hour": int(row["hour"])} for key, row in by_id(found).items()} == truth

    frame = pl.scan_parquet(pattern, hive_partitioning=True).collect()
    assert {
        key: row | {"hour": int(row["hour"])} for key, row in by_id(frame.to_dicts()).items()
    } == truth

    dataset = ds.dataset(to, format="parquet", partitioning="hive")
    read = by_id(dataset.to_table().to_pylist())
    assert {
        key: row | {"date": datetime.fromisoformat(row["date"]).date(), "hour": int(row["hour"])}
        for key, row in read.items()
    } == truth
    assert set(next(iter(read.values()))) == {*EXPORT_SCHEMA.names, "date", "hour"}


def test_a_second_export_adds_and_changes_nothing(logs: Path, tmp_path: Path) -> None:
    to = tmp_path / "out"
    exported(logs, to)
    before = {path: path.read_bytes() for path in to.rglob("*.parquet")}
    exported(logs, to)
    after = {path: path.read_bytes() for path in to.rglob("*.parquet")}
    assert len(after) == 2 * len(before)
    assert {path: after[path] for path in before} == before


def test_an_export_that_fails_leaves_nothing(logs: Path, tmp_path: Path) -> None:
    to = tmp_path / "out"
    exported(logs, to)
    before = sorted(to.rglob("*"))

    def failing() -> Any:
        yield from reader(expand([str(logs)]), Problems(), Query())
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        export(failing(), to)
    assert sorted(to.rglob("*")) == before


def test_more_hours_than_are_kept_open_are_written_all(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    generator = FlowLogGenerator(4)
    entries = [
        generator.entry("nsg2", Interface.nsg(), HOUR + timedelta(hours=n, minutes=30), 2)
        for n in (*range(30), *range(30))
    ]
    (folder / "all.json").write_bytes(document(entries))
    done = exported(folder, tmp_path / "out")
    assert done.rows == 120
    back = ds.dataset(tmp_path / "out", format="parquet", partitioning="hive").to_table()
    assert back.num_rows == 120
    assert (
        len({(row["date"], row["hour"]) for row in back.select(["date", "hour"]).to_pylist()}) == 30
    )
    assert set(FIELDS) <= set(back.column_names)
