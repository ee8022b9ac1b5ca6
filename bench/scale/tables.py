"""Events, storage calls, limits and cost as the Markdown tables of docs/scaling.md."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from functools import cache
from statistics import median

from bench.harness.figures import markdown
from bench.scale.event_cost import CHECKPOINT_CALLS, HOST_QUEUE_UNITS, TUPLES, measured_costs
from bench.scale.keys import (
    ACCOUNT_REQUESTS_A_SECOND,
    PARTITION_ENTITIES_A_SECOND,
    QUEUE_MESSAGES_A_SECOND,
    QUEUES_MESSAGES_A_SECOND,
    TABLES_ENTITIES_A_SECOND,
    MetAt,
    fleet,
    met_at,
)
from bench.scale.model import Append, Simulation, appends
from flowlog_core.blob import BlobRef
from flowlog_core.checkpoints.checkpoint import checkpoint_key
from flowlog_core.sinks.shards import shard_of
from infra import cost

SHARDS = (1, 2, 4, 8, 16)
SEEDS = range(3)
MAX_INTERFACES = 140_000
NAMES = {
    "nsg2, queue": "JSON, NSG version 2",
    "vnet4, queue": "JSON, VNet",
    "vnet4, gzip": "gzip",
    "vnet4, table": "table",
}


def event_table() -> str:
    """What was measured of one event."""
    costs = measured_costs().values()
    rows = [
        ("processor time", [f"{one.processor_s * 1e3:.1f} ms" for one in costs]),
        ("messages, or batches of rows", [str(one.sends) for one in costs]),
        ("bytes read", [f"{one.read_bytes / 1e3:.0f} KB" for one in costs]),
        ("bytes sent", [f"{one.sent_bytes / 1e3:.0f} KB" for one in costs]),
    ]
    header = "of 100 tuples | " + " | ".join(NAMES[one.name] for one in costs)
    return markdown(header, [(what, *cells) for what, cells in rows])


def calls_table(runs: Sequence[tuple[str, Simulation]], minutes: int) -> str:
    """Calls a second by kind, and units a second of the fullest places."""

    def cell(units: Iterable[tuple[Hashable, float]]) -> str:
        """The load of the fullest on average, and the largest load of any in a second."""
        in_all: defaultdict[Hashable, float] = defaultdict(float)
        busiest = 0.0
        for of, count in units:
            in_all[of] += count
            busiest = max(busiest, count)
        return f"{max(in_all.values()) / 60 / minutes:,.0f}, {busiest:,.0f}"

    kinds = {
        "host's queue": "calls to the host's queue",
        "properties": "the host asks for properties",
        "checkpoint": "calls to checkpoints",
        "read": "reads of blobs",
        "send": "messages sent",
    }
    places = {
        "checkpoints": "fullest partition of checkpoints, 1,000 interfaces a flow log",
        "queue": "fullest queue of records, with its consumer",
        "the app's account": "account of state and sink, with the consumer",
    }
    rows = []
    for kind, words in kinds.items():
        rows.append((words, *(
            cell((what, n) for (what, _), n in run.storage.calls.items() if what == kind)
            for _, run in runs
        )))  # fmt: skip
    for name, words in places.items():
        rows.append((words, *(
            cell((it, n) for (it, _), n in run.storage.units.items() if it.name.startswith(name))
            for _, run in runs
        )))  # fmt: skip
    return markdown("a second | " + " | ".join(title for title, _ in runs), rows)


@cache
def _blobs() -> list[BlobRef]:
    return fleet(MAX_INTERFACES, MAX_INTERFACES)


@cache
def _minutes() -> list[list[Append]]:
    return [appends(MAX_INTERFACES, 1, 60, seed) for seed in SEEDS]


@cache
def _shards(count: int) -> list[int]:
    return [shard_of(blob, count) for blob in _blobs()]


def _met(keys: Sequence[Hashable], units: float, a_second: float) -> MetAt:
    """The median over some minutes."""
    found = [met_at(keys, minute, units, a_second) for minute in _minutes()]
    never = MAX_INTERFACES + 1
    medians = (
        median(getattr(one, name) or never for one in found)
        for name in ("on_average", "in_a_second")
    )
    return MetAt(*(None if n == never else int(n) for n in medians))


def _interfaces(count: int | None) -> str:
    """To three figures, as the seeds agree on no more."""
    if count is None:
        return f"more than {MAX_INTERFACES:,}"
    digits = len(str(count))
    return f"{round(count, -max(0, digits - 3)):,}"


def limits_table() -> str:
    """With how many interfaces each limit is met, all of them in one flow log."""
    by_name = measured_costs()
    one = ["one"] * MAX_INTERFACES
    partitions = [checkpoint_key(blob).partition for blob in _blobs()]
    rows = []

    def add(limit: str, of: str, keys: Sequence[Hashable], units: float, a_second: float) -> None:
        met = _met(keys, units, a_second)
        rows.append(
            (limit, of, f"{units:.1f}", _interfaces(met.in_a_second), _interfaces(met.on_average))
        )

    limit = f"{QUEUE_MESSAGES_A_SECOND:,.0f} messages in a queue"
    for name in ("vnet4, queue", "nsg2, queue", "vnet4, gzip"):
        each = by_name[name].sends * by_name[name].send_units
        add(limit, f"records, {NAMES[name]}", _shards(1), each, QUEUE_MESSAGES_A_SECOND)
    add(limit, "the host's own", one, HOST_QUEUE_UNITS, QUEUE_MESSAGES_A_SECOND)
    limit = f"{PARTITION_ENTITIES_A_SECOND:,.0f} entities in a table partition"
    add(limit, "checkpoints", partitions, CHECKPOINT_CALLS, PARTITION_ENTITIES_A_SECOND)
    rows_each = by_name["vnet4, table"].send_units
    add(limit, "the table sink", _shards(1), rows_each, PARTITION_ENTITIES_A_SECOND)
    limit = f"{QUEUES_MESSAGES_A_SECOND:,.0f} messages in all queues"
    add(
        limit,
        NAMES["vnet4, queue"],
        one,
        by_name["vnet4, queue"].queue_units,
        QUEUES_MESSAGES_A_SECOND,
    )
    add(limit, "gzip", one, by_name["vnet4, gzip"].queue_units, QUEUES_MESSAGES_A_SECOND)
    limit = f"{TABLES_ENTITIES_A_SECOND:,.0f} entities in all tables"
    add(limit, "the table sink", one, by_name["vnet4, table"].table_units, TABLES_ENTITIES_A_SECOND)
    limit = f"{ACCOUNT_REQUESTS_A_SECOND:,.0f} requests in an account"
    for name in ("vnet4, queue", "vnet4, gzip", "vnet4, table"):
        each = by_name[name].queue_units + by_name[name].table_units
        add(limit, NAMES[name], one, each, ACCOUNT_REQUESTS_A_SECOND)
    return markdown("limit a second | of | an append | in a second | on average", rows, left=2)


def shards_table() -> str:
    """The interfaces possible in the fullest shard's busiest second, and on average."""
    host = _met(["one"] * MAX_INTERFACES, HOST_QUEUE_UNITS, QUEUE_MESSAGES_A_SECOND)
    rows: list[list[str]] = [[str(count)] for count in SHARDS]
    header = "shards"
    for one in sorted(measured_costs().values(), key=lambda one: one.sink == "table"):
        header += f" | {NAMES[one.name]}"
        over = _met(["one"] * MAX_INTERFACES, one.table_units, TABLES_ENTITIES_A_SECOND)
        bound, word = (over, "tables") if one.sink == "table" else (host, "host")
        is_bound = False
        for row, count in zip(rows, SHARDS, strict=True):
            met = _met(_shards(count), one.sends * one.send_units, QUEUE_MESSAGES_A_SECOND)
            reached = (bound.in_a_second or 0) <= (met.in_a_second or MAX_INTERFACES)
            least = bound if reached else met
            average = min(n or MAX_INTERFACES for n in (met.on_average, bound.on_average))
            cell = f"{_interfaces(least.in_a_second)} ({_interfaces(average)})"
            row.append("" if is_bound else cell + (f", by the {word}" if reached else ""))
            is_bound = is_bound or reached
    return markdown(header, rows)


def money(
    interfaces: int, trigger: str, messages: int = 1, instances: float | None = None
) -> list[str]:
    """A row about a month; as many instances as cost.py assumes unless it is said."""
    name = {"EventGrid": "blob trigger", "EventQueue": "event queue", "Timer": "timer"}[trigger]
    if trigger == "Timer":
        apps, found = cost.timer_apps(interfaces)
        name += f", {apps} apps" if apps > 1 else ""
    else:
        found = cost.month(interfaces, messages, TUPLES, instances, trigger=trigger)
        name += ", JSON" if messages > 1 else ""
    dollars = (f"${one:,.0f}" for one in (*found[2:], found.total))
    return [name, f"{interfaces:,}", f"{found.instances:.1f}", *dollars]


def money_table(instances: float) -> str:
    """By the prices of infra/prices.json; the first rows are for so many instances."""
    header = (
        "trigger | interfaces | instances | compute | Event Grid | storage calls | telemetry "
        "| traffic | alerts | together"
    )
    triggers = ("EventGrid", "EventQueue", "Timer")
    rows = [money(10_000, trigger, instances=instances) for trigger in triggers[:2]]
    rows += [money(10_000, trigger) for trigger in triggers]
    rows += [money(10_000, "EventGrid", messages=3)]
    rows += [money(size, trigger) for size in (1_000, 40_000) for trigger in triggers]
    return markdown(header, rows)
