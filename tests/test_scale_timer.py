"""The simulation of `bench.scale_timer`, and the figures that docs/scaling.md takes from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.scale_model import Append
from bench.scale_timer import RUN_EVERY_S, YOUNG_S, p99_s, timer_latencies_s

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
    assert timer_latencies_s([Append(1.0, 0)], 100, listed_s=1.0) == []


@pytest.mark.parametrize("interfaces", [100, 1000])
def test_the_documented_latencies_are_those_of_the_simulation(interfaces: int) -> None:
    assert (
        f" s | {p99_s(interfaces):.0f} s |" in SCALING.partition(f"\n| {interfaces:,} | ")[2][:20]
    )
