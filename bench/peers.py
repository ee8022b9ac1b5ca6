"""Parsing beside what people use today, against `orjson.loads` of the same bytes.

    python -m bench.peers [--tuples 60000] [--rounds 5]

Logs are the captures in ../shared/samples, again and again, and generated ones. Every way reads the
same file and must come to the same rows: time, addresses, ports and the four counters of a tuple.
Before anything is timed, the rows are compared one by one with those of `orjson.loads` and
`str.split`; a way that differs ends the run. The ways take turns. Counted is the processor time of
all threads and of child processes; a cell is the median of the rounds, with the least and the
greatest, each divided by the median of the yardstick. jq is a process of its own, whose start
counts too.

Flowlog does more than the rest: it also checks each field, and its records and "all columns" have
24 fields instead of nine.
"""

from __future__ import annotations

import argparse
import gc
import io
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import duckdb
import orjson
import pandas as pd
import polars as pl
import pyarrow as pa

from bench.harness.figures import machine, markdown
from bench.harness.logs import SAMPLES, blob_of, captures, entries_of, renewed_captures
from flowlog_core import analyze
from flowlog_core.parsing import ParsedEntry, read
from flowlog_core.testing.generate import Format

ROUNDS = 5
TUPLES = 60_000
FORMS: tuple[Format, ...] = ("nsg2", "vnet4")
VERSIONS = (
    f"Polars {pl.__version__}, DuckDB {duckdb.__version__}, pandas {pd.__version__}, "
    f"PyArrow {pa.__version__}"
)
# As in a tuple, whose fields 5 to 8 are left out.
COLUMNS = (
    *("time_ms", "src_ip", "dst_ip", "src_port", "dst_port"),
    *("packets_out", "bytes_out", "packets_back", "bytes_back"),
)
FIELDS = (
    *("time", "src_ip", "dst_ip", "src_port", "dst_port"),
    *("packets_src_to_dst", "bytes_src_to_dst", "packets_dst_to_src", "bytes_dst_to_src"),
)
PLACES = (0, 1, 2, 3, 4, 9, 10, 11, 12)
ADDRESSES = ("src_ip", "dst_ip")
SCHEMA = {name: pl.String if name in ADDRESSES else pl.Int64 for name in COLUMNS}
MAX_SECONDS = 100_000_000_000
"""A greater time is in milliseconds: NSG logs write seconds, VNet logs milliseconds."""


class Log(NamedTuple):
    """The same bytes, in memory and in a file."""

    path: Path
    blob: bytes


class Way(NamedTuple):
    """How to get a log's rows, and how to show them for the comparison, which is not timed."""

    work: Callable[[Log], Any]
    shown: Callable[[Any], pl.DataFrame]


def texts_of(entry: dict[str, Any]) -> Iterator[str]:
    """An entry's tuples."""
    for flow in (entry.get("properties") or entry["flowRecords"])["flows"]:
        for group in flow.get("flows") or flow["flowGroups"]:
            yield from group["flowTuples"]


def by_split(log: Log) -> list[tuple[Any, ...]]:
    """By `orjson.loads` and `str.split`, as scripts do it."""
    rows = []
    for entry in orjson.loads(log.blob)["records"]:
        for text in texts_of(entry):
            when, src, dst, sport, dport, _, _, _, _, *counters = text.split(",")
            time_ms = int(when)
            rows.append(
                (
                    time_ms * 1000 if time_ms < MAX_SECONDS else time_ms,
                    *(src, dst, int(sport), int(dport)),
                    *(int(one) if one else None for one in counters),
                )
            )
    return rows


def by_flowlog(log: Log) -> list[Sequence[str]]:
    """The records that Flowlog sends."""
    items = read((log.blob,), "0123456789abcdef01234567.0.{}".format)
    return [item.lines for item in items if isinstance(item, ParsedEntry)]


def rows_of_records(records: list[Sequence[str]]) -> pl.DataFrame:
    """The nine fields of records."""
    rows = [orjson.loads(line) for lines in records for line in lines]
    return (
        pl.DataFrame({name: [row[name] for row in rows] for name in FIELDS}, strict=False)
        .with_columns(pl.col("time").str.to_datetime(time_zone="UTC").dt.epoch("ms"))
        .rename(dict(zip(FIELDS, COLUMNS, strict=True)))
    )


def columns_of(table: pa.Table) -> pl.DataFrame:
    """The nine fields of a table of Flowlog's."""
    frame = pl.DataFrame(pl.from_arrow(table.select(FIELDS)))
    return frame.with_columns(pl.col("time").dt.epoch("ms")).rename(
        dict(zip(FIELDS, COLUMNS, strict=True))
    )


NSG = pl.List(pl.Struct({"flows": pl.List(pl.Struct({"flowTuples": pl.List(pl.String)}))}))
VNET = pl.List(pl.Struct({"flowGroups": pl.List(pl.Struct({"flowTuples": pl.List(pl.String)}))}))
ENTRY = pl.Struct(
    {"properties": pl.Struct({"flows": NSG}), "flowRecords": pl.Struct({"flows": VNET})}
)


def by_polars(log: Log) -> pl.DataFrame:
    """By Polars' own JSON reader, `explode` and `split_exact`."""
    entries = (
        pl.read_json(io.BytesIO(log.blob), schema={"records": pl.List(ENTRY)})
        .explode("records")
        .unnest("records")
    )
    groups = [
        entries.select(pl.col(outer).struct.field("flows"))
        .explode("flows")
        .drop_nulls()
        .select(pl.col("flows").struct.field(inner).alias("group"))
        for outer, inner in (("properties", "flows"), ("flowRecords", "flowGroups"))
    ]
    fields = (
        pl.concat(groups)
        .explode("group")
        .select(pl.col("group").struct.field("flowTuples"))
        .explode("flowTuples")
        .select(pl.col("flowTuples").str.split_exact(",", 12).alias("fields"))
        .unnest("fields")
    )
    when = pl.col("time_ms")
    return fields.select(
        pl.col(f"field_{place}").replace("", None).cast(SCHEMA[name]).alias(name)
        for name, place in zip(COLUMNS, PLACES, strict=True)
    ).with_columns(pl.when(when < MAX_SECONDS).then(when * 1000).otherwise(when).alias("time_ms"))


DUCKDB = f"""
with entries as materialized (select unnest(records) as e from read_json(?,
    maximum_object_size = 2000000000,
    columns = {{records: 'STRUCT(
        properties STRUCT(flows STRUCT(flows STRUCT(flowTuples VARCHAR[])[])[]),
        flowRecords STRUCT(flows STRUCT(flowGroups STRUCT(flowTuples VARCHAR[])[])[]))[]'}})),
nsg as (select unnest(f.flows) as g from (select unnest(e.properties.flows) as f from entries)),
vnet as (select unnest(f.flowGroups) as g
    from (select unnest(e.flowRecords.flows) as f from entries)),
texts as (select unnest(g.flowTuples) as text from nsg
    union all select unnest(g.flowTuples) from vnet),
fields as (select string_split(text, ',') as t from texts)
select case when t[1]::bigint < {MAX_SECONDS} then t[1]::bigint * 1000 else t[1]::bigint end, {
    ", ".join(
        f"t[{place + 1}]" if name in ADDRESSES else f"nullif(t[{place + 1}], '')::bigint"
        for name, place in zip(COLUMNS[1:], PLACES[1:], strict=True)
    )
} from fields
"""


def by_duckdb(log: Log) -> pa.Table:
    """By DuckDB's own JSON reader and `unnest`."""
    rows = duckdb.sql(DUCKDB, params=[str(log.path)])
    assert rows is not None  # it is for what selects nothing
    return rows.to_arrow_table()


def by_pandas(log: Log) -> pd.DataFrame:
    """By `orjson.loads`, which is faster than pandas' own reader, `json_normalize` and `split`."""
    entries = orjson.loads(log.blob)["records"]
    texts = pd.concat(
        pd.json_normalize([entry for entry in entries if outer in entry], path)
        for outer, path in (
            ("properties", ["properties", "flows", "flows", "flowTuples"]),
            ("flowRecords", ["flowRecords", "flows", "flowGroups", "flowTuples"]),
        )
        if any(outer in entry for entry in entries)
    )
    fields = texts[0].str.split(",", expand=True)
    frame = pd.DataFrame(
        {
            name: fields[place] if name in ADDRESSES else pd.to_numeric(fields[place])
            for name, place in zip(COLUMNS, PLACES, strict=True)
        }
    )
    when = frame["time_ms"]
    frame["time_ms"] = when.where(when >= MAX_SECONDS, when * 1000)
    return frame


JQ = f"""
def number: if . == "" then null else tonumber end;
.records[] | (.properties.flows[]?.flows[]?, .flowRecords.flows[]?.flowGroups[]?)
| .flowTuples[] | split(",")
| (.[0] | tonumber | if . < {MAX_SECONDS} then . * 1000 else . end) as $time_ms
| [$time_ms, .[1], .[2], (.[3, 4, 9, 10, 11, 12] | number)]
"""


def by_jq(log: Log) -> bytes:
    """By jq, a row a line."""
    return subprocess.run(
        ["jq", "--compact-output", JQ, str(log.path)], stdout=subprocess.PIPE, check=True
    ).stdout


def rows_in(rows: list[Any]) -> pl.DataFrame:
    """Rows as Python has them."""
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def ways() -> dict[str, Way]:
    """All that can be run here."""
    found = {
        "Flowlog's records": Way(by_flowlog, rows_of_records),
        "Flowlog, all columns": Way(lambda log: analyze.to_arrow(log.path), columns_of),
        "Flowlog, nine columns": Way(
            lambda log: analyze.to_arrow(log.path, fields=FIELDS), columns_of
        ),
        "orjson and split": Way(by_split, rows_in),
        "Polars": Way(by_polars, lambda frame: frame),
        "DuckDB": Way(
            by_duckdb, lambda table: pl.DataFrame(pl.from_arrow(table.rename_columns(COLUMNS)))
        ),
        "pandas": Way(by_pandas, pl.from_pandas),
    }
    if shutil.which("jq"):
        found["jq"] = Way(by_jq, lambda out: rows_in([orjson.loads(x) for x in out.splitlines()]))
    return found


def processor_s() -> float:
    """Of all threads of this process, and of the processes that it waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def taken_s(work: Callable[[Log], Any], log: Log, times: int) -> float:
    """The processor time of one of so many times."""
    gc.collect()  # what others left behind
    started_s = processor_s()
    for _ in range(times):
        work(log)
    return (processor_s() - started_s) / times


def check(name: str, log: Log, all_ways: dict[str, Way]) -> int:
    """How many rows the log has; ends the run if a way comes to others."""
    expected = rows_in(by_split(log)).sort(COLUMNS)
    for way, (work, shown) in all_ways.items():
        rows = shown(work(log)).cast(SCHEMA).sort(COLUMNS)  # type: ignore[arg-type]
        if not rows.equals(expected):
            raise SystemExit(f"{name}: {way} comes to other rows")
    return len(expected)


def spread(values: list[float], digits: int) -> str:
    """The median, the least and the greatest."""
    middle, least, most = (f"{f(values):.{digits}f}" for f in (median, min, max))
    return f"{middle} ({least} to {most})"


def row(name: str, log: Log, all_ways: dict[str, Way], rounds: int) -> str:
    """A row of the table."""
    count = check(name, log, all_ways)
    times = max(1, 1_000 // count)
    works = {way: work for way, (work, _) in all_ways.items()}
    yardstick: list[float] = []
    seconds: dict[str, list[float]] = {way: [] for way in works}
    for _ in range(rounds):
        # Before and after the others: it is short, and all the others are divided by it.
        yardstick.append(taken_s(lambda log: orjson.loads(log.blob), log, 5 * times))
        for way, work in works.items():
            seconds[way].append(taken_s(work, log, times))
        yardstick.append(taken_s(lambda log: orjson.loads(log.blob), log, 5 * times))
    ratios = ([one / median(yardstick) for one in each] for each in seconds.values())
    cells = (
        spread([one / count * 1e9 for one in yardstick], 0),
        *(spread(each, 1) for each in ratios),
    )
    return f"| {name}, {count:,} | {' | '.join(cells)} |"


def logs(tuples: int) -> Iterator[tuple[str, bytes]]:
    """What is parsed."""
    if SAMPLES.exists():
        yield "the captures", captures(tuples)
        yield "those of VNet alone", captures(tuples, "vnet*.json")
        yield "all, renewed", renewed_captures(tuples)
    for form in FORMS:
        yield f"{form}, one entry", blob_of(entries_of(form, 30, 30))
    for form in FORMS:
        yield f"{form}, 150 an entry", blob_of(entries_of(form, 150, tuples))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Parsing, beside what people use today.")
    parser.add_argument("--tuples", type=int, default=TUPLES, help="a log")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="at least five")
    options = parser.parse_args()
    if options.rounds < ROUNDS:
        parser.error(f"--rounds is at least {ROUNDS}")
    all_ways = ways()
    print(f"## Parsing, beside others\n\n{machine()}; {VERSIONS}\n")
    if "jq" not in all_ways:
        print("jq is left out: it is not installed.\n")
    if not SAMPLES.exists():
        print("The captures are left out: there is no ../shared/samples.\n")
    print(markdown(" | ".join(("log, tuples", "orjson.loads, ns a tuple", *all_ways)), ()))
    with tempfile.TemporaryDirectory(prefix="flowlog-bench-") as folder:
        path = Path(folder, "PT1H.json")
        for name, blob in logs(options.tuples):
            path.write_bytes(blob)
            print(row(name, Log(path, blob), all_ways, options.rounds), flush=True)


if __name__ == "__main__":
    main()
