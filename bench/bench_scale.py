"""What thousands of interfaces need, simulated with the costs of one event, measured just before.

    python -m bench.bench_scale [appends]

Measured, on Azurite: processor time, calls and bytes of an event. Assumed: a storage call takes
5 ms in Azure; a queue's consumer receives and deletes its messages one by one, and that
counts for its limit; instances have one core each and are there from the beginning. Limits and
prices are Microsoft's. Not in it: Event Grid, the processor time of the host and its worker,
failing calls.
"""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.bench_latency import percentiles
from bench.measuring import machine
from bench.scale_cost import TUPLES, EventCost, Kind, measure
from bench.scale_keys import fleet, places
from bench.scale_model import Simulation, appends
from bench.scale_storage import Storage
from bench.scale_tables import print_calls, print_limits, print_money
from flowlog_core.blob import BlobRef
from flowlog_core.demo.azurite import running_azurite
from flowlog_core.testing.generate import Format

HOST = json.loads((Path(__file__).resolve().parents[1] / "host.json").read_text(encoding="utf-8"))
AT_A_TIME: int = HOST["extensions"]["blobs"]["maxDegreeOfParallelism"]
CALL_S = 0.005
MINUTES = 2
IN_A_FLOW_LOG = 1000  # interfaces
MEASURED: tuple[tuple[Format, Kind, int], ...] = (
    ("nsg2", "queue", 1),
    ("vnet4", "queue", 1),
    ("vnet4", "gzip", 1),
    ("vnet4", "table", 4),  # a fourth of the appends: the more rows, the slower Azurite
)


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

    def run(self, instances: int) -> Simulation:
        """Some minutes with so many instances."""
        sink = "table" if self.cost.sink == "table" else "queue"
        return Simulation(
            appends(self.interfaces, MINUTES, self.pattern.within_s),
            self.cost.job(self.processor_times),
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


@cache
def blobs(interfaces: int, in_a_flow_log: int) -> list[BlobRef]:
    """Made once for all simulations of one size."""
    return fleet(interfaces, in_a_flow_log)


def p99_s(done: Simulation) -> float:
    """From append to forwarded."""
    return percentiles(done.latencies_s)[1] / 1e3


def print_costs(costs: list[EventCost]) -> None:
    """What was measured."""
    print(f"### One event of {TUPLES} tuples, measured\n")
    print("| format, sink | processor time | ratio | sends | bytes read | bytes sent |")
    print("|---|---|---|---|---|---|")
    for cost in costs:
        print(
            f"| {cost.form}, {cost.sink} | {cost.processor_s * 1e3:.1f} ms "
            f"| {cost.processor_s / costs[0].processor_s:.2f} | {cost.sends} "
            f"| {cost.read_bytes:,.0f} | {cost.sent_bytes:,.0f} |"
        )


def print_instances(title: str, scenarios: list[tuple[str, Scenario]]) -> None:
    """For each scenario the fewest instances, and what they do."""
    print(f"\n### {title}\n")
    print(
        "| | interfaces | shards | instances | used | p50 | p99 | last | most waiting "
        "| fullest place |\n" + "|---" * 10 + "|"
    )
    for what, scenario in scenarios:
        instances, done = scenario.fewest()
        p50, p99 = (milliseconds / 1e3 for milliseconds in percentiles(done.latencies_s))
        place, used = done.storage.fullest(done.now_s)
        kept = p99 <= scenario.pattern.bound_s
        over_s = max(60 * MINUTES, done.now_s) * instances
        print(
            f"| {what} | {scenario.interfaces:,} | {scenario.shards} "
            f"| {instances}{'' if kept else ', not kept'} "
            f"| {done.busy_s / over_s:.0%} | {p50:.2f} s | {p99:.2f} s "
            f"| {max(done.latencies_s):.1f} s | {done.max_waiting:,} "
            f"| {place.name.partition(' of ')[0]}, {used:.0%} |"
        )


def main() -> None:
    """Measure, simulate, print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 120
    logging.disable(logging.WARNING)  # each blob that is started over is said to be rewritten
    print(f"## Scale\n\n{machine()}; Azurite on the same machine\n")
    with running_azurite() as azurite:
        costs = [
            measure(azurite.connection_string, form, sink, count // part)
            for form, sink, part in MEASURED
        ]
    nsg, vnet, gzip, table = costs
    print_costs(costs)
    print_instances(
        "Instances",
        [
            *(
                (SPREAD.name, Scenario(vnet, size, SPREAD, shards))
                for size, shards in ((1_000, 1), (10_000, 1), (20_000, 2), (40_000, 4))
            ),
            *(
                (BURST.name, Scenario(vnet, size, BURST, shards))
                for size, shards in (
                    (1_000, 1), (10_000, 1), (10_000, 2), (10_000, 4), (10_000, 8), (20_000, 4),
                    (40_000, 8),
                )
            ),
        ],
    )  # fmt: skip
    print_instances(
        "10,000 interfaces, otherwise",
        [
            ("NSG version 2", Scenario(nsg, 10_000, SPREAD)),
            ("gzip", Scenario(gzip, 10_000, SPREAD)),
            ("the table", Scenario(table, 10_000, SPREAD)),
            ("processor time doubled", Scenario(vnet, 10_000, SPREAD, processor_times=2)),
            ("20 ms a call", Scenario(vnet, 10_000, SPREAD, call_s=0.02)),
            ("50 ms a call", Scenario(vnet, 10_000, SPREAD, call_s=0.05)),
        ],
    )
    print_instances(
        "Around the limit of one queue, and of one partition of the table",
        [
            *((vnet.sink, Scenario(vnet, size, SPREAD)) for size in (12_000, 13_000, 14_000)),
            *(
                (table.sink, Scenario(table, size, SPREAD, in_a_flow_log=size))
                for size in (1_000, 1_150, 1_300)
            ),
        ],
    )
    in_time, at_once = Scenario(vnet, 10_000, SPREAD), Scenario(vnet, 10_000, BURST, 2)
    runs = [(one.pattern.name, one.fewest()[1]) for one in (in_time, at_once)]
    print_calls(runs, MINUTES)
    print_limits(costs)
    print_money(
        [
            *((size, vnet.sends, None) for size in (1_000, 10_000, 40_000)),
            (10_000, gzip.sends, None),
            *((10_000, vnet.sends, run.occupied_s / 60 / MINUTES) for _, run in runs),
        ]
    )


if __name__ == "__main__":
    main()
