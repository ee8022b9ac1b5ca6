"""What a month costs, roughly: `python infra/cost.py` prints the table of README.md.

Prices are list prices of East US in US dollars, as they were known when this was written. Nothing
looks them up: compare them with Azure's price calculator, and put yours in. Free monthly amounts
are left out, so small sizes cost less than this.
"""

from __future__ import annotations

from math import exp
from typing import NamedTuple

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
    """A message is put, received and deleted; each receive is taken to bring one."""
    blob_reads: int
    request_rows: int
    """Rows of the host for the invocation, sampled like the lines."""
    lines: int
    """The host's lines about the invocation, the worker's and the app's."""


COMMIT = {
    # The host asks for the blob's properties three times before the app reads: docs/host.md.
    "EventGrid": Commit(2, 3, 4, 1, 6),
    "EventQueue": Commit(2, 3, 1, 1, 6),
    "Timer": Commit(0, 0, 1, 0, 1),
}
LINE_KB = 1.0
REQUEST_KB = 1.5
FLOWS_A_MINUTE = 20  # of an interface, each with addresses and a port of its own: a row of sums
ROWS_SENT_A_MINUTE = 1000  # at most, by each instance: MAX_ROWS_SENT in observe/traffic.py
ROW_KB = 0.5  # ids, names and addresses are most of it
ITEMS_KEPT_A_SECOND = 20  # rows and lines, for each instance: Application Insights samples the rest

# Flex Consumption bills an instance while anything runs on it, a second at least each time.
SECONDS_BILLED = 1.0
INSTANCE_GB = 2
# Two thirds of what a core can do with twice the processor time that `bench.bench_scale` measures,
# as the host, which is not in that, needs some as well.
COMMITS_A_SECOND_OF_AN_INSTANCE = 40

# By the timer, an instance works so long for each commit and lists so much in each run, for flow
# logs of 1,000 interfaces (a listing and a query are a page): docs/scaling.md. More instances would
# not help: a timer runs on one.
TIMER_COMMIT_SECONDS = 0.009  # of the append, and of listing three hours for it
INTERFACES_IN_A_FLOW_LOG = 1000
TIMER_LISTINGS = 20  # of a flow log, a run: 12 for the young hours, 8 for older ones
TIMER_QUERIES = 28  # 3 hours and 25 hours of 1,000 checkpoints
TIMER_RUNS_AN_HOUR = 60
TIMER_MAX_INTERFACES = 4000  # beyond, p99 is later than 90 s

EXECUTIONS = 0.40 / 1e6
GB_SECOND = 0.000026
EVENT_GRID = 0.60 / 1e6
QUEUE = 0.004 / 1e4
TABLE = 0.00036 / 1e4
BLOB_READ = 0.0044 / 1e4
BLOB_LISTING = 0.055 / 1e4  # as a write; this price was not confirmed
LOGS_GB = 2.30
# On queries every five minutes, and on metrics of one account.
ALERTS = {
    "EventGrid": 9 * 1.50 + 2 * 0.10,
    "EventQueue": 9 * 1.50 + 0.10,
    "Timer": 8 * 1.50,
}


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
        instances = _instances(a_second, trigger)
    items = by.request_rows + by.lines
    kept = min(a_second * items, ITEMS_KEPT_A_SECOND * max(instances, 1))
    row_kb = by.request_rows * REQUEST_KB + by.lines * LINE_KB
    logs_gb = kept * seconds * row_kb / items / 1e6
    rows = min(interfaces * flows, ROWS_SENT_A_MINUTE * max(instances, 1))
    traffic_gb = rows * HOURS * 60 * ROW_KB / 1e6
    queue_operations = by.queue_operations + messages
    per_commit = queue_operations * QUEUE + TABLE_OPERATIONS * TABLE + by.blob_reads * BLOB_READ
    storage, executions = commits * per_commit, commits
    if trigger == "Timer":
        runs = TIMER_RUNS_AN_HOUR * HOURS
        pages = runs * max(1, interfaces / INTERFACES_IN_A_FLOW_LOG)
        storage += pages * (TIMER_LISTINGS * BLOB_LISTING + TIMER_QUERIES * TABLE)
        executions = runs
    return Cost(
        commits,
        instances,
        executions * EXECUTIONS + instances * seconds * INSTANCE_GB * GB_SECOND,
        commits * by.event_grid_operations * EVENT_GRID,
        storage,
        logs_gb * LOGS_GB,
        traffic_gb * LOGS_GB,
        ALERTS[trigger],
    )


def _instances(a_second: float, trigger: str) -> float:
    """How many instances run on average."""
    if trigger == "Timer":
        return max(60 * a_second * TIMER_COMMIT_SECONDS, SECONDS_BILLED) / 60
    # Commits come at random: this is the part of the time in which an instance has one at least.
    busy = 1 - exp(-a_second * SECONDS_BILLED)
    return max(busy, a_second / COMMITS_A_SECOND_OF_AN_INSTANCE)


def table() -> str:
    """The table, in Markdown."""
    lines = [
        "| trigger | interfaces | commits a month | compute | Event Grid | storage calls "
        "| telemetry | traffic | alerts | together |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for trigger in TRIGGERS:
        most = TIMER_MAX_INTERFACES if trigger == "Timer" else max(SIZES)
        for size in (min(size, most) for size in SIZES):
            cost = month(size, trigger=trigger)
            dollars = [f"${value:,.0f}" for value in (*cost[2:], cost.total)]
            lines.append(
                f"| {trigger} | {size:,} | {cost.commits / 1e6:,.2f} million | "
                + " | ".join(dollars)
                + " |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())  # noqa: T201 - what it is for
