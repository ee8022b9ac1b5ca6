"""What a month costs: each price has a source, each count is the app's, the pages say the same."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from infra_snapshot import ONE, QUEUED, TIMED, main

from bench.scale import polling
from bench.scale.docs import BLOCK, QUICK, ways_in_row
from flowlog_core.blob import BlobRef, LogBlob
from flowlog_core.checkpoints.checkpoint import Checkpoint, Progress, checkpoint_key
from flowlog_core.observe.log_analytics import SEND_EVERY_S
from flowlog_core.observe.traffic import MAX_ROWS_SENT, Traffic
from flowlog_core.parallel import Parallel
from flowlog_core.parsing.entry import normalize
from flowlog_core.pipeline import Pipeline
from flowlog_core.sweep.cursor import Container
from flowlog_core.sweep.options import SweepOptions
from flowlog_core.sweep.sweep import Sweep
from flowlog_core.testing.generate import Interface
from flowlog_core.testing.memory import (
    ManualClock,
    MemoryBlobs,
    MemoryCheckpoints,
    MemoryCursors,
    MemoryDeadLetters,
    MemorySink,
    service_time,
)
from infra import cost

ROOT = Path(__file__).resolve().parents[1]
PRICES: dict[str, dict[str, Any]] = cost.PRICES["prices"]
SAMPLES = ROOT.parent / "shared" / "samples"


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def printed(*arguments: str) -> str:
    command = [sys.executable, str(ROOT / "infra/cost.py"), *arguments]
    return subprocess.check_output(command, text=True)


@pytest.mark.parametrize("name", PRICES)
def test_a_price_names_its_meter_its_page_and_where_and_when_it_was_seen(name: str) -> None:
    line = PRICES[name]
    assert set(line) == {
        *("dollars", "per", "unit", "meter", "page"),
        *("seen", "seen_region", "seen_of"),
    }
    assert line["dollars"] > 0
    assert line["per"] in (1, 10_000, 100_000, 1_000_000)
    assert line["page"].startswith("https://azure.microsoft.com/pricing/details/")
    assert re.match(r"https://[\w.-]+/.+", line["seen"])
    assert line["seen_region"]
    seen = date.fromisoformat((line["seen_of"] + "-01")[:10])
    assert seen < date.fromisoformat(cost.PRICES["read"])


def test_every_price_is_used_and_there_is_no_other() -> None:
    """A figure of Azure's in cost.py itself would have no source."""
    script = page("infra/cost.py")
    assert set(re.findall(r'price\("([\w ]+)"\)', script)) == set(PRICES)
    assert re.findall(r"/ 1e4|e-0?\d|\b0\.0\d+", script) == []


# Read by hand from the copies that prices.json names; the first is the eastus line of Infracost's
# function_app_test.golden, which another month and tier than the copy confirm.
@pytest.mark.parametrize(
    ("name", "dollars"),
    [
        ("blob listing", 0.05 / 10_000),
        ("blob properties", 0.004 / 10_000),
        ("queue operation", 1.60 / 4_000_000),
        ("table operation", 0.22 / 6_000_000),
        ("event grid operation", 0.48 / 800_000),
        ("execution time", 65.0 / 2_500_000),
        ("execution", 0.000004 / 10),
    ],
)
def test_prices_are_those_of_the_copies(name: str, dollars: float) -> None:
    """By amounts for many units, which Infracost rounds to a cent."""
    assert cost.price(name) == pytest.approx(dollars, rel=0.02)


def test_an_unconfirmed_price_says_so() -> None:
    table = {line["meter"]: line["seen_region"] for line in PRICES.values()}
    for row in cost.price_table().splitlines()[2:]:
        cells = row.split(" | ")
        is_open = table[cells[1]] != "East US"
        assert ("not confirmed here for East US" in cells[3]) == is_open


@pytest.mark.parametrize(
    ("trigger", "parameters", "accounts"),
    [("EventGrid", ONE, 1), ("EventQueue", QUEUED, 2), ("Timer", TIMED, 2)],
)
def test_alerts_are_counted_as_the_template_makes_them(
    trigger: str, parameters: dict[str, Any], accounts: int
) -> None:
    made = main(**parameters)
    queries = made.of("Microsoft.Insights/scheduledQueryRules")
    assert len(queries) == cost.QUERY_ALERTS[trigger]
    metrics = made.of("Microsoft.Insights/metricAlerts")
    assert len(metrics) == cost.METRIC_ALERTS[trigger] * accounts


def test_as_many_rows_are_counted_as_the_app_may_send() -> None:
    assert (cost.ROWS_SENT_A_MINUTE, SEND_EVERY_S) == (MAX_ROWS_SENT, 60)


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="needs ../shared/samples, not found here")
def test_a_row_of_sums_is_as_large_as_the_sums_of_real_logs_are() -> None:
    """The values as text, and 36 characters for TenantId, which the workspace adds."""
    traffic = Traffic()
    for path in SAMPLES.glob("*.json"):
        for entry in json.loads(path.read_bytes())["records"]:
            traffic.add(normalize(entry, "x").lines)
    sizes = [36 + sum(len(str(v)) for v in row.values() if v is not None) for row in traffic.rows()]
    assert sum(sizes) / len(sizes) / 1000 == pytest.approx(cost.ROW_KB, abs=0.06)


def test_a_timer_lists_and_queries_as_often_as_its_sweep_does() -> None:
    """A flow log of 50 interfaces in pages of 250 and 50, for one of 1,000 in 5,000 and 1,000."""
    clock = ManualClock(40 * 24 * 3600.0)
    blobs, checkpoints = MemoryBlobs(clock, blobs_a_page=250), MemoryCheckpoints(clock)
    checkpoints.rows_a_page = 50
    for hour in range(26):
        for number in range(50):
            one = replace(Interface.vnet(1), mac=f"0022{number:08X}")
            log = LogBlob.parse(one.blob_name(service_time(clock) - timedelta(hours=hour)))
            assert log
            blob = BlobRef("account", "logs", log)
            blobs.put(blob, b"{}")
            progress = Progress(offset=2, etag=blobs.read(blob, 0, 1, None).etag)
            checkpoints.create(checkpoint_key(blob), Checkpoint(str(blob), progress))
    pipeline = Pipeline(blobs, checkpoints, MemorySink(), MemoryDeadLetters(), 180, clock)
    cursors, parallel = MemoryCursors(clock), Parallel(1)
    options = SweepOptions(
        [Container("account", "logs")], 24, untouched_for_s=0, max_s=50, young_hours=3
    )
    counted = []
    for _ in range(2):
        blobs.calls.clear()
        checkpoints.calls.clear()
        report = Sweep(blobs, pipeline, cursors, options, parallel).run()
        looked_at = report.looked_at / 50 + 3  # those of the young hours are counted once
        listings = blobs.calls["page"] + blobs.calls["folders"]
        counted.append((listings, checkpoints.calls["forwarded"], looked_at))
        clock.sleep(60)
    parallel.close()
    once_an_hour, other_runs = counted
    means = [
        other + (whole - other) / 60 for whole, other in zip(once_an_hour, other_runs, strict=True)
    ]
    expected = [cost.TIMER_LISTINGS, cost.TIMER_QUERIES, cost.TIMER_HOURS_LOOKED_AT]
    assert means == pytest.approx(expected)


def test_receives_are_those_of_the_simulated_listener() -> None:
    for name, trigger in (("EventGrid", polling.BLOB), ("EventQueue", polling.QUEUE)):
        assert list(cost.RECEIVES[name]) == polling.receives(trigger, cost.RATES)


def test_between_two_rates_receives_lie_between_theirs() -> None:
    assert cost.receives("EventQueue", 30) == pytest.approx((0.8 + 0.5) / 2)
    assert cost.receives("EventQueue", 0.1) == cost.RECEIVES["EventQueue"][0]
    assert cost.receives("EventQueue", 1000) == cost.RECEIVES["EventQueue"][-1]
    assert cost.receives("Timer", 1) == 0


def test_a_line_of_the_table_by_hand() -> None:
    """1,000 interfaces by the event queue: 43.8 million events, one busy instance."""
    found = cost.month(1000, trigger="EventQueue")
    assert found.commits == 43_800_000
    assert found.event_grid == pytest.approx(2 * 43.8 * 0.60)
    receives = 1.2 + (16.667 - 10) / 10 * (0.8 - 1.2)
    queue = (2 + receives + 1) * 43.8e6 / 1e4 * 0.004
    table = 3 * 43.8e6 / 1e4 * 0.00036
    read = 43.8e6 / 1e4 * 0.004
    assert found.storage == pytest.approx(queue + table + read, rel=1e-4)
    assert found.instances == pytest.approx(1, abs=1e-6)
    compute = 43.8 * 0.40 + 730 * 3600 * 2 * 0.000026
    assert found.compute == pytest.approx(compute, rel=1e-6)
    assert found.logs == pytest.approx(5 * 730 * 3600 * 7.5 / 7 / 1e6 * 2.30)


@pytest.mark.parametrize("arguments", [(), ("prices",)])
def test_the_readme_has_the_tables_of_the_script(arguments: tuple[str, ...]) -> None:
    assert printed(*arguments) in page("infra/README.md")


@pytest.mark.parametrize("name", ["docs/scaling.md", "infra/README.md"])
def test_tables_that_take_no_simulation_are_as_they_are_made(name: str) -> None:
    found = dict(BLOCK.findall(page(name)))
    quick = {block: text for block, text in found.items() if block in QUICK}
    assert quick
    assert quick == {block: QUICK[block]() for block in quick}


def test_the_comparison_of_the_triggers_has_the_costs_of_the_script() -> None:
    written = page("docs/ways-in.md").splitlines()
    for interfaces in (1_000, 10_000):
        assert ways_in_row(interfaces) in written


def test_the_page_on_operations_shows_the_first_line_of_the_script() -> None:
    shown = "\n".join(cost.table().splitlines()[:3])
    assert f"$ python infra/cost.py\n{shown}\n…\n" in page("docs/operations.md")
