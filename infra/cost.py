"""What a month costs, roughly: `python infra/cost.py` prints the table of README.md.

The prices are list prices in US dollars; prices.json has each with its source, and
`python infra/cost.py prices` prints them. Compare them with Azure's price calculator, and put yours
in. Free monthly amounts are left out, so small sizes cost less than this.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from itertools import pairwise
from math import exp
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
PRICES: dict[str, Any] = json.loads((HERE / "prices.json").read_text(encoding="utf-8"))
MEASURED: dict[str, Any] = json.loads(
    (HERE.parent / "bench" / "scale" / "measured.json").read_text(encoding="utf-8")
)
"""By `python -m bench.scale`, with the machine and the day."""


def price(name: str) -> float:
    """US dollars for one unit."""
    line = PRICES["prices"][name]
    return float(line["dollars"] / line["per"])


HOURS = 730
SIZES = (10, 100, 1000, 10000)  # network interfaces that log
TRIGGERS = ("EventGrid", "EventQueue", "Timer")

# What one commit of Network Watcher causes. It commits each interface's log about once a minute.
COMMITS_AN_HOUR = 60
MESSAGES = 1  # of records, sent by the app
TABLE_OPERATIONS = 3  # the checkpoint: read, claim, commit


class Commit(NamedTuple):
    """What one commit causes with a trigger, beside the app's own calls."""

    event_grid_operations: int
    """Taken in and delivered. A match by an advanced filter would be a third; there is none."""
    queue_operations: int
    """A message is put and deleted. How often the host asks for messages is in RECEIVES."""
    blob_properties: int
    """How often the host asks for the blob's properties before the app reads: docs/host.md."""
    request_rows: int
    """Rows of the host for the invocation, sampled like the lines."""
    lines: int
    """The host's lines about the invocation, the worker's and the app's."""


COMMIT = {
    "EventGrid": Commit(2, 2, 3, 1, 6),
    "EventQueue": Commit(2, 2, 0, 1, 6),
    "Timer": Commit(0, 0, 0, 0, 1),
}
# How often the host asks its queue for messages, for each event, by the events a second of an
# instance. A busy one gets several with one receive; a quiet one often gets none, which is billed
# too. By `python -m bench.scale.polling`.
RATES = (0.2, 1, 5, 10, 20, 40, 60, 80, 100)
RECEIVES: dict[str, Sequence[float]] = {
    "EventGrid": (7.1, 4.6, 2.8, 2.3, 1.9, 1.7, 1.4, 1.1, 0.7),
    "EventQueue": (6.7, 3.5, 1.8, 1.2, 0.8, 0.5, 0.4, 0.3, 0.3),
}
LINE_KB = 1.0
REQUEST_KB = 1.5
FLOWS_A_MINUTE = 20  # of an interface, each with addresses and a port of its own: a row of sums
ROWS_SENT_A_MINUTE = 1000  # at most, by each instance: MAX_ROWS_SENT in observe/traffic.py
# Of such a row, mostly ids, names and addresses. A workspace bills the values and not the JSON:
# learn.microsoft.com/azure/azure-monitor/logs/cost-logs#data-size-calculation, read 2026-11-27.
ROW_KB = 0.3
ITEMS_KEPT_A_SECOND = 5  # rows and lines, by each instance: maxTelemetryItemsPerSecond in host.json

# Flex Consumption bills an instance while anything runs on it, a second at least each time:
# learn.microsoft.com/azure/azure-functions/flex-consumption-plan#billing, read 2026-11-27.
SECONDS_BILLED = 1.0
INSTANCE_GB = 2
# Two thirds of what a core can do with twice the processor time that was measured, as the host,
# which is not in that, needs some as well.
PROCESSOR_S: float = MEASURED["events"]["vnet4, gzip"]["processor_s"]
COMMITS_A_SECOND_OF_AN_INSTANCE = 2 / 3 / (2 * PROCESSOR_S)

# A timer runs on one instance, so more interfaces need more apps. A run looks at the logs of the
# three youngest hours, forwards what is new, and looks at four hours once more; once an hour, at
# all 25. For flow logs of 1,000 interfaces, a listing and a query are a page.
TIMER_RUNS_AN_HOUR = 60
TIMER_RUN_S = 50
TIMER_HOURS_LOOKED_AT = 7 + 21 / TIMER_RUNS_AN_HOUR
TIMER_LISTINGS = 25 + 21 / TIMER_RUNS_AN_HOUR  # of a flow log, a run
TIMER_QUERIES = 7 + 21 / TIMER_RUNS_AN_HOUR
INTERFACES_IN_A_FLOW_LOG = 1000
LISTED_S: float = MEASURED["listed_s"]
TIMER_MAX_INTERFACES: int = MEASURED["timer_interfaces"]  # beyond, p99 is later than 90 s

# On queries every five minutes, and on metrics of one account: infra/modules.
QUERY_ALERTS = {"EventGrid": 9, "EventQueue": 10, "Timer": 8}
METRIC_ALERTS = {"EventGrid": 2, "EventQueue": 1, "Timer": 0}


class Cost(NamedTuple):
    """US dollars a month."""

    commits: int
    instances: float
    compute: float
    event_grid: float
    storage: float
    logs: float
    traffic: float
    alerts: float

    @property
    def total(self) -> float:
        """Everything together."""
        return sum(self[2:])

    def times(self, apps: int) -> Cost:
        """So many apps of this size."""
        return Cost(*(value * apps for value in self))  # type: ignore[arg-type]  # same fields


def month(
    interfaces: int,
    messages: int = MESSAGES,
    flows: int = FLOWS_A_MINUTE,
    instances: float | None = None,
    *,
    trigger: str = "EventGrid",
) -> Cost:
    """For so many interfaces, whose logs are in one account, in the public network.

    Each commit makes so many messages of so many flows. Without `instances`, that is worked out.
    """
    by = COMMIT[trigger]
    seconds = HOURS * 3600
    a_second = interfaces * COMMITS_AN_HOUR / 3600
    commits = interfaces * COMMITS_AN_HOUR * HOURS
    if instances is None:
        instances = _instances(interfaces, trigger)
    running = max(instances, 1)
    items = by.request_rows + by.lines
    kept = min(a_second * items, ITEMS_KEPT_A_SECOND * running)
    row_kb = by.request_rows * REQUEST_KB + by.lines * LINE_KB
    logs_gb = kept * seconds * row_kb / items / 1e6
    rows = min(interfaces * flows, ROWS_SENT_A_MINUTE * running)
    traffic_gb = rows * HOURS * 60 * ROW_KB / 1e6
    storage = commits * (
        (by.queue_operations + receives(trigger, a_second / running) + messages)
        * price("queue operation")
        + TABLE_OPERATIONS * price("table operation")
        + by.blob_properties * price("blob properties")
        + price("blob read")
    )
    executions = commits
    if trigger == "Timer":
        executions = TIMER_RUNS_AN_HOUR * HOURS
        pages = executions * max(1, interfaces / INTERFACES_IN_A_FLOW_LOG)
        storage += pages * (
            TIMER_LISTINGS * price("blob listing") + TIMER_QUERIES * price("table operation")
        )
    return Cost(
        commits,
        instances,
        executions * price("execution")
        + instances * seconds * INSTANCE_GB * price("execution time"),
        commits * by.event_grid_operations * price("event grid operation"),
        storage,
        logs_gb * price("logs"),
        traffic_gb * price("logs"),
        QUERY_ALERTS[trigger] * price("query alert")
        + METRIC_ALERTS[trigger] * price("metric alert"),
    )


def receives(trigger: str, events_a_second: float) -> float:
    """How often the host asks for messages, for each event of an instance with so many."""
    if trigger not in RECEIVES:
        return 0.0
    points = list(zip(RATES, RECEIVES[trigger], strict=True))
    for (slower, more), (faster, fewer) in pairwise(points):
        if events_a_second <= faster:
            part = max(0.0, (events_a_second - slower) / (faster - slower))
            return more + part * (fewer - more)
    return points[-1][1]


def _instances(interfaces: int, trigger: str) -> float:
    """How many instances run on average."""
    a_second = interfaces * COMMITS_AN_HOUR / 3600
    if trigger == "Timer":
        run_s = interfaces * (PROCESSOR_S + TIMER_HOURS_LOOKED_AT * LISTED_S)
        return max(min(run_s, TIMER_RUN_S), SECONDS_BILLED) / 60
    # Commits come at random: this is the part of the time in which an instance has one at least.
    busy = 1 - exp(-a_second * SECONDS_BILLED)
    return max(busy, a_second / COMMITS_A_SECOND_OF_AN_INSTANCE)


def timer_apps(interfaces: int) -> tuple[int, Cost]:
    """How many apps with a timer so many interfaces take, and what they cost together."""
    apps = max(1, -(-interfaces // TIMER_MAX_INTERFACES))
    return apps, month(interfaces // apps, trigger="Timer").times(apps)


def table() -> str:
    """The table, in Markdown."""
    lines = [
        "| trigger | interfaces | commits a month | compute | Event Grid | storage calls "
        "| telemetry | traffic | alerts | together |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for trigger in TRIGGERS:
        for size in SIZES:
            apps, cost = (
                timer_apps(size) if trigger == "Timer" else (1, month(size, trigger=trigger))
            )
            dollars = [f"${value:,.0f}" for value in (*cost[2:], cost.total)]
            lines.append(
                f"| {trigger}{f', {apps} apps' if apps > 1 else ''} | {size:,} "
                f"| {size * COMMITS_AN_HOUR * HOURS / 1e6:,.2f} million | "
                + " | ".join(dollars)
                + " |"
            )
    return "\n".join(lines)


def price_table() -> str:
    """The prices with their sources, in Markdown."""
    home = PRICES["region"]
    lines = ["| price | meter | page | seen for |", "|---|---|---|---|"]
    for line in PRICES["prices"].values():
        per = f"{line['per']:,} " if line["per"] > 1 else ""
        open_point = "" if line["seen_region"] == home else f"; not confirmed here for {home}"
        dollars = f"{line['dollars']:.6f}".rstrip("0")
        dollars += "0" * max(0, 2 - len(dollars.partition(".")[2]))
        lines.append(
            f"| ${dollars} for {per or 'a '}{line['unit']} | {line['meter']} "
            f"| [page]({line['page']}) | [{line['seen_region']}, {line['seen_of']}]({line['seen']})"
            f"{open_point} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(price_table() if sys.argv[1:] == ["prices"] else table())  # noqa: T201 - what it is for
