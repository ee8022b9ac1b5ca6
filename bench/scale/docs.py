"""Simulates thousands of interfaces by the measured costs, and writes the tables into the docs.

    python -m bench.scale.docs                  # from bench/scale/measured.json; minutes

Tables stand between `<!-- scale: NAME -->` and `<!-- scale end -->` in docs/scaling.md and
infra/README.md; the row of costs in docs/ways-in.md and the example in docs/operations.md are
written too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from bench.latency import percentiles
from bench.scale.event_cost import PROPERTIES, EventCost
from bench.scale.keys import fleet, places
from bench.scale.model import Simulation, appends
from bench.scale.storage import Storage
from bench.scale.tables import (
    calls_table,
    event_table,
    limits_table,
    markdown,
    money_table,
    shards_table,
)
from bench.scale.timer import timer_table
from flowlog_core.blob import BlobRef
from infra import cost

ROOT = Path(__file__).resolve().parents[2]
HOST = json.loads((ROOT / "host.json").read_text(encoding="utf-8"))
AT_A_TIME: int = HOST["extensions"]["blobs"]["maxDegreeOfParallelism"]
CALL_S = 0.005
MINUTES = 2
IN_A_FLOW_LOG = 1000  # interfaces
WORKERS = 4  # a table or a row each


@dataclass(frozen=True)
class Pattern:
    """Within how much of a minute its appends come, and the bound of the latency's p99."""

    name: str
    within_s: float
    bound_s: float


SPREAD, BURST = Pattern("spread", 60, 2), Pattern("burst", 5, 30)


@dataclass(frozen=True)
class Scenario:
    """All that a simulation needs but the number of instances."""

    cost: EventCost
    interfaces: int
    pattern: Pattern
    shards: int = 1
    in_a_flow_log: int = IN_A_FLOW_LOG
    call_s: float = CALL_S
    processor_times: float = 1
    properties: int = PROPERTIES

    def run(self, instances: int) -> Simulation:
        """Some minutes with so many instances."""
        sink = "table" if self.cost.sink == "table" else "queue"
        return Simulation(
            appends(self.interfaces, MINUTES, self.pattern.within_s),
            self.cost.job(self.processor_times, self.properties),
            Storage(
                self.call_s, places(blobs(self.interfaces, self.in_a_flow_log), self.shards, sink)
            ),
            instances,
            AT_A_TIME,
        )

    @cache  # noqa: B019 - a script, and scenarios are few
    def fewest(self) -> tuple[int, Simulation]:
        """The fewest instances that keep the bound, or beyond which more help no longer."""
        work_s = self.interfaces * self.cost.processor_s * self.processor_times
        instances = max(1, int(work_s / min(60, self.pattern.within_s + self.pattern.bound_s)))
        before: Simulation | None = None
        while True:
            now = self.run(instances)
            if before and p99_s(now) > 0.97 * p99_s(before):
                return instances - 1, before
            if p99_s(now) <= self.pattern.bound_s:
                return instances, now
            before, instances = now, instances + 1

    def cells(self) -> list[str]:
        """How many instances, and what they do."""
        instances, done = self.fewest()
        p50, p99 = (milliseconds / 1e3 for milliseconds in percentiles(done.latencies_s))
        place, used = done.storage.fullest(done.now_s)
        over_s = max(60 * MINUTES, done.now_s) * instances
        return [
            f"{instances}{'' if p99 <= self.pattern.bound_s else ', not kept'}",
            f"{done.busy_s / over_s:.0%}",
            f"{p50:.2f} s",
            f"{p99:.2f} s",
            f"{done.max_waiting:,}",
            f"{place.name.partition(' of ')[0]}, {used:.0%}",
        ]


@cache
def blobs(interfaces: int, in_a_flow_log: int) -> list[BlobRef]:
    """Made once for all simulations of one size."""
    return fleet(interfaces, in_a_flow_log)


def p99_s(done: Simulation) -> float:
    """From append to forwarded."""
    return percentiles(done.latencies_s)[1] / 1e3


CELLS = "instances | used | p50 | p99 | most waiting | fullest"


def costs() -> dict[str, EventCost]:
    """As they were measured."""
    return {name: EventCost(**fields) for name, fields in cost.MEASURED["events"].items()}


def measured_line() -> str:
    """What was measured, when and on what."""
    return f"Measured on {cost.MEASURED['day']}: {cost.MEASURED['machine']}."


def instances_rows() -> list[tuple[tuple[str, ...], Scenario]]:
    """By size, pattern and shards."""
    json_ = costs()["vnet4, queue"]
    sizes = {
        SPREAD: ((1_000, 1), (10_000, 1), (20_000, 2)),
        BURST: ((1_000, 1), (10_000, 1), (10_000, 2), (20_000, 4)),
    }
    return [
        ((pattern.name, f"{size:,}", str(shards)), Scenario(json_, size, pattern, shards))
        for pattern, of in sizes.items()
        for size, shards in of
    ]


def otherwise_rows() -> list[tuple[tuple[str, ...], Scenario]]:
    """10,000 interfaces, spread, with one thing changed."""
    by = costs()
    plain = Scenario(by["vnet4, queue"], 10_000, SPREAD)
    gzip = replace(plain, cost=by["vnet4, gzip"])
    return [
        (("gzip, the default",), gzip),
        (("gzip, by the event queue",), replace(gzip, properties=0)),
        (("NSG version 2",), replace(plain, cost=by["nsg2, queue"])),
        (
            ("the table, 5,000 interfaces in 5 flow logs",),
            replace(plain, cost=by["vnet4, table"], interfaces=5_000),
        ),
        (
            ("twice the processor time: a slower core, the host's share",),
            replace(plain, processor_times=2),
        ),
        (("20 ms a storage call",), replace(plain, call_s=0.02)),
        (("50 ms a storage call",), replace(plain, call_s=0.05)),
    ]


SIMULATED = {
    "instances": (f"appends | interfaces | shards | {CELLS}", instances_rows),
    "otherwise": (f" | {CELLS}", otherwise_rows),
}


def table_of_calls() -> str:
    """For 10,000 interfaces."""
    json_ = costs()["vnet4, queue"]
    runs = {
        "spread, 1 shard": Scenario(json_, 10_000, SPREAD),
        "burst, 2 shards": Scenario(json_, 10_000, BURST, 2),
    }
    return calls_table([(name, one.fewest()[1]) for name, one in runs.items()], MINUTES)


def table_of_money() -> str:
    """With the instances that the simulation finds, and with room for the host."""
    gzip = costs()["vnet4, gzip"]
    return money_table(Scenario(gzip, 10_000, SPREAD).fewest()[0])


QUICK: dict[str, Callable[[], str]] = {
    "measured": measured_line,
    "event": lambda: event_table(list(costs().values())),
    "costs": cost.table,
    "prices": cost.price_table,
}
"""Those that take no simulation: a test makes them anew."""
TABLES: dict[str, Callable[[], str]] = {
    **QUICK,
    "timer": timer_table,
    "calls": table_of_calls,
    "limits": lambda: limits_table(list(costs().values())),
    "shards": lambda: shards_table(list(costs().values())),
    "money": table_of_money,
}
BLOCK = re.compile(r"<!-- scale: (\w+) -->\n(.*?)\n?<!-- scale end -->", re.DOTALL)


def ways_in_row(interfaces: int) -> str:
    """The row of docs/ways-in.md."""
    apps, timer = cost.timer_apps(interfaces)
    events = (cost.month(interfaces, trigger=by) for by in ("EventGrid", "EventQueue"))
    cells = [f"${one.total:,.0f}" for one in (*events, timer)]
    if apps > 1:
        cells[-1] += f" by {apps} apps"
    return f"| A month, {interfaces:,} interfaces ² | {' | '.join(cells)} |"


def make(name: str) -> str:
    """One table, in a process of its own."""
    return TABLES[name]()


def write(name: str, table: str) -> None:
    """Put a table into the page that has a place for it."""

    def put(found: re.Match[str]) -> str:
        is_it = found[1] == name
        return f"<!-- scale: {name} -->\n{table}\n<!-- scale end -->" if is_it else found[0]

    for page in ("docs/scaling.md", "infra/README.md"):
        path = ROOT / page
        text = path.read_text(encoding="utf-8")
        text = BLOCK.sub(put, text)
        path.write_text(text, encoding="utf-8")


def main() -> None:
    """Write them all, each as soon as it is there."""
    with ProcessPoolExecutor(WORKERS) as pool:
        rows = {
            name: [(words, pool.submit(one.cells)) for words, one in of()]
            for name, (_, of) in SIMULATED.items()
        }
        waiting = {pool.submit(make, name): name for name in TABLES}
        for done in as_completed(waiting):
            write(waiting[done], done.result())
        for name, (header, _) in SIMULATED.items():
            cells = [(*words, *done.result()) for words, done in rows[name]]
            write(name, markdown(header, cells))
    path = ROOT / "docs/ways-in.md"
    text = path.read_text(encoding="utf-8")
    for interfaces in (1_000, 10_000):
        start = re.escape(f"| A month, {interfaces:,} interfaces")
        text = re.sub(rf"^{start}.*$", ways_in_row(interfaces), text, flags=re.MULTILINE)
    path.write_text(text, encoding="utf-8")
    path = ROOT / "docs/operations.md"
    text = path.read_text(encoding="utf-8")
    shown = "$ python infra/cost.py\n"
    example = "\n".join(cost.table().splitlines()[:3])
    text = re.sub(rf"({re.escape(shown)})(?:\|.*\n)+", rf"\g<1>{example}\n", text)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
