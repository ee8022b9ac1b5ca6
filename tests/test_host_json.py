"""docs/host.md describes host.json as it is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flowlog_core.source.events import MAX_DELIVERIES, REDELIVERED_AFTER_S

ROOT = Path(__file__).resolve().parents[1]


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """The settings of a JSON object by their dotted names, with their values as text."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{name}.{key}" if name else key)
    else:
        yield name, value if isinstance(value, str) else json.dumps(value)


def test_every_setting_of_host_json_is_explained_with_its_value() -> None:
    document = (ROOT / "docs" / "host.md").read_text(encoding="utf-8")
    table = document.split("## host.json")[1].split("Left out on purpose")[0]
    explained: list[tuple[str, str]] = []
    for names, value in re.findall(r"^\| (`.+?`) \| `(.+?)` \| .+ \|$", table, re.MULTILINE):
        explained += [(name, value) for name in re.findall(r"`(.+?)`", names)]
    assert explained == list(leaves(json.loads((ROOT / "host.json").read_text("utf-8"))))


def test_events_come_back_as_often_and_as_late_as_the_code_counts_on() -> None:
    queues = json.loads((ROOT / "host.json").read_text("utf-8"))["extensions"]["queues"]
    assert queues["maxDequeueCount"] == MAX_DELIVERIES
    hours, minutes, seconds = map(int, queues["visibilityTimeout"].split(":"))
    assert hours * 3600 + minutes * 60 + seconds == REDELIVERED_AFTER_S


def test_as_many_events_run_at_a_time_as_blob_functions_do() -> None:
    extensions = json.loads((ROOT / "host.json").read_text("utf-8"))["extensions"]
    queues = extensions["queues"]
    at_a_time = queues["batchSize"] + queues["newBatchThreshold"]
    assert at_a_time == extensions["blobs"]["maxDegreeOfParallelism"]
