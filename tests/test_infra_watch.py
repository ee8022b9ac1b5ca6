"""Alerts and workbook of infra/: they ask only for what the app and its host really send."""

from __future__ import annotations

import ast
import json
import logging
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from infra_made import TWO, main

from flowlog_core import blob_name
from flowlog_core.checkpoint import BlobRef
from flowlog_core.normalize import normalize
from flowlog_core.pipeline import Failed, LogObserver, Outcome
from flowlog_core.records import FIELDS
from flowlog_core.telemetry import METRICS
from flowlog_core.testing.generate import FlowLogGenerator, Interface

HOUR = datetime(2026, 1, 31, 9, tzinfo=UTC)
INFRA = Path(__file__).resolve().parents[1] / "infra"
WORKBOOK: dict[str, Any] = json.loads((INFRA / "workbook.json").read_text(encoding="utf-8"))
QUERIES = {
    item["name"]: item["content"]["query"] for item in WORKBOOK["items"] if item["type"] == 3
}
ALERTS = {
    one.name.rpartition("-")[0].removeprefix("flowlog-"): one.body["properties"]
    for one in main(**TWO).of("Microsoft.Insights/scheduledQueryRules")
}


def alert_query(name: str) -> str:
    query: str = ALERTS[name]["criteria"]["allOf"][0]["query"]
    return query


ASKED = [*QUERIES.values(), *map(alert_query, ALERTS)]


def test_every_metric_that_is_asked_for_is_one_of_the_apps() -> None:
    metrics = {one.name for one in METRICS}
    attributes = {name for one in METRICS for name in one.attributes}
    for query in ASKED:
        quoted = set(re.findall(r'"((?:flowlog|error)\.[\w.]+)"', query))
        assert quoted - metrics - attributes == set()
        dimensions = set(re.findall(r'customDimensions\["(.*?)"\]', query))
        asked = [one for one in METRICS if one.name in quoted]
        assert [one.name for one in asked if dimensions - {*one.attributes}] == []


def test_a_counter_is_added_up_and_a_histogram_has_its_mean_or_extremes() -> None:
    """Application Insights keeps count, sum, least and most of a period, and no buckets."""
    kinds = {one.name: one.kind for one in METRICS}
    for query in ASKED:
        asked = {kinds[name] for name in re.findall(r'"([\w.]+)"', query) if name in kinds}
        if asked == {"counter"}:
            assert "sum(valueSum)" in query
        elif asked:
            assert asked == {"histogram"}
            assert re.search(r"max\(valueMax\)|sum\(valueCount\)", query)


def test_what_must_not_go_unnoticed_has_an_alert() -> None:
    made = main(**TWO, silenceMinutes=120)
    watched = {one.name.rpartition("-")[0] for one in made.of("Microsoft.Insights/metricAlerts")}
    assert watched == {"flowlog-poison-queue", "flowlog-undelivered-events"}
    assert ALERTS.keys() == {
        "lag",
        "failures",
        "dead-letters",
        "silence",
        "missed-events",
        "no-sweep",
    }
    (silence,) = (
        one
        for one in made.of("Microsoft.Insights/scheduledQueryRules")
        if one.name.startswith("flowlog-silence")
    )
    assert silence.body["properties"]["windowSize"] == "PT120M"


def test_the_readme_tells_of_every_alert() -> None:
    readme = (INFRA / "README.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"\| alert \| fires when \|\n\|.*?\n(.*?)\n\n", readme, re.DOTALL)
    told = [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines()]
    assert told[: len(ALERTS)] == [
        one["displayName"].removeprefix("Flowlog: ") for one in ALERTS.values()
    ]
    assert told[len(ALERTS) :] == ["`flowlog-poison-queue-…`", "`flowlog-undelivered-events-…`"]


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_looks_at_its_own_measure_and_reaches_the_action_group(name: str) -> None:
    rule, measure = ALERTS[name], ALERTS[name]["criteria"]["allOf"][0]
    assert re.search(rf"summarize {measure['metricMeasureColumn']} = \w+\(", measure["query"])
    assert len(rule["actions"]["actionGroups"]) == 1
    (group,) = main(**TWO).of("Microsoft.Insights/actionGroups")
    assert rule["actions"]["actionGroups"] == [group.id]


def test_events_are_recognized_by_the_names_of_the_functions() -> None:
    watched = json.loads((INFRA / "names.json").read_text())["watched"]
    prefixes = {f"{one['function']}_" for one in watched}
    for query in (alert_query("silence"), QUERIES["invocations"]):
        assert set(re.findall(r'name startswith "(\w+)"', query)) == prefixes


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the app writes of a blob that was forwarded, and of one that failed."""
    log = blob_name.parse(
        "resourceId=/SUBSCRIPTIONS/S/RESOURCEGROUPS/R/PROVIDERS/MICROSOFT.NETWORK/"
        "NETWORKSECURITYGROUPS/WEB/y=2026/m=01/d=31/h=09/m=00/macAddress=6045BDEC2532/PT1H.json"
    )
    assert log
    blob = BlobRef("logse", "insights-logs-networksecuritygroupflowevent", log)
    with caplog.at_level(logging.INFO):
        LogObserver().done(blob, Outcome(entries=2, records=30, dead_letters=1, new_bytes=4096))
        LogObserver().failed(blob, Failed(offset=12, attempts=1, error=ValueError("why")))
    return [record.getMessage() for record in caplog.records]


def test_the_lines_that_the_workbook_reads_are_the_lines_that_the_app_writes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    forwarded, failed = lines(caplog)
    for name in ("networks", "interfaces"):
        parse = re.search(r"parse message with (.*)", QUERIES[name])
        assert parse
        # Kusto's simple mode: text as written, names for what is between, * for anything.
        pattern = "".join(
            re.escape(quoted) if quoted else r"(.*?)" if star else rf"(?P<{word}>.*?)"
            for quoted, star, word in re.findall(r'"(.*?)"|(\*)|(\w+)(?::\w+)?', parse[1])
        )
        match = re.fullmatch(pattern, forwarded)
        assert match, forwarded
        numbers = [match[n] for n in ("records", "dead_letters", "new_bytes")]
        assert numbers == ["30", "1", "4096"]
        found = [
            re.search(pattern, match["blob"])
            for pattern in re.findall(r'extract\("(.*?)", 1, blob\)', QUERIES[name])
        ]
        assert [one and one[1] for one in found] == ["WEB", "6045BDEC2532"]
    assert 'message startswith "failed "' in QUERIES["failed"]
    assert failed.startswith("failed logse/")


COLUMNS: list[dict[str, str]] = json.loads((INFRA / "traffic-columns.json").read_text())


def test_the_table_for_traffic_has_the_fields_of_the_flow_record() -> None:
    """`id` and `time` have names of the workspace's own there."""
    names = [column["name"] for column in COLUMNS]
    assert names == ["TimeGenerated", "record_id", *FIELDS[2:]]
    assert {FIELDS[0], FIELDS[1]} == {"id", "time"}
    entry = FlowLogGenerator(1).entry("vnet4", Interface.vnet(), HOUR, 1)
    record = json.loads(normalize(json.loads(entry.raw), "a.0.0.").lines[0])
    kinds = {"string": (str, type(None)), "int": (int, type(None)), "long": (int, type(None))}
    for column in COLUMNS[2:]:
        assert isinstance(record[column["name"]], kinds[column["type"]]), column


def test_traffic_is_asked_of_columns_that_are_there() -> None:
    asked = {name: query for name, query in QUERIES.items() if "FlowlogRecords_CL" in query}
    assert asked.keys() == {
        "trafficOverTime",
        "bytesOverTime",
        "talkers",
        "denied",
        "rules",
        "ports",
    }
    kinds = {column["name"]: column["type"] for column in COLUMNS}
    for query in asked.values():
        stand_in = re.search(r"datatable\((.*?)\)", query)
        assert stand_in
        declared = dict(part.split(":") for part in stand_in[1].split(", "))
        assert declared.items() <= kinds.items()
        rest = query.split("[])")[1]
        used = set(re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", rest)) - {"arg_max"}
        for grouped in re.findall(r" by (.*)", rest):
            used |= set(re.findall(r"\b[a-z_]+\b", re.sub(r"bin\(.*?\)", "", grouped)))
        assert used - declared.keys() - {"bytes", "flows"} == set()


def test_traffic_has_its_table_and_a_way_in_when_it_is_asked_for() -> None:
    assert main(**TWO).of("Microsoft.Insights/dataCollectionRules") == []
    made = main(**TWO, trafficTable=True, trafficWriter="somebody")
    (table,) = made.of("Microsoft.OperationalInsights/workspaces/tables")
    (rule,) = made.of("Microsoft.Insights/dataCollectionRules")
    assert table.body["properties"]["schema"] == {"name": table.name, "columns": COLUMNS}
    (flow,) = rule.body["properties"]["dataFlows"]
    assert flow["outputStream"] == f"Custom-{table.name}"
    assert flow["streams"] == list(rule.body["properties"]["streamDeclarations"])
    assert made.outputs["FLOWLOG_TRAFFIC_RULE"] == f"{rule.name}.properties.immutableId"
    writers = [
        one.id.partition("/providers/Microsoft.Authorization")[0]
        for one in made.of("Microsoft.Authorization/roleAssignments")
        if one.body["properties"]["principalId"] == "somebody"
    ]
    assert writers == [rule.id]


def test_the_readme_shows_a_consumer_whose_rows_fit_the_table() -> None:
    text = (INFRA / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    found: dict[str, Any] = {}
    functions = [part for part in ast.parse(code).body if isinstance(part, ast.FunctionDef)]
    (row,) = (function for function in functions if function.name == "row")
    exec(compile(ast.Module([row], []), "README.md", "exec"), found)
    made = found["row"](dict.fromkeys(FIELDS, "x"))
    assert made == {column["name"]: "x" for column in COLUMNS}


def test_the_readme_has_the_costs_that_the_script_works_out() -> None:
    ran = subprocess.run(
        [sys.executable, INFRA / "cost.py"], stdout=subprocess.PIPE, text=True, check=True
    )
    assert ran.stdout in (INFRA / "README.md").read_text(encoding="utf-8")
