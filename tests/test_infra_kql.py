"""Every Kusto query in infra/ and docs/, read by Microsoft's own analysis (tools/kql)."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from test_infra_watch import ALERTS, COLUMNS, QUERIES, alert_query

ROOT = Path(__file__).resolve().parents[1]
KQL = ROOT / "tools/kql"

# Of Application Insights' tables, as far as they are asked for; types as Microsoft's reference of
# Azure Monitor's tables gives them.
TABLES = {
    "customMetrics": "timestamp:datetime, name:string, valueCount:int, valueSum:real, "
    "valueMin:real, valueMax:real, customDimensions:dynamic",
    "traces": "timestamp:datetime, message:string, severityLevel:int, itemCount:int, "
    "operation_Name:string, customDimensions:dynamic",
    "exceptions": "timestamp:datetime, type:string, outerMessage:string, customDimensions:dynamic",
    "FlowlogTraffic_CL": ", ".join(f"{one['name']}:{one['type']}" for one in COLUMNS),
}


Faults = Callable[..., dict[str, list[str]]]


@pytest.fixture(scope="module")
def faults() -> Iterator[Faults]:
    """What is wrong with each query. It is one process, as its start takes most of the time."""
    with subprocess.Popen(
        ["node", "check.js"], cwd=KQL, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as node:
        assert node.stdin is not None
        assert node.stdout is not None
        to_node, from_node = node.stdin, node.stdout

        def ask(queries: dict[str, str], tables: dict[str, str] = TABLES) -> dict[str, list[str]]:
            print(json.dumps({"tables": tables, "queries": queries}), file=to_node, flush=True)
            found: dict[str, list[str]] = json.loads(from_node.readline())
            assert found.keys() == queries.keys()
            return found

        yield ask


def filled_in(query: str) -> str:
    """As the workbook sends it: its parameters replaced by what they stand for."""
    return query.replace("{TimeRange:grain}", "5m").replace("{TimeRange:value}", "> ago(1d)")


@pytest.mark.parametrize("with_traffic", [True, False])
def test_queries_are_sound_and_ask_for_columns_that_are_there(
    with_traffic: bool, faults: Faults
) -> None:
    """Queries for traffic summaries work even if the table was not created."""
    tables = {name: TABLES[name] for name in TABLES if with_traffic or name != "FlowlogTraffic_CL"}
    queries = {name: filled_in(query) for name, query in QUERIES.items()}
    queries |= {f"alert {name}": alert_query(name) for name in ALERTS}
    wrong = [
        (name, fault)
        for name, found in faults(queries, tables).items()
        for fault in found
        if not (fault.startswith("KS205 The fuzzy name") and fault.endswith("(FlowlogTraffic_CL)"))
    ]
    assert wrong == []


def test_the_queries_in_the_docs_are_sound(faults: Faults) -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("docs/*.md")))
    blocks = re.findall(r"```kusto\n(.*?)```", text, re.DOTALL)
    queries = {query: query for block in blocks for query in block.split("\n\n")}
    assert len(queries) >= 6
    assert {query: found for query, found in faults(queries).items() if found} == {}


def test_what_is_wrong_with_a_query_would_be_found(faults: Faults) -> None:
    lag = alert_query("lag")
    found = faults(
        {
            "well": lag,
            "no column": lag.replace("valueMax", "valueMost"),
            "no table": lag.replace("customMetrics", "customMetric"),
            "no function": lag.replace("max(", "most("),
            "not closed": lag[:-1],
            "a word of the language": lag.replace("found", "last"),
        }
    )
    assert [name for name, wrong in found.items() if not wrong] == ["well"]
