"""`flowlog top` on a gigabyte of logs, beside DuckDB's own JSON reader on the same files.

    python -m bench.analyze [--mb 1000]

Both run in processes of their own, one after the other, and must come to the same sums. What counts
are the ratios: seconds depend on the machine and on what else it does. Then one of the logs is
exported, and the size of the Parquet is compared with that of its records as NDJSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

from bench.harness.measuring import HOUR, machine
from flowlog_core.testing.generate import FlowLogGenerator, Interface

FILES = 16
BY = ("src_ip", "dst_port")
GROUPS = 20

# The plainest that DuckDB has for it: the parts of the entries that are needed, unnested.
DUCKDB = """
import json, sys, duckdb
files, groups = sys.argv[1], int(sys.argv[2])
duckdb.sql("set enable_progress_bar = false")
rows = duckdb.sql(f'''
with entries as (select unnest(records) as e from read_json('{files}',
    maximum_object_size = 2000000000,
    columns = {{records: 'STRUCT(flowRecords STRUCT(flows STRUCT(flowGroups
        STRUCT(flowTuples VARCHAR[])[])[]))[]'}})),
flows as (select unnest(e.flowRecords.flows) as f from entries),
groups as (select unnest(f.flowGroups) as g from flows),
tuples as (select string_split(unnest(g.flowTuples), ',') as t from groups),
fields as (select t[2] as src_ip, t[5]::usmallint as dst_port, t[8] as state,
    nullif(t[10], '')::bigint as ps, nullif(t[11], '')::bigint as bs,
    nullif(t[12], '')::bigint as pd, nullif(t[13], '')::bigint as bd from tuples)
select src_ip, dst_port, count(*) as tuples, count(*) filter (state in ('B', 'D')) as flows,
    coalesce(sum(ps), 0) + coalesce(sum(pd), 0) as packets,
    coalesce(sum(bs), 0) + coalesce(sum(bd), 0) as bytes,
    sum(ps) as packets_src_to_dst, sum(bs) as bytes_src_to_dst,
    sum(pd) as packets_dst_to_src, sum(bd) as bytes_dst_to_src
from fields group by all order by bytes desc, tuples desc, src_ip, dst_port limit {groups}
''')
for row in rows.fetchall():
    print(json.dumps(dict(zip(rows.columns, row)), default=int))
"""


class Ran(NamedTuple):
    """What one process printed, and what it took."""

    out: bytes
    cpu_s: float
    wall_s: float
    max_mb: float


def run(*arguments: str) -> Ran:
    """Run a Python process to its end."""
    started = time.monotonic()
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        out = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{arguments[:3]} failed")
    cpu_s = usage.ru_utime + usage.ru_stime
    return Ran(out, cpu_s, time.monotonic() - started, usage.ru_maxrss / 1024)


def write_logs(folder: Path, total_bytes: int) -> list[Path]:
    """Hourly blobs of several interfaces, as download-batch lays them out."""
    paths = []
    for number in range(FILES):
        interface, hour = Interface.vnet(number), HOUR + timedelta(hours=number % 4)
        path = folder / interface.blob_name(hour)
        path.parent.mkdir(parents=True)
        generator = FlowLogGenerator(number)
        with path.open("wb") as file:
            file.writelines(
                generator.stream(
                    "vnet4", interface, hour, total_bytes // FILES, tuples=100, templates=200
                )
            )
        paths.append(path)
    return paths


def rows_of(out: bytes) -> list[dict[str, Any]]:
    """The groups that a process printed."""
    return [json.loads(line) for line in out.splitlines()]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mb", type=int, default=1000, help="of logs (default 1000)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="flowlog-bench-") as folder:
        paths = write_logs(Path(folder, "logs"), options.mb * 1_000_000)
        top = ("top", "--by", ",".join(BY), "-n", str(GROUPS), "--output", "ndjson")
        ours = run("-m", "flowlog_core", *top, f"{folder}/logs")
        theirs = run("-c", DUCKDB, f"{folder}/logs/**/*.json", str(GROUPS))
        everything = run("-m", "flowlog_core", "aggregate", "--every", "all", "--output", "ndjson",
                         f"{folder}/logs")  # fmt: skip
        tuples = rows_of(everything.out)[0]["tuples"]
        if rows_of(ours.out) != rows_of(theirs.out):
            raise SystemExit("the sums are not the same")
        print(f"## The analyst\n\n{machine()}; {options.mb} MB, {tuples:,} tuples\n")
        print("| | processor s | elapsed s | largest MB |\n|---|--:|--:|--:|")
        for name, ran in (("flowlog top", ours), ("DuckDB's JSON reader", theirs)):
            print(f"| {name} | {ran.cpu_s:.1f} | {ran.wall_s:.1f} | {ran.max_mb:.0f} |")
        cpu, wall = ours.cpu_s / theirs.cpu_s, ours.wall_s / theirs.wall_s
        print(f"\nThe same sums, with {cpu:.2f} of the processor time and {wall:.2f} of the time.")
        one = str(paths[0])
        run("-m", "flowlog_core", "export", "--to", f"{folder}/out", one)
        parquet = sum(path.stat().st_size for path in Path(folder, "out").rglob("*.parquet"))
        records = ("-m", "flowlog_core", "flows", one)
        with Path(folder, "records").open("wb") as file:
            subprocess.run([sys.executable, *records], stdout=file, check=True)
        ndjson = Path(folder, "records").stat().st_size
        print(f"\nOne log as Parquet: {parquet:,} bytes, {ndjson / parquet:.0f} times smaller than "
              f"the {ndjson:,} of its records as NDJSON.")  # fmt: skip


if __name__ == "__main__":
    main()
