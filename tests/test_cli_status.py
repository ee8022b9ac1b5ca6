"""`flowlog status`, as people and programs see it."""

from __future__ import annotations

import io
import json
import re
import sys
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azurite_installation import AzuriteInstallation
from command_line import flowlog
from terminal import in_a_terminal

from flowlog_core.cli.status import exit_code
from flowlog_core.cli.status_screen import status_to_json, write_status
from flowlog_core.operate.status import (
    ClaimHeld,
    FailingBlob,
    ResourceStatus,
    Status,
    SweepStatus,
    Totals,
)
from flowlog_core.sinks.depth import QueueDepth
from flowlog_core.sweep.cursor import Container
from flowlog_core.testing.memory import some_blob

ROOT = Path(__file__).resolve().parents[1]
NOW = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)
LOGS = Container("account", "logs")
FINE = Totals(0, 0, 0, 0.0, 0, 0, 0, 0, 0, None, 0)


def status_of(totals: Totals = FINE, **changed: Any) -> Status:
    values: dict[str, Any] = {
        "at": NOW,
        "totals": totals,
        "resources": [],
        "reasons": Counter(),
        "queues": [],
        "sweeps": [SweepStatus(LOGS, NOW - timedelta(minutes=3))],
        "sees_checkpoints": True,
        "unknown": [],
    }
    return Status(**{**values, **changed})


def shown(status: Status) -> list[str]:
    out = io.StringIO()
    write_status(status, out)
    return out.getvalue().splitlines()


@pytest.mark.parametrize(
    ("lag_s", "unknown", "max_lag_s", "code"),
    [
        (0.0, [], 0, 0),
        (1.0, [], 0, 1),
        (600.0, [], 600, 0),
        (601.0, [], 600, 1),
        (0.0, ["no role"], 600, 2),
        (None, ["no role"], 600, 2),
    ],
)
def test_the_exit_code(
    lag_s: float | None, unknown: list[str], max_lag_s: float, code: int
) -> None:
    totals = Totals(0, 0, 0, lag_s, 0, 0, 0, 0, 0, None, 0)
    assert exit_code(status_of(totals, unknown=unknown), max_lag_s) == code


def test_where_all_is_well_little_is_said() -> None:
    assert shown(status_of(replace(FINE, blobs=2))) == [
        "2026-01-01 12:30:00 UTC: everything is forwarded.",
        "2 blobs",
        "the last whole sweep ended 3 min ago",
    ]


def test_where_nothing_is_there_it_says_where_it_looked() -> None:
    """A wrong account must not read as if all were well."""
    assert shown(status_of()) == [
        "2026-01-01 12:30:00 UTC: no flow logs were found.",
        "looked in account/logs",
        "the last whole sweep ended 3 min ago",
    ]


NEITHER = "neither a sweep of the app nor flowlog run has gone through everything yet"


@pytest.mark.parametrize(
    ("passes", "told"),
    [
        ([(None, None), (None, None)], [NEITHER]),
        ([(None, 1), (None, 4)], ["flowlog run looked at everything 4 min ago"]),
        ([(None, 1), (None, None)], ["flowlog run did not see all of account/1 yet"]),
        ([(3, None), (None, None)], ["no sweep has gone through all of account/1 yet"]),
        (
            [(60, 1), (50, 2)],
            [
                "the last whole sweep ended 1 h ago",
                "flowlog run looked at everything 2 min ago",
            ],
        ),
    ],
)
def test_it_says_when_all_was_last_looked_at_and_by_whom(
    passes: list[tuple[int | None, int | None]], told: list[str]
) -> None:
    def ago(minutes: int | None) -> datetime | None:
        return None if minutes is None else NOW - timedelta(minutes=minutes)

    sweeps = [
        SweepStatus(Container("account", str(number)), ago(sweep), ago(look))
        for number, (sweep, look) in enumerate(passes)
    ]
    assert shown(status_of(replace(FINE, blobs=2), sweeps=sweeps))[2:] == told


FAILING = str(some_blob())
TROUBLE = status_of(
    Totals(9000, 12, 3_400_000, 3725.0, 1, 1, 2, 130, 7, 95.0, 4200),
    resources=[
        ResourceStatus(
            "account",
            "logs",
            "/S/WEB\x1b[2J",
            NOW.replace(minute=0),
            8000,
            12,
            3_400_000,
            3725.0,
            1,
            130,
            Counter({"not an entry": 100}),
            [FailingBlob(FAILING, "403 \x1b[31mno role", 3, NOW + timedelta(seconds=80))],
            [
                ClaimHeld("account/logs/y", NOW + timedelta(seconds=40), has_run_out=False),
                ClaimHeld("account/logs/z", NOW - timedelta(minutes=5), has_run_out=True),
            ],
            4200,
        ),
        ResourceStatus("account", "logs", "/S/DB", NOW.replace(minute=0), 1000),
    ],
    reasons=Counter({"not an entry": 100}),
    queues=[QueueDepth("flow-records", 7, 95.0)],
    sweeps=[
        SweepStatus(LOGS, None),
        SweepStatus(Container("account", "more"), NOW, NOW - timedelta(minutes=1)),
    ],
    unknown=["Cannot connect to account other"],
)


def test_trouble_is_told_in_words_and_what_is_nothing_is_left_out() -> None:
    assert shown(TROUBLE) == [
        "2026-01-01 12:30:00 UTC: behind, by 1 h 2 min at most.",
        "9,000 blobs, 12 behind with 3.4 MB, 1 failing, 1 being forwarded, 1 claimed by a worker "
        "that ended, 1 behind in the archive tier, where they cannot be read",
        "130 dead letters",
        "4,200 records dropped by rule",
        "7 messages in queue flow-records, the oldest for 1 min 35 s",
        "no sweep has gone through all of account/logs yet",
        "flowlog run did not see all of account/logs yet",
        "",
        "lag        behind      bytes  failing  dead_letters  archived  dropped  blobs  "
        "newest_hour     resource    container",
        "1 h 2 min      12  3,400,000        1           130         1    4,200  8,000  "
        "2026-01-01T12Z  WEB\\x1b[2J  logs",
        "-               0          0        0             0         0        0  1,000  "
        "2026-01-01T12Z  DB          logs",
        "",
        "Failing: the next event tries again at once, the sweep at next_try",
        "next_try       attempts  blob                                     error",
        "in 1 min 20 s         3  EXAMPLE-NSG 2026-01-01T00Z 000D3AF87856  403 \\x1b[31mno role",
        "",
        "Claimed by a worker",
        "runs_out           blob",
        "ran out 5 min ago  account/logs/z",
        "in 40 s            account/logs/y",
        "",
        "Dead letters, by reason (the 100 newest)",
        "count  reason",
        "  100  not an entry",
        "",
        "Could not be read:",
        "  Cannot connect to account other",
    ]


def test_json_has_everything() -> None:
    value = json.loads(status_to_json(TROUBLE))
    assert value["totals"] == {
        "blobs": 9000,
        "blobs_behind": 12,
        "bytes_behind": 3_400_000,
        "lag_s": 3725.0,
        "archived": 1,
        "failing": 1,
        "claims": 2,
        "dead_letters": 130,
        "queue_messages": 7,
        "queue_oldest_s": 95.0,
        "dropped": 4200,
    }
    web, db = value["resources"]
    assert (web["dropped"], db["dropped"]) == (4200, 0)
    assert (web["lag_s"], db["lag_s"], db["newest_hour"]) == (3725.0, 0.0, "2026-01-01T12:00:00Z")
    assert web["failing"] == [
        {
            "blob": FAILING,
            "error": "403 \x1b[31mno role",
            "attempts": 3,
            "next_try": "2026-01-01T12:31:20Z",
        }
    ]
    assert web["claims"][1] == {
        "blob": "account/logs/z",
        "until": "2026-01-01T12:25:00Z",
        "has_run_out": True,
    }
    assert value["queues"] == [{"queue": "flow-records", "messages": 7, "oldest_s": 95.0}]
    assert value["sweeps"] == [
        {"account": "account", "container": "logs", "last_whole": None, "last_look": None},
        {
            "account": "account",
            "container": "more",
            "last_whole": "2026-01-01T12:30:00Z",
            "last_look": "2026-01-01T12:29:00Z",
        },
    ]
    assert value["unknown"] == ["Cannot connect to account other"]


def test_without_checkpoints_no_resource_claims_to_be_forwarded() -> None:
    totals = Totals(8, None, None, None, None, None, None, None, 0, None, None)
    row = ResourceStatus("account", "logs", "/S/DB", NOW, 8)
    value = json.loads(
        status_to_json(status_of(totals, resources=[row], sees_checkpoints=False, unknown=["x"]))
    )
    (one,) = value["resources"]
    unseen = ("lag_s", "blobs_behind", "dead_letters", "dropped")
    assert [one[name] for name in unseen] == [None] * 4


def test_it_looks_at_real_storage_and_creates_nothing(installation: AzuriteInstallation) -> None:
    environment = installation.environment
    writer = installation.log()
    before = installation.names()
    code, out, err = flowlog("status", "--output", "json", environment=environment)
    value = json.loads(out)
    assert (code, err, value["unknown"]) == (1, "", []) or value["totals"]["lag_s"] <= 600
    totals = value["totals"]
    assert (totals["blobs"], totals["blobs_behind"], totals["dead_letters"]) == (1, 1, 0)
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    assert totals["lag_s"] >= (installation.modified() - hour).total_seconds()
    assert installation.names() == before
    assert flowlog("run", "--once", environment=environment)[0] == 0
    code, out, err = flowlog("status", "--max-lag", "0s", environment=environment)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].endswith(" UTC: everything is forwarded.")
    assert lines[1] == "1 blob"
    assert lines[2].startswith(f"1 message in queue {installation.queue_name}, the oldest for ")
    assert re.fullmatch(r"flowlog run looked at everything \d+ m?s ago", lines[3])
    committed = writer.entries[0]
    writer.append(committed)
    code, out, err = flowlog(
        *("status", "--max-lag", "0s", "--since", "1h", "--output", "json"),
        environment=environment,
    )
    totals = json.loads(out)["totals"]
    assert (code, totals["blobs_behind"], totals["queue_messages"]) == (1, 1, 1)
    assert 0 < totals["lag_s"] < 60


def test_in_a_terminal_each_look_takes_the_place_of_the_one_before(
    installation: AzuriteInstallation, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "flowlog_core", "status", "--watch", "--interval", "50ms"]
    environment = {"PYTHONPATH": str(ROOT), "NO_COLOR": "1", **installation.environment}
    with in_a_terminal(command, tmp_path, environment) as typist:
        for _ in range(2):
            typist.wait_for(" UTC: no flow logs were found.")
        typist.type("\x03")  # Ctrl-C
        assert typist.exit_code() == 130
    assert "Traceback" not in typist.seen


def test_what_cannot_be_reached_is_explained(installation: AzuriteInstallation) -> None:
    nowhere = "http://127.0.0.1:9/devstoreaccount1"
    environment = {
        **installation.environment,
        "FlowLogs": f"DefaultEndpointsProtocol=http;AccountName=x;AccountKey=eA==;"
        f"BlobEndpoint={nowhere};QueueEndpoint={nowhere}",
    }
    code, out, _ = flowlog("status", environment=environment)
    assert code == 2
    assert "cannot tell whether everything is forwarded." in out.splitlines()[0]
    assert "Could not be read:\n  Cannot connect to " in out
