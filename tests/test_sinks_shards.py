"""An interface's shard: always the same, within range, and shared out evenly."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import azure.functions as func
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlog_core.blob import BlobRef
from flowlog_core.sinks.shards import MAX_SHARDS, shard_of, suffixes
from flowlog_core.testing.memory import some_blob

SHARDS = st.integers(1, MAX_SHARDS)
NAMES = st.text(max_size=8)


def blob_of(account: str, container: str, resource_id: str, mac: str, *, hour: int = 0) -> BlobRef:
    log = replace(some_blob(hour).log, resource_id=resource_id, mac=mac)
    return BlobRef(account, container, log)


def interface(number: int, hour: int = 0) -> BlobRef:
    return some_blob(hour, mac=f"000D3A{number:06X}")


def test_the_shards_of_these_interfaces_never_change() -> None:
    """Another hash would send what was sent before a deployment to other queues after it."""
    found = [shard_of(interface(number), 32) for number in range(8)]
    assert found == [13, 27, 21, 14, 27, 16, 3, 28]


def test_another_process_finds_the_same_shard() -> None:
    """Python's own hash of a text differs from process to process."""
    code = (
        "from flowlog_core.sinks.shards import shard_of\n"
        "from flowlog_core.testing.memory import some_blob\n"
        "print([shard_of(some_blob(mac=f'000D3A{n:06X}'), 32) for n in range(50)])"
    )
    root = Path(__file__).parents[1]
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=root,
            env={"PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert said == {f"{[shard_of(interface(number), 32) for number in range(50)]}\n"}


@given(NAMES, NAMES, NAMES, NAMES, SHARDS, st.integers(0, 23))
def test_an_interface_has_one_shard_at_every_hour(
    account: str, container: str, resource_id: str, mac: str, shards: int, hour: int
) -> None:
    shard = shard_of(blob_of(account, container, resource_id, mac), shards)
    assert shard_of(blob_of(account, container, resource_id, mac, hour=hour), shards) == shard
    assert 0 <= shard < shards


def test_letter_case_makes_no_other_shard() -> None:
    for number in range(50):
        upper = blob_of("Account", "Logs", "/SUBSCRIPTIONS/X", f"000D3A{number:06X}")
        lower = blob_of("account", "logs", "/subscriptions/x", f"000d3a{number:06x}")
        assert shard_of(upper, MAX_SHARDS) == shard_of(lower, MAX_SHARDS)


@pytest.mark.parametrize("part", range(4))
def test_each_of_account_container_resource_and_mac_counts(part: int) -> None:
    """One of them alone spreads over all shards."""
    found = set()
    for number in range(100):
        parts = ["account", "container", "/resource", "000D3A000000"]
        parts[part] += str(number)
        found.add(shard_of(blob_of(*parts), 8))
    assert found == set(range(8))


def test_what_stands_in_one_part_and_not_in_the_next_is_kept_apart() -> None:
    pairs = [
        (blob_of("a" * n + "b", "c", "r", "m"), blob_of("a" * n, "bc", "r", "m")) for n in range(50)
    ]
    assert any(shard_of(one, 32) != shard_of(other, 32) for one, other in pairs)


@pytest.mark.parametrize("shards", [2, 3, 8, 32])
def test_many_interfaces_are_spread_evenly(shards: int) -> None:
    """docs/scaling.md says by how much the fullest has more than its part: 11 % at worst."""
    count = Counter(shard_of(interface(number), shards) for number in range(1000 * shards))
    assert set(count) == set(range(shards))
    assert max(count.values()) <= 1000 / 0.9
    assert min(count.values()) >= 1000 * 0.9


def test_a_shard_puts_two_digits_behind_a_name_and_the_only_one_nothing() -> None:
    assert suffixes(1, "-") == [""]
    assert suffixes(2, "-") == ["-00", "-01"]
    assert suffixes(MAX_SHARDS, "|")[-1] == "|31"


def test_the_page_for_consumers_registers_a_trigger_for_the_queue_of_each_shard() -> None:
    page = (Path(__file__).parents[1] / "docs/consuming.md").read_text()
    (loop,) = re.findall(r"```python\n(for shard in .*?)```", page, re.DOTALL)
    app = func.FunctionApp()

    def take(msg: func.QueueMessage) -> None:
        """As on the page; it is not called."""

    exec(loop, {"app": app, "take": take})
    functions = app.get_functions()  # raises where two have one name
    triggers = [t.get_dict_repr() for one in functions if (t := one.get_trigger())]
    assert [(one["queueName"], one["connection"]) for one in triggers] == [
        (f"flowlog-records{suffix}", "FlowlogSink") for suffix in suffixes(4, "-")
    ]
