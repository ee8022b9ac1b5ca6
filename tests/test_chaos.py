"""Nothing is lost or altered on real storage with real processes and connections.

The Table sink stores each record once, whatever happens. The queue may contain a record twice, with
the same id and content. A longer run: `python -m bench.chaos --minutes 3`.
"""

from __future__ import annotations

from dataclasses import replace

from chaos.run import Plan, Report, run
from chaos.truth import Verdict, apart, check

from flowlog_core.demo.azurite import Azurite


def proven(plan: Plan, azurite: Azurite) -> Report:
    report = run(plan, azurite)
    assert report.wrong == [], str(report)  # it includes the seed
    assert report.records > 0, str(report)
    assert report.looks > 0, str(report)
    assert report.behind > 0, str(report)
    return report


def test_killed_workers_lose_nothing(azurite: Azurite) -> None:
    plan = Plan(1, "queue", write_s=2, settle_s=1, deliver_s=2, kill_every_s=0.8)
    report = proven(plan, azurite)
    assert report.tally.kills, str(report)
    assert report.tally.errors == {}, str(report)


def test_events_from_a_queue_lose_nothing_whatever_happens(azurite: Azurite) -> None:
    plan = Plan(2, "queue", write_s=2, trigger="EventQueue", settle_s=1, deliver_s=2)
    plan = replace(plan, kill_every_s=2, fault_rate=0.15)
    report = proven(plan, azurite)
    assert report.tally.kills, str(report)
    assert report.faulty >= 10, str(report)


def test_a_timer_alone_loses_nothing_though_its_sweeps_are_killed(azurite: Azurite) -> None:
    plan = Plan(4, "queue", write_s=2, trigger="Timer", settle_s=1, deliver_s=60, kill_every_s=0.6)
    report = proven(plan, azurite)
    assert report.tally.kills, str(report)
    assert report.tally.events == 0, str(report)
    assert report.tally.errors == {}, str(report)
    assert report.swept.forwarded == 0, str(report)  # nothing was left to `flowlog run`


def test_the_table_is_exact_whatever_happens(azurite: Azurite) -> None:
    plan = Plan(3, "table", write_s=2, settle_s=1, deliver_s=2, kill_every_s=2, fault_rate=0.1)
    report = proven(plan, azurite)
    assert report.tally.kills, str(report)
    assert report.faulty >= 10, str(report)


def test_the_check_takes_neighbours_in_one_dead_letter_apart_and_leaves_others() -> None:
    one = '{"broken":tru}'
    assert list(apart("d.0.12", f"{one},{one}")) == [("d.0.12", one), ("d.0.27", one)]
    assert list(apart("d.0.12", one)) == [("d.0.12", one)]
    assert list(apart("d.0.12.3", "not,a,tuple")) == [("d.0.12.3", "not,a,tuple")]
    assert list(apart("d.0.12", f"{one} {one}")) == [("d.0.12", f"{one} {one}")]


def test_the_check_names_what_is_lost_altered_and_unknown_and_counts_repeats() -> None:
    due = {"a": 1, "b": 2, "c": 3}
    verdict = check("record", due, [("a", 1), ("a", 1), ("b", 7), ("x", 9)])
    assert verdict == Verdict(
        due=3,
        arrived=3,
        repeats=1,
        wrong=["record altered: b: 7 instead of 2", "record unknown: x: 9", "record lost: c: 3"],
    )
