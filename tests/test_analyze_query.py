"""SQL over flow logs: right types, no network, and the same rows however often they are read."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from ipaddress import ip_address, ip_network
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_records import generated_entries, records_of
from support import ROOT

from flowlog_core.analyze.columns import table_of
from flowlog_core.analyze.named_columns import with_names
from flowlog_core.analyze.names import NAMED_FIELDS, Names
from flowlog_core.analyze.query import BadQuery, in_network, ip_number, run_sql
from flowlog_core.parsing.record import FIELDS

RECORDS = [
    one
    for number, entry in enumerate(generated_entries(3, 20))
    for one in records_of(entry, f"0123456789abcdef01234567.0.{number}.")
]
TABLE = with_names(table_of(RECORDS, FIELDS), Names(), NAMED_FIELDS)


def ask(sql: str) -> tuple[list[dict[str, object]], tuple[str, ...]]:
    """The rows of the result, and the columns that were read for it."""
    asked: list[tuple[str, ...]] = []

    def stream(names: tuple[str, ...]) -> pa.RecordBatchReader:
        asked.append(names)
        chosen = TABLE.select(names)
        return pa.RecordBatchReader.from_batches(chosen.schema, chosen.to_batches(max_chunksize=9))

    rows = run_sql(sql, stream).to_pylist()
    (columns,) = asked
    return rows, columns


def test_only_the_columns_that_a_query_uses_are_read() -> None:
    rows, columns = ask(
        "select src_ip, sum(bytes_src_to_dst) b from flows where dst_port = 443 group by all"
    )
    assert columns == ("src_ip", "dst_port", "bytes_src_to_dst")
    expected: dict[str, int | None] = {}
    for r in (r for r in RECORDS if r["dst_port"] == 443):
        before, more = expected.get(r["src_ip"]), r["bytes_src_to_dst"]
        expected[r["src_ip"]] = before if more is None else (before or 0) + more
    assert {row["src_ip"]: row["b"] for row in rows} == expected


@pytest.mark.parametrize(
    "sql",
    [
        "select count(*) n from flows",
        "select count(*) n from flows a where exists (select 1 from flows b where b.id = a.id)",
        "select sum(n) n from (select count(*) n from flows union all select 0)",
        "with f as (from flows) select count(*) n from f join (select id from f) using (id)",
        "select count(*) n from (select *, row_number() over (order by id) from flows)",
        "select (select count(*) from flows) n",
        "from flows select count(distinct id) as n",
    ],
)
def test_every_row_is_there_however_often_a_query_reads_them(sql: str) -> None:
    assert ask(sql)[0] == [{"n": len(RECORDS)}]


def test_a_query_that_goes_round_is_answered_in_full() -> None:
    sql = (
        "with recursive r(n, c) as (select 0, 0::bigint union all "
        "select n + 1, (select count(*) from flows) from r where n < 3) select max(c) n from r"
    )
    assert ask(sql)[0] == [{"n": len(RECORDS)}]


def test_types_are_those_of_what_they_hold() -> None:
    ((row,), _) = ask(
        "select typeof(time) t, typeof(src_port) p, typeof(bytes_src_to_dst) b, typeof(src_ip) a,"
        " typeof(src_ipv4) n, typeof(ip_number(src_ip)) l, typeof(service) s from flows limit 1"
    )
    assert row == {
        **{"t": "TIMESTAMP WITH TIME ZONE", "p": "USMALLINT", "b": "BIGINT", "a": "VARCHAR"},
        **{"n": "UINTEGER", "l": "UHUGEINT", "s": "VARCHAR"},
    }


def test_addresses_are_compared_as_numbers_and_with_networks() -> None:
    rows, _ = ask(
        "select src_ip, src_ipv4, ip_number(src_ip)::varchar n, in_network(src_ip, '10.0.0.0/8') i,"
        " ip_scope(src_ip) s from flows"
    )
    for row in rows:
        ip = ip_address(str(row["src_ip"]))
        assert row["src_ipv4"] == (int(ip) if ip.version == 4 else None)
        assert row["n"] == str(int(ip))
        assert row["i"] == (ip in ip_network("10.0.0.0/8"))
        assert row["s"] in ("private", "public")
    assert {row["i"] for row in rows} == {True, False}


@given(st.ip_addresses(), st.ip_addresses(), st.integers(0, 128))
def test_a_network_holds_what_ipaddress_says(address: object, base: object, length: int) -> None:
    bits = ip_address(str(base)).max_prefixlen
    network = f"{base}/{min(length, bits)}"
    expected = ip_address(str(address)) in ip_network(network, strict=False)
    assert in_network(str(address), network) is expected
    assert ip_number(str(address)) == int(ip_address(str(address)))


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("select nope from flows", 'column "nope" not found'),
        ("selec 1", "syntax error"),
        ("select 1; select 2", "write one query"),
        ("create table x as select * from flows", "write one query"),
        ("install httpfs", "write one query"),
        ("select in_network(src_ip, 'x') from flows", "does not appear to be"),
        ("select * from nowhere", "nowhere does not exist"),
        ("select * from read_json('https://example.com/x')", "httpfs"),
    ],
)
def test_what_cannot_be_answered_is_explained(sql: str, message: str) -> None:
    with pytest.raises(BadQuery, match=message):
        ask(sql)


def test_no_variable_of_python_is_a_table() -> None:
    records = TABLE
    with pytest.raises(BadQuery, match="records does not exist"):
        ask("select * from records")
    assert records.num_rows == len(RECORDS)


SAMPLE = "../shared/samples/nsg-v2.json"


@pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare, to be without a network")
def test_sql_runs_without_a_network(tmp_path: Path) -> None:
    """In a network namespace of its own, which has no interface that is up."""
    if not (ROOT / SAMPLE).exists():
        pytest.skip(f"there is no {SAMPLE}")
    command = ["unshare", "--map-root-user", "--net", sys.executable, "-m", "flowlog_core"]
    question = "select count(*) n, min(time) t from flows where in_network(dst_ip, '10.0.0.0/8')"
    arguments = ["sql", question, str(ROOT / SAMPLE), "--output", "ndjson"]
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    alone = subprocess.run(
        ["unshare", "--map-root-user", "--net", "true"], capture_output=True, check=False
    )
    if alone.returncode:
        pytest.skip("this machine lets nobody make a network namespace")
    done = subprocess.run(
        [*command, *arguments], cwd=tmp_path, env=environment, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b'{"n":')
    assert list(tmp_path.rglob("*.duckdb_extension*")) == []
