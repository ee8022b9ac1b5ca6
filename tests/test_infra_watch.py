"""Alerts and workbook of infra/: they ask only for what the app and its host really send."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from infra_snapshot import INGESTION, ONE, QUEUED, TIMED, TWO, main, settings_of, state_of

from flowlog_core.blob import BlobRef, LogBlob
from flowlog_core.config.settings import Settings
from flowlog_core.observe.log import LogObserver
from flowlog_core.observe.log_analytics import STREAM
from flowlog_core.observe.metrics import METRICS
from flowlog_core.observe.traffic import Traffic
from flowlog_core.outcome import Failed, Outcome
from flowlog_core.parsing.entry import normalize
from flowlog_core.testing.generate import FlowLogGenerator, Interface
from infra.cost import ITEMS_KEPT_A_SECOND

HOUR = datetime(2026, 1, 31, 9, tzinfo=UTC)
INFRA = Path(__file__).resolve().parents[1] / "infra"
WORKBOOK: dict[str, Any] = json.loads((INFRA / "workbook.json").read_text(encoding="utf-8"))
QUERIES = {
    item["name"]: item["content"]["query"] for item in WORKBOOK["items"] if item["type"] == 3
}
ALERTS = (
    "lag",
    "failures",
    "dead-letters",
    "silence",
    "queue-age",
    "queue-depth",
    "missed-events",
    "no-sweep",
    "host-stops",
)


def alerts(**parameters: Any) -> dict[str, dict[str, Any]]:
    """Name without the token -> properties."""
    return {
        one.name.rpartition("-")[0].removeprefix("flowlog-"): one.body["properties"]
        for one in main(**(parameters or TWO)).of("Microsoft.Insights/scheduledQueryRules")
    }


def alert_query(name: str) -> str:
    query: str = alerts()[name]["criteria"]["allOf"][0]["query"]
    return query


def asked_for() -> list[str]:
    return [*QUERIES.values(), *map(alert_query, ALERTS)]


def test_every_metric_that_is_asked_for_is_one_of_the_apps() -> None:
    metrics = {one.name for one in METRICS}
    attributes = {name for one in METRICS for name in one.attributes}
    for query in asked_for():
        quoted = set(re.findall(r'"((?:flowlog|error)\.[\w.]+)"', query))
        assert quoted - metrics - attributes == set()
        dimensions = set(re.findall(r'customDimensions\["(.*?)"\]', query))
        asked = [one for one in METRICS if one.name in quoted]
        assert [one.name for one in asked if dimensions - {*one.attributes}] == []


def test_a_counter_is_added_up_and_a_histogram_has_its_mean_or_extremes() -> None:
    """Application Insights keeps count, sum, least and most of a period, and no buckets."""
    kinds = {one.name: one.kind for one in METRICS}
    for query in asked_for():
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
    to_hub = main(**TWO, sink="eventhub").of("Microsoft.Insights/metricAlerts")
    added = {one.name.partition("-evhns-")[0] for one in to_hub if "-evhns-" in one.name}
    assert added == {"flowlog-event-hub-throttled"}
    assert tuple(alerts()) == ALERTS
    (silence,) = (
        one
        for one in made.of("Microsoft.Insights/scheduledQueryRules")
        if one.name.startswith("flowlog-silence")
    )
    assert silence.body["properties"]["windowSize"] == "PT120M"


def test_each_trigger_has_the_alerts_that_mean_something_for_it() -> None:
    """Without events the sweep forwards all; without a blob trigger nobody fills the queue."""
    queued, timed = main(**QUEUED), main(**TIMED)
    kept = [one.name.rpartition("-")[0] for one in queued.of("Microsoft.Insights/metricAlerts")]
    assert kept == ["flowlog-undelivered-events"] * 2
    assert timed.of("Microsoft.Insights/metricAlerts") == []
    rules = {
        made: [
            one.name.rpartition("-")[0].removeprefix("flowlog-")
            for one in snapshot.of("Microsoft.Insights/scheduledQueryRules")
        ]
        for made, snapshot in (("queued", queued), ("timed", timed))
    }
    with_poison = [*ALERTS]
    with_poison.insert(ALERTS.index("missed-events"), "event-poison")
    assert rules["queued"] == with_poison
    assert rules["timed"] == [name for name in ALERTS if name != "missed-events"]
    windows = [
        one.body["properties"]["windowSize"]
        for snapshot in (queued, timed)
        for one in snapshot.of("Microsoft.Insights/scheduledQueryRules")
        if one.name.startswith("flowlog-no-sweep-")
    ]
    assert windows == ["PT60M", "PT15M"]  # with a timer nothing arrives meanwhile


def test_events_that_the_host_gave_up_on_raise_an_alert() -> None:
    """The name of the queue is the host's: the event queue's, and `-poison` (docs/host.md)."""
    queued = main(**QUEUED)
    (rule,) = (
        one.body["properties"]
        for one in queued.of("Microsoft.Insights/scheduledQueryRules")
        if one.name.startswith("flowlog-event-poison-")
    )
    (measure,) = rule["criteria"]["allOf"]
    assert (measure["operator"], measure["threshold"]) == ("GreaterThan", 0)
    assert [one["name"] for one in measure["dimensions"]] == ["queue"]
    events = settings_of(queued)["FLOWLOG_EVENT_QUEUE"]
    assert measure["query"] == (
        'customMetrics | where name == "flowlog.queue.messages" and '
        f'tostring(customDimensions["flowlog.queue"]) == "{events}-poison" | summarize found = '
        'max(valueMax) by queue = tostring(customDimensions["flowlog.queue"])'
    )


def test_the_readme_tells_of_every_alert() -> None:
    readme = (INFRA / "README.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"\| alert \| fires when \|\n\|.*?\n(.*?)\n\n", readme, re.DOTALL)
    told = [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines()]
    rules = main(**QUEUED).of("Microsoft.Insights/scheduledQueryRules")
    titles = [one.body["properties"]["displayName"].removeprefix("Flowlog: ") for one in rules]
    assert told[: len(titles)] == titles
    assert told[len(titles) :] == [
        "`flowlog-poison-queue-…`",
        "`flowlog-undelivered-events-…`",
        "`flowlog-event-hub-throttled-…`",
    ]


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_looks_at_its_own_measure_and_reaches_the_action_group(name: str) -> None:
    rule = alerts()[name]
    measure = rule["criteria"]["allOf"][0]
    column = measure["metricMeasureColumn"]
    assert re.search(rf"(?:summarize|account,) {column} = \w+\(", measure["query"])
    assert len(rule["actions"]["actionGroups"]) == 1
    (group,) = main(**TWO).of("Microsoft.Insights/actionGroups")
    assert rule["actions"]["actionGroups"] == [group.id]


def test_silence_is_told_for_each_account_also_for_one_that_was_never_heard() -> None:
    made = main(**TWO, trial=True)
    (rule,) = (
        one.body["properties"]
        for one in made.of("Microsoft.Insights/scheduledQueryRules")
        if one.name.startswith("flowlog-silence")
    )
    (measure,) = rule["criteria"]["allOf"]
    assert measure["dimensions"] == [{"name": "account", "operator": "Include", "values": ["*"]}]
    (listed,) = re.findall(r"^datatable\(account:string\) \[(.*?)\]", measure["query"])
    trial = f"stflowtrial{state_of(made)[-13:]}"
    assert json.loads(f"[{listed}]") == ["logse", "logsw", trial]
    assert "join kind=leftouter" in measure["query"]


def test_each_alert_fires_by_account_or_by_queue_if_its_metric_says_which() -> None:
    """Over all accounts together, one that is quiet or late hides behind the others."""
    attributes = {one.name: one.attributes for one in METRICS}
    split, expected = {}, {}
    for name, rule in alerts().items():
        (measure,) = rule["criteria"]["allOf"]
        split[name] = [one["name"] for one in measure["dimensions"]]
        asked = re.findall(r'"(flowlog\.[\w.]+)"', measure["query"])
        of = {attribute for metric in asked for attribute in attributes.get(metric, ())}
        expected[name] = [by for by in ("account", "queue") if f"flowlog.{by}" in of]
    assert split == expected
    assert [name for name in ALERTS if not split[name]] == ["no-sweep", "host-stops"]


@pytest.mark.parametrize(
    "name", ["lag", "failures", "dead-letters", "queue-age", "queue-depth", "missed-events"]
)
def test_what_an_alert_is_split_by_is_a_column_of_its_query(name: str) -> None:
    """So that an alert names the one account in trouble, though others do well."""
    measure = alerts()[name]["criteria"]["allOf"][0]
    (dimension,) = measure["dimensions"]
    column = dimension["name"]
    assert f' by {column} = tostring(customDimensions["flowlog.{column}"])' in measure["query"]


def test_a_consumer_that_is_stopped_for_15_minutes_raises_an_alert() -> None:
    """A sweep looks every five minutes, and each evaluation sees the last three."""
    rule = alerts()["queue-age"]
    measure = rule["criteria"]["allOf"][0]
    assert (measure["operator"], measure["threshold"]) == ("GreaterThan", 15 * 60)
    assert (rule["windowSize"], rule["evaluationFrequency"]) == ("PT15M", "PT5M")


def test_nothing_is_counted_in_rows_that_are_sampled() -> None:
    """`requests` and lines are samples at a busy app; metrics and exceptions are whole."""
    host = json.loads((INFRA.parent / "host.json").read_text(encoding="utf-8"))
    sampling = host["logging"]["applicationInsights"]["samplingSettings"]
    assert sampling == {
        "isEnabled": True,
        "maxTelemetryItemsPerSecond": ITEMS_KEPT_A_SECOND,
        "excludedTypes": "Exception",
    }
    assert [query for query in asked_for() if re.match(r"\s*requests\b", query)] == []


def test_the_workbook_finds_its_data_also_when_it_is_opened_elsewhere() -> None:
    made = main(**ONE)
    (workbook,) = made.of("Microsoft.Insights/workbooks")
    (insights,) = made.of("Microsoft.Insights/components")
    (workspace,) = made.of("Microsoft.OperationalInsights/workspaces")
    written = workbook.body["properties"]["serializedData"]
    assert json.loads(written)["fallbackResourceIds"] == [insights.id]
    assert workbook.body["properties"]["sourceId"] == insights.id
    assert "{{" not in written
    assert workspace.id in written


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the app writes of a blob that was forwarded, and of one that failed."""
    log = LogBlob.parse(
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
TRAFFIC = {name: query for name, query in QUERIES.items() if "FlowlogTraffic_CL" in query}


def test_the_table_for_traffic_has_the_columns_of_the_rows_that_the_app_sends() -> None:
    entry = FlowLogGenerator(1).entry("vnet4", Interface.vnet(), HOUR, 9)
    traffic = Traffic()
    traffic.add(normalize(json.loads(entry.raw), "a.0.0.").lines)
    whole = traffic.rows()
    traffic.fold(4)
    kinds = {
        "datetime": lambda value: datetime.fromisoformat(value).tzinfo is not None,
        "string": lambda value: value is None or isinstance(value, str),
        "int": lambda value: value is None or isinstance(value, int),
        "long": lambda value: isinstance(value, int),
    }
    for row in whole + traffic.rows():
        assert list(row) == [column["name"] for column in COLUMNS]
        for column in COLUMNS:
            assert kinds[column["type"]](row[column["name"]]), column


def test_where_the_table_for_traffic_is_missing_an_empty_one_like_it_is_asked() -> None:
    """That queries ask for columns that are there is tested in test_infra_kql.py."""
    assert TRAFFIC.keys() == {
        "trafficOverTime",
        "bytesOverTime",
        "talkers",
        "denied",
        "rules",
        "ports",
    }
    kinds = {column["name"]: column["type"] for column in COLUMNS}
    for query in TRAFFIC.values():
        stand_in = re.search(r"datatable\((.*?)\)", query)
        assert stand_in
        assert dict(part.split(":") for part in stand_in[1].split(", ")) == kinds


def test_traffic_is_shown_by_its_own_minute() -> None:
    """Azure dates rows that come very late by when they come."""
    for query in TRAFFIC.values():
        assert "| where minute {TimeRange:value}" in query
        assert "TimeGenerated" not in query.split("[])")[1]


def test_who_is_folded_is_no_talker() -> None:
    for name in ("talkers", "denied"):
        assert "isnotempty(src_ip)" in TRAFFIC[name]
    assert "isnotnull(dst_port)" in TRAFFIC["ports"]
    assert [name for name, query in TRAFFIC.items() if "isnot" in query] == [
        "talkers",
        "denied",
        "ports",
    ]


def test_traffic_has_its_table_and_a_way_in_for_the_app() -> None:
    made = main(**TWO)
    (table,) = made.of("Microsoft.OperationalInsights/workspaces/tables")
    (rule,) = made.of("Microsoft.Insights/dataCollectionRules")
    assert table.body["properties"]["schema"] == {"name": table.name, "columns": COLUMNS}
    assert rule.body["properties"]["streamDeclarations"] == {STREAM: {"columns": COLUMNS}}
    (flow,) = rule.body["properties"]["dataFlows"]
    assert (flow["streams"], flow["outputStream"]) == ([STREAM], f"Custom-{table.name}")
    # Azure lets a rule with an address of its own have no longer name.
    assert (rule.body["kind"], len(rule.name) <= 30) == ("Direct", True)
    settings = settings_of(made)
    assert settings["FLOWLOG_TRAFFIC_ENDPOINT"] == INGESTION["logsIngestion"]
    assert settings["FLOWLOG_TRAFFIC_RULE"] == INGESTION["immutableId"]


def test_without_the_table_the_app_sums_up_nothing() -> None:
    made = main(**TWO, trafficTable=False)
    assert made.of("Microsoft.Insights/dataCollectionRules") == []
    assert made.of("Microsoft.OperationalInsights/workspaces/tables") == []
    settings = Settings.from_environment(settings_of(made))
    assert (settings.traffic_endpoint, settings.traffic_rule) == ("", "")
