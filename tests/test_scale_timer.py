"""The simulation of `bench.scale.timer`, and the figures that docs/scaling.md takes from it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.scale.model import Append
from bench.scale.timer import (
    BOUND_S,
    RUN_EVERY_S,
    STEP,
    YOUNG_S,
    latency_s,
    max_interfaces,
    timer_latencies_s,
)
from infra.cost import TIMER_MAX_INTERFACES

SCALING = (Path(__file__).parents[1] / "docs/scaling.md").read_text(encoding="utf-8")


def test_an_append_waits_for_the_next_run_and_for_those_before_it() -> None:
    events = [Append(10.0, 0), Append(50.0, 1), Append(61.0, 0)]
    # A run lists 2 interfaces of 3 hours: 6 s. Then 5 s for each blob.
    found = timer_latencies_s(events, 2, processor_s=5.0, listed_s=1.0)
    assert found == pytest.approx([71 - 10, 76 - 50, 131 - 61])


def test_two_appends_between_two_runs_are_forwarded_together() -> None:
    found = timer_latencies_s([Append(1.0, 0), Append(2.0, 0)], 1, processor_s=5.0, listed_s=0)
    assert found == pytest.approx([65 - 1, 65 - 2])


def test_what_does_not_fit_is_first_in_the_next_run() -> None:
    events = [Append(1.0, interface) for interface in range(6)]
    found = timer_latencies_s(events, 6, processor_s=YOUNG_S / 4, listed_s=0)
    assert found == pytest.approx(
        [RUN_EVERY_S - 1 + 10 * n for n in (1, 2, 3, 4)] + [2 * RUN_EVERY_S - 1 + 10, 139]
    )


def test_listing_that_takes_all_the_time_ends_the_simulation() -> None:
    assert timer_latencies_s([Append(1.0, 0)], 100, processor_s=0.0, listed_s=1.0) == []


def test_as_many_are_carried_as_are_forwarded_in_time() -> None:
    """By 60 ms an append, a run of 500 ends 30 s after the minute that the first waited for."""
    assert max_interfaces(0.060, 0) == STEP
    assert latency_s(STEP, 0.060, 0)[1] <= BOUND_S < latency_s(2 * STEP, 0.060, 0)[1]


@pytest.mark.parametrize("interfaces", [100, 1000])
def test_the_documented_latencies_are_those_of_the_simulation(interfaces: int) -> None:
    p50, p99 = latency_s(interfaces)
    assert f"\n| {interfaces:,} | {p50:.0f} s | {p99:.0f} s |\n" in SCALING


def test_the_documented_most_is_in_time_and_a_step_more_is_not() -> None:
    rows = re.findall(r"^\| ([\d,]+) \| \d+ s \| (\d+) s \|$", SCALING, re.MULTILINE)
    p99 = {int(size.replace(",", "")): int(late) for size, late in rows}
    assert p99[TIMER_MAX_INTERFACES] <= BOUND_S < p99[TIMER_MAX_INTERFACES + STEP]
