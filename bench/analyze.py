"""`flowlog top` on a gigabyte of logs, beside DuckDB's own JSON reader on the same files.

    python -m bench.analyze [--mb 1000]

Both run in processes of their own, one after the other, and must come to the same sums. What counts
are the ratios: seconds depend on the machine and on what else it does. Then one of the logs is
exported, and the size of the Parquet is compared with that of its records as NDJSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

from bench.harness.figures import Ran, machine, markdown, run_python
from bench.harness.logs import HOUR
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


def flowlog(*arguments: str, stdout: IO[bytes] | None = None) -> Ran:
    """Run a command of Flowlog."""
    return run_python("-m", "flowlog_core", *arguments, stdout=stdout)


def rows_of(ran: Ran) -> list[dict[str, Any]]:
    """The groups that a process printed."""
    return [json.loads(line) for line in ran.out.splitlines()]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mb", type=int, default=1000, help="of logs (default 1000)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="flowlog-bench-") as folder:
        paths = write_logs(Path(folder, "logs"), options.mb * 1_000_000)
        all_logs, one_log = f"{folder}/logs", str(paths[0])
        ndjson = ("--output", "ndjson")
        ours = flowlog("top", "--by", ",".join(BY), "-n", str(GROUPS), *ndjson, all_logs)
        theirs = run_python("-c", DUCKDB, f"{all_logs}/**/*.json", str(GROUPS))
        if rows_of(ours) != rows_of(theirs):
            raise SystemExit("the sums are not the same")
        (total,) = rows_of(flowlog("aggregate", "--every", "all", *ndjson, all_logs))
        flowlog("export", "--to", f"{folder}/out", one_log)
        parquet = sum(path.stat().st_size for path in Path(folder, "out").rglob("*.parquet"))
        records = Path(folder, "records")
        with records.open("wb") as file:
            flowlog("flows", one_log, stdout=file)
        record_bytes = records.stat().st_size
    print(f"## The analyst\n\n{machine()}; {options.mb} MB, {total['tuples']:,} tuples\n")
    rows = [
        (name, f"{ran.took.processor_s:.1f}", f"{ran.took.elapsed_s:.1f}", f"{ran.max_mb:.0f}")
        for name, ran in (("flowlog top", ours), ("DuckDB's JSON reader", theirs))
    ]
    print(markdown(" | processor s | elapsed s | largest MB", rows))
    cpu, wall = (one / other for one, other in zip(ours.took, theirs.took, strict=True))
    print(f"\nThe same sums, with {cpu:.2f} of the processor time and {wall:.2f} of the time.")
    print(
        f"\nOne log as Parquet: {parquet:,} bytes, {record_bytes / parquet:.0f} times smaller than "
        f"the {record_bytes:,} of its records as NDJSON."
    )


if __name__ == "__main__":
    main()
