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

# What one commit of Network Watcher causes. It commits each interface's log about once a minute.
COMMITS_AN_HOUR = 60
EVENT_GRID_OPERATIONS = 3  # taken in, matched by an advanced filter, delivered
HOST_QUEUE_OPERATIONS = 3  # the host puts, gets and deletes its message
MESSAGES = 1  # of records, sent by the app
TABLE_OPERATIONS = 3  # the checkpoint: read, claim, commit
BLOB_READS = 2  # the host asks for properties, the app for the new bytes
REQUEST_KB = 1.5  # the host's row for the invocation, sampled like the lines
LINES = 6  # the host's lines about the invocation, the worker's and the app's
LINE_KB = 1.0
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

EXECUTIONS = 0.40 / 1e6
GB_SECOND = 0.000026
EVENT_GRID = 0.60 / 1e6
QUEUE = 0.004 / 1e4
TABLE = 0.00036 / 1e4
BLOB_READ = 0.0044 / 1e4
LOGS_GB = 2.30
ALERTS = 9 * 1.50 + 2 * 0.10  # on queries every five minutes, and on metrics of one account


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
) -> Cost:
    """For so many interfaces, whose logs are in one account, in the public network.

    Each commit makes so many messages of so many flows. Without `instances`, that is worked out.
    """
    seconds = HOURS * 3600
    a_second = interfaces * COMMITS_AN_HOUR / 3600
    commits = interfaces * COMMITS_AN_HOUR * HOURS
    # Commits come at random: this is the part of the time in which an instance has one at least.
    busy = 1 - exp(-a_second * SECONDS_BILLED)
    if instances is None:
        instances = max(busy, a_second / COMMITS_A_SECOND_OF_AN_INSTANCE)
    items = 1 + LINES
    kept = min(a_second * items, ITEMS_KEPT_A_SECOND * max(instances, 1))
    logs_gb = kept * seconds * (REQUEST_KB + LINES * LINE_KB) / items / 1e6
    rows = min(interfaces * flows, ROWS_SENT_A_MINUTE * max(instances, 1))
    traffic_gb = rows * HOURS * 60 * ROW_KB / 1e6
    queue_operations = HOST_QUEUE_OPERATIONS + messages
    per_commit = queue_operations * QUEUE + TABLE_OPERATIONS * TABLE + BLOB_READS * BLOB_READ
    return Cost(
        commits,
        instances,
        commits * EXECUTIONS + instances * seconds * INSTANCE_GB * GB_SECOND,
        commits * EVENT_GRID_OPERATIONS * EVENT_GRID,
        commits * per_commit,
        logs_gb * LOGS_GB,
        traffic_gb * LOGS_GB,
        ALERTS,
    )


def table() -> str:
    """The table, in Markdown."""
    lines = [
        "| interfaces | commits a month | compute | Event Grid | storage calls | telemetry "
        "| traffic | alerts | together |",
        "|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for size in SIZES:
        cost = month(size)
        dollars = [f"${value:,.0f}" for value in (*cost[2:], cost.total)]
        lines.append(
            f"| {size:,} | {cost.commits / 1e6:,.2f} million | " + " | ".join(dollars) + " |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())  # noqa: T201 - what it is for
