"""SQL over flow records: DuckDB, with a view `flows` of what is read.

Where a query reads `flows` once, records stream through it, and only the columns it uses are made.
Where it reads them more often they are kept first, in memory and then in a temporary folder.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any

import duckdb
import pyarrow as pa

from flowlog_core.analyze.duck import connected, with_plain_integers
from flowlog_core.analyze.names import NAMED_FIELDS, scope_of
from flowlog_core.analyze.schema import schema_of
from flowlog_core.parsing.record import FIELDS

COLUMNS = (*FIELDS, *NAMED_FIELDS)
"""The columns of the view that are read; it has those of `_NUMBERS` too."""

_WORD = re.compile(r"\w+")
_NUMBERS = {"src_ipv4": "src_ip", "dst_ipv4": "dst_ip"}
_FROM_PLAN = "SET disabled_optimizers = 'statistics_propagation,empty_result_pullup'"

Stream = Callable[[tuple[str, ...]], pa.RecordBatchReader]
"""Opens the records with the columns of those names."""


class BadQuery(ValueError):
    """DuckDB refuses the query; the message is its own."""


def run_sql(sql: str, stream: Stream) -> pa.Table:
    """The result of one query over the view `flows`. Raises `BadQuery`.

    Beside SQL's own there are the functions `in_network(ip, network)`, `ip_number(ip)` and
    `ip_scope(ip)`.
    """
    try:
        with connected() as connection:
            _add_functions(connection)
            plan = _plan(connection, sql)
            rows = stream(plan.columns)
            if plan.is_read_once:
                connection.register("read", rows)
            else:
                connection.register("streamed", rows)
                connection.execute("CREATE TEMP TABLE read AS SELECT * FROM streamed")
            _make_view(connection, "read", plan.columns)
            return with_plain_integers(connection.sql(sql).to_arrow_table())
    except duckdb.Error as error:
        raise BadQuery(str(error)) from error


@dataclass(frozen=True)
class _Plan:
    columns: tuple[str, ...]
    is_read_once: bool


def _plan(connection: duckdb.DuckDBPyConnection, sql: str) -> _Plan:
    """What a query reads, from DuckDB's plan of it over an empty table.

    A column whose name occurs in the plan or in the query is read: some that are not needed,
    never one too few.
    """
    statements = duckdb.extract_statements(sql)
    if [one.type for one in statements] != [duckdb.StatementType.SELECT]:
        raise BadQuery("write one query that begins with SELECT, FROM or WITH")
    connection.register("empty", schema_of(COLUMNS).empty_table())
    connection.execute("CREATE TABLE stub AS SELECT * FROM empty")
    _make_view(connection, "stub", COLUMNS)
    connection.execute(_FROM_PLAN)
    plan = "\n".join(str(cell) for row in _explained(connection, sql) for cell in row)
    connection.execute("RESET disabled_optimizers")
    connection.execute("DROP VIEW flows")
    connection.execute("DROP TABLE stub")
    words = {*_WORD.findall(plan), *_WORD.findall(sql)}
    words |= {source for number, source in _NUMBERS.items() if number in words}
    columns = tuple(name for name in COLUMNS if name in words) or ("version",)
    scans = plan.count('"memory.main.stub"')
    return _Plan(columns, scans == 1 and "RECURSIVE" not in f"{plan} {sql}".upper())


def _explained(connection: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[Any, ...]]:
    return connection.execute(f"EXPLAIN (FORMAT json) {sql}").fetchall()


def _make_view(connection: duckdb.DuckDBPyConnection, table: str, columns: tuple[str, ...]) -> None:
    """The view `flows` over a table that has these columns; IPv4 numbers are made where asked."""
    made = [f'"{name}"' for name in columns]
    made += [
        f'CASE WHEN "{source}" NOT LIKE \'%:%\' THEN ip_number("{source}")::UINTEGER END AS {name}'
        for name, source in _NUMBERS.items()
        if source in columns
    ]
    connection.execute(f"CREATE TEMP VIEW flows AS SELECT {', '.join(made)} FROM {table}")  # noqa: S608 - names of ours


def _add_functions(connection: duckdb.DuckDBPyConnection) -> None:
    """Functions on addresses, with cached answers. Null for what is not an address."""
    connection.create_function("in_network", in_network, ["VARCHAR", "VARCHAR"], "BOOLEAN")
    connection.create_function("ip_number", ip_number, ["VARCHAR"], "UHUGEINT")
    connection.create_function("ip_scope", ip_scope, ["VARCHAR"], "VARCHAR")


@lru_cache(maxsize=65_536)
def in_network(address: str, network: str) -> bool:
    """Whether an address is in a network such as 10.0.0.0/8; never in one of the other version.

    Raises ValueError for what is no address or no network.
    """
    return ip_address(address) in _network(network)


@lru_cache(maxsize=256)
def _network(text: str) -> Any:
    return ip_network(text.strip(), strict=False)


@lru_cache(maxsize=65_536)
def ip_number(address: str) -> int:
    """An address as a number: below 2**32 for IPv4, below 2**128 for IPv6."""
    return int(ip_address(address))


@lru_cache(maxsize=65_536)
def ip_scope(address: str) -> str:
    """See `names.scope_of`."""
    return scope_of(address)
