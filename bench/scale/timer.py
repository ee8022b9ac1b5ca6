"""How late flows are by the timer: a simulation of its runs, pure and repeatable.

    appends     . . : . .. . : . . . :          at random, one a minute for each interface
    runs        |====>  |    |===>   |          at each full minute, on one instance
                list, then forward what is behind, in the order of the names

A timer runs on one instance, so nothing but its one core limits how much a run can do.

    python -m bench.scale.timer                 # p99 by the number of interfaces
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.harness.figures import markdown, percentiles
from bench.scale.model import Append, appends
from infra.cost import LISTED_S, PROCESSOR_S, TIMER_MAX_INTERFACES

RUN_EVERY_S = 60.0
YOUNG_S = 40.0
"""Four fifths of the 50 s of a run: `flowlog_core.sweep.sweep`, `flowlog_core.service`."""
YOUNG_HOURS = 3
MINUTES = 20
BOUND_S = 90.0
STEP = 500  # interfaces


def timer_latencies_s(
    events: Sequence[Append], interfaces: int, processor_s: float, listed_s: float
) -> list[float]:
    """From append to forwarded, of all but those that no run came to; in any order.

    Appends of one interface between two runs are forwarded together. A run lists the young blobs
    of every interface first, and goes on where the last one had to end.
    """
    left = list(events)
    latencies: list[float] = []
    first = 0
    run_s = 0.0
    while left:
        run_s += RUN_EVERY_S
        waiting: dict[int, list[float]] = {}
        for append in left:
            if append.at_s <= run_s:
                waiting.setdefault(append.interface, []).append(append.at_s)
        now_s = run_s + interfaces * YOUNG_HOURS * listed_s
        done: set[int] = set()
        for interface in sorted(waiting, key=lambda one: (one - first) % interfaces):
            if now_s - run_s >= YOUNG_S:
                first = interface
                break
            now_s += processor_s
            latencies += (now_s - at_s for at_s in waiting[interface])
            done.add(interface)
        left = [one for one in left if one.at_s > run_s or one.interface not in done]
        if waiting and not done:
            break  # listing alone takes all the time
    return latencies


def latency_s(
    interfaces: int, processor_s: float = PROCESSOR_S, listed_s: float = LISTED_S
) -> tuple[float, float]:
    """p50 and p99."""
    found = timer_latencies_s(
        appends(interfaces, MINUTES, RUN_EVERY_S), interfaces, processor_s, listed_s
    )
    return percentiles(found)


def max_interfaces(processor_s: float, listed_s: float) -> int:
    """The most interfaces, in steps, of which 99 % of the appends are forwarded in time."""
    interfaces = STEP
    while latency_s(interfaces + STEP, processor_s, listed_s)[1] <= BOUND_S:
        interfaces += STEP
    return interfaces


def timer_table() -> str:
    """p50 and p99 by the number of interfaces, up to more than one timer carries."""
    most = TIMER_MAX_INTERFACES
    sizes = sorted({100, 1_000, most // 2, most, most + STEP, 10_000})
    rows = [(f"{one:,}", *(f"{late_s:.0f} s" for late_s in latency_s(one))) for one in sizes]
    return markdown("interfaces | p50 | p99", rows, left=0)


if __name__ == "__main__":
    print(timer_table())
