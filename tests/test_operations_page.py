"""docs/operations.md names commands and options that exist, and each alert's way out."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from infra_snapshot import QUEUED
from test_infra_watch import alerts

from flowlog_core.cli import whole_parser

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
COMMANDS = sorted(set(re.findall(r"^\s*\$ flowlog (.*?)(?: \|.*)?$", PAGE, re.MULTILINE)))
INLINE = sorted(set(re.findall(r"`flowlog ([a-z-]+[^`]*)`", PAGE)))


@pytest.mark.parametrize("command", [*COMMANDS, *INLINE])
def test_every_command_of_the_page_can_be_run_as_it_is_written(command: str) -> None:
    assert whole_parser().parse_args(shlex.split(command)).command == command.partition(" ")[0]


def test_the_page_tells_what_to_do_about_every_alert_on_the_flows() -> None:
    told = {one["displayName"].removeprefix("Flowlog: ") for one in alerts(**QUEUED).values()}
    named = set(re.findall(r"\*([A-Z][^*]+)\*", PAGE.partition("## ")[0]))
    assert named == told


def test_every_heading_that_is_linked_is_there() -> None:
    headings = {
        one.lower().replace(" ", "-") for one in re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([\w-]+)\)", PAGE)) <= headings


def test_the_cost_that_is_shown_is_what_the_script_prints() -> None:
    (shown,) = re.findall(r"^\$ python infra/cost\.py\n(.*?)…\n```", PAGE, re.DOTALL | re.MULTILINE)
    done = subprocess.run(
        [sys.executable, "infra/cost.py"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(shown)
