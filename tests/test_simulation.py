"""The promises hold in every schedule tried, and no seeded fault gets past the simulation."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
from simulation.__main__ import main
from simulation.mutants import MUTANTS, Mutant
from simulation.run import SWEEPS_EACH, Report, simulate

TESTS = Path(__file__).parent
SCHEDULES_A_MUTANT = 2000  # most are found within a hundred
NOTICED_AT = {
    "any-refusal-sets-aside": 40,
    "back-off-for-hours": 300,
    "closed-hours-of-one-container-for-all": 400,
    "creation-time-unchecked": 17,
    "dead-left-alone": 10,
    "dropped-left-behind": 26,
    "etag-kept-after-a-ring": 1094,
    "etag-of-a-later-read": 35,
    "frozen-machine-believed": 40,
    "gaps-unnamed": 46,
    "generation-kept": 17,
    "growth-taken-for-the-end": 102,
    "judged-before-the-read": 303,
    "late-renewal-believed": 10,
    "length-compared": 273,
    "listing-in-another-order": 500,
    "merged-across-an-entry": 60,
    "old-before-young": 300,
    "part-commits-the-blobs-version": 41,
    "part-commits-what-it-did-not-send": 17,
    "refusals-at-once": 29,
    "refusals-forgotten": 29,
    "refused-for-ever": 29,
    "refused-with-its-part": 111,
    "ring-unheard": 38,
    "seam-unchecked": 155,
    "short-answer-taken-for-a-rewriting": 17,
    "sweep-deaf-to-others": 300,
    "sweep-turned-away-in-silence": 300,
    "time-up-before-any-progress": 500,
    "version-unpinned": 94,
    "window-from-now": 400,
    "young-is-the-open-hour": 300,
}
"""Seeds at which faults were noticed once: to try them first saves a minute."""
# Three times as many as nearly every mutant needs, and what the others need.
SEEDS = sorted({*range(400), *range(0, 800, SWEEPS_EACH), *NOTICED_AT.values()})


def test_every_promise_is_kept_and_every_trouble_was_met() -> None:
    report = Report()
    for seed in SEEDS:
        report.add(simulate(seed))
    assert report.first_violation is None
    rare = {name: number for name, number in report.counts.items() if number < 2}
    assert rare == {}
    assert report.counts.keys() == {
        "answers: Conflict",
        "answers: ItemRefused",
        "answers: NotFound",
        "answers: OutOfRange",
        "answers: Refused",
        "blobs taken over",
        "blobs taken over from the dead at once",
        "claims left behind by a failed call",
        "claims that ran out",
        "commits",
        "events failed too often",
        "events that came back for a claim",
        "failed calls of ingest",
        "faults: bad release",
        "faults: blind retry",
        "faults: blob rewritten or deleted",
        "faults: crash",
        "faults: event lost",
        "faults: false answer to a read",
        "faults: frozen",
        "faults: outage",
        "faults: outage of listings",
        "faults: suspended",
        "faults: time-out after effect",
        "faults: time-out, effect later",
        "faults: unavailable",
        "ids used again after a rewriting",
        "refused entries set aside",
        "remembered releases that did not hold",
        "remembered releases that held",
        "repeats",
        "rings",
        "schedules by timer",
        "schedules in which rules changed",
        "schedules with late writes to closed hours",
        "schedules with rules",
        "schedules without need of a sweep",
        "storage calls",
        "sweeps out of time",
        "sweeps that ended a pass",
        "sweeps turned away",
        "taken after a refusal",
        "taken by the last sweep",
        "taken during a bad release",
        "taken on the way",
        "tuples dropped by rule",
    }


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_promises_are_kept_by_any_number_of_workers(workers: int) -> None:
    broken = [seed for seed in range(60) if simulate(seed, workers).violated]
    assert broken == []


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_a_seeded_fault_is_found(mutant: Mutant) -> None:
    def promises_broken() -> Iterator[str]:
        with mutant.built_in():
            all_seeds = range(0, SCHEDULES_A_MUTANT, SWEEPS_EACH if mutant.is_of_sweeps else 1)
            for seed in chain([NOTICED_AT.get(mutant.name, 0)], all_seeds):
                violated = simulate(seed).violated
                if violated:
                    yield violated.promise

    found = next(promises_broken(), None)
    assert found is not None
    # Not that the fault itself fell over: it must have been noticed by what it did.
    assert found != "ingest raises what storage raised"


def test_the_documentation_lists_every_seeded_fault() -> None:
    text = (TESTS.parent / "docs" / "reliability.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z-]+)` \| (.*) \|$", text, re.MULTILINE)
    assert rows == [(mutant.name, mutant.what) for mutant in MUTANTS.values()]


def test_a_seeded_fault_leaves_nothing_behind() -> None:
    before = simulate(0, traced=True)
    for mutant in MUTANTS.values():
        with mutant.built_in():
            simulate(0 if mutant.is_of_sweeps else 1)
    assert simulate(0, traced=True).trace == before.trace


def test_a_seed_gives_the_same_trace_again_in_any_process() -> None:
    code = (
        "from simulation.run import simulate\n"
        "for seed in range(20):\n"
        "    print(*simulate(seed, traced=True).trace, sep='\\n')"
    )
    here = [line for seed in range(20) for line in simulate(seed, traced=True).trace]
    there = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(TESTS), "PYTHONHASHSEED": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert there.stdout.splitlines() == here


def test_the_command_tells_what_it_tried(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--schedules", "20", "--seed", "5", "--jobs", "1"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("20 schedules from seed 5 in ")
    assert printed.endswith("every promise was kept\n")


def test_the_command_names_the_seed_that_broke_a_promise_and_replays_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["--jobs", "1", "--mutant", "no-ring"]
    assert main([*arguments, "--schedules", "100"]) == 1
    told = capsys.readouterr().out.splitlines()[-1]
    assert " broke a promise (" in told
    seed = told.split()[1]
    assert main([*arguments, "--schedules", "1", "--seed", seed, "--trace"]) == 1
    replayed = capsys.readouterr().out
    assert "worker-0   begins with 00h, try 1" in replayed
    assert told.partition(": ")[2] in replayed


def test_an_unknown_mutant_is_refused_with_a_list_of_the_known(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--mutant", "?"]) == 2
    listed = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in listed] == list(MUTANTS)
