"""Storage calls, limits and cost as Markdown: the second half of `bench.bench_scale`."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench.scale_cost import CHECKPOINT_CALLS, HOST_QUEUE_UNITS, TUPLES, EventCost
from bench.scale_keys import (
    ACCOUNT_REQUESTS_A_SECOND,
    PARTITION_ENTITIES_A_SECOND,
    QUEUE_MESSAGES_A_SECOND,
    fleet,
    met_at,
)
from bench.scale_model import Simulation, appends
from flowlog_core.checkpoints.checkpoint import checkpoint_key
from flowlog_core.sinks.shards import shard_of

COST_PY = Path(__file__).resolve().parents[1] / "infra" / "cost.py"
SHARDS = (1, 2, 4, 8, 16)
SEEDS = range(3)
MAX_INTERFACES = 140_000


def print_calls(runs: Sequence[tuple[str, Simulation]], minutes: int) -> None:
    """Calls a second by kind, and units a second of the fullest places."""
    print("\n### A second, on average and the busiest one\n")
    print("| |", " | ".join(title for title, _ in runs), "|\n|---|" + "---|" * len(runs))

    def cell(units: Iterable[tuple[Hashable, int]]) -> str:
        """The load of the fullest on average, and the largest load of any in a second."""
        in_all: Counter[Hashable] = Counter()
        busiest = 0
        for of, count in units:
            in_all[of] += count
            busiest = max(busiest, count)
        return f"{max(in_all.values()) / 60 / minutes:,.0f}, {busiest:,}"

    for kind in ("host's queue", "properties", "checkpoint", "read", "send"):
        cells = [
            cell((what, n) for (what, _), n in run.storage.calls.items() if what == kind)
            for _, run in runs
        ]
        print(f"| calls: {kind} |", " | ".join(cells), "|")
    for name in ("the host's queue", "checkpoints", "queue", "the app's account"):
        cells = [
            cell(
                (place, n)
                for (place, _), n in run.storage.units.items()
                if place.name.startswith(name)
            )
            for _, run in runs
        ]
        print(f"| units of the fullest: {name} |", " | ".join(cells), "|")


def print_limits(costs: Sequence[EventCost]) -> None:
    """With how many interfaces each limit is met, all of them in one flow log."""
    blobs = fleet(MAX_INTERFACES, MAX_INTERFACES)
    one = ["one"] * MAX_INTERFACES
    minutes = [appends(MAX_INTERFACES, 1, 60, seed) for seed in SEEDS]

    def line(what: str, keys: Sequence[Hashable], units: int, a_second: float, then: str) -> bool:
        """Print it; whether the limit is met at all."""
        found = [met_at(keys, minute, units, a_second) for minute in minutes]
        never = MAX_INTERFACES + 1
        average = median(one.on_average or never for one in found)
        busiest = median(one.in_a_second or never for one in found)
        cells = [
            f"more than {MAX_INTERFACES:,}" if n == never else f"{n:,}" for n in (average, busiest)
        ]
        print(f"| {what} | {units} |", " | ".join(cells), f"| {then} |")
        return average < never

    print("\n### With how many interfaces a limit is met\n")
    print("| limit | units an append | on average | in the busiest second | then |")
    print("|---|---|---|---|---|")
    shard_keys = {n: [shard_of(blob, n) for blob in blobs] for n in SHARDS}
    for cost in costs:
        each = cost.sends * cost.send_units
        a_second = QUEUE_MESSAGES_A_SECOND
        if cost.sink == "table":
            a_second = PARTITION_ENTITIES_A_SECOND
        for shards in SHARDS:
            name = f"{cost.form}, {cost.sink}, {shards} shard{'s' * (shards > 1)}"
            then = f"`FLOWLOG_SHARDS={2 * shards}`"
            if not line(name, shard_keys[shards], each, a_second, then):
                break
    line("host's queue", one, HOST_QUEUE_UNITS, QUEUE_MESSAGES_A_SECOND, "another app")
    partitions = [checkpoint_key(blob).partition for blob in blobs]
    a_second = PARTITION_ENTITIES_A_SECOND
    line("checkpoints of a flow log", partitions, CHECKPOINT_CALLS, a_second, "another flow log")
    for cost in costs:
        name = f"account, {cost.form}, {cost.sink}"
        a_second = ACCOUNT_REQUESTS_A_SECOND
        line(name, one, cost.account_units, a_second, "`FLOWLOG_SINK_CONNECTION`, another app")


def prices() -> Any:
    """infra/cost.py, which is a script and in no package."""
    spec = importlib.util.spec_from_file_location("cost", COST_PY)
    if spec is None or spec.loader is None:
        raise SystemExit(f"cannot be read: {COST_PY}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def money(interfaces: int, messages: int, instances: float | None = None) -> str:
    """A row about a month; as many instances as cost.py assumes unless it is said."""
    cost = prices().month(interfaces, messages=messages, flows=TUPLES, instances=instances)
    cells = [f"${dollars:,.0f}" for dollars in (*cost[2:], cost.total)]
    return f"| {interfaces:,} | {messages} | {cost.instances:.1f} | " + " | ".join(cells) + " |"


def print_money(rows: Iterable[tuple[int, int, float | None]]) -> None:
    """By the prices of infra/cost.py."""
    print("\n### A month\n")
    print(
        "| interfaces | messages an append | instances | compute | Event Grid | storage calls "
        "| telemetry | traffic | alerts | together |\n|" + "--:|" * 10
    )
    for interfaces, messages, instances in rows:
        print(money(interfaces, messages, instances))
