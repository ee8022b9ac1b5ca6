"""The ways that `bench.peers` compares come to the rows that a reader of the log would write."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import peers

# Tuples of the captures in ../shared/samples, with and without counters; the rows are by hand.
NSG = (
    b'{"time":"2024-08-19T18:00:06.89Z","category":"NetworkSecurityGroupFlowEvent",'
    b'"macAddress":"6045BDEC2532","resourceId":"/SUBSCRIPTIONS/1","operationName":"x",'
    b'"properties":{"Version":2,"flows":[{"rule":"R","flows":[{"mac":"6045BDEC2532","flowTuples":['
    b'"1724090350,10.1.0.4,20.42.73.216,51236,443,T,O,A,B,,,,",'
    b'"1724090355,10.1.0.4,20.42.73.216,51236,443,T,O,A,E,9,4817,0,0"]}]}]}}'
)
VNET = (
    b'{"time":"2024-12-31T09:13:37.75Z","category":"FlowLogFlowEvent","flowLogVersion":4,'
    b'"macAddress":"000D3A359573","flowLogResourceID":"/SUBSCRIPTIONS/1","flowLogGUID":"1",'
    b'"targetResourceID":"/subscriptions/1","operationName":"FlowLogFlowEvent",'
    b'"flowRecords":{"flows":[{"aclID":"a","flowGroups":[{"rule":"R","flowTuples":['
    b'"1735636357995,10.1.0.4,20.10.127.193,56354,443,6,O,E,NX,8,5183,9,6707"]}]}]}}'
)
ROWS = [
    (1724090350000, "10.1.0.4", "20.42.73.216", 51236, 443, None, None, None, None),
    (1724090355000, "10.1.0.4", "20.42.73.216", 51236, 443, 9, 4817, 0, 0),
    (1735636357995, "10.1.0.4", "20.10.127.193", 56354, 443, 8, 5183, 9, 6707),
]


@pytest.fixture
def log(tmp_path: Path) -> peers.Log:
    """A blob of an entry of each format."""
    path = tmp_path / "PT1H.json"
    path.write_bytes(b'{"records":[' + NSG + b"," + VNET + b"]}")
    return peers.Log(path, path.read_bytes())


@pytest.mark.parametrize("name", peers.ways())
def test_every_way_comes_to_the_rows_of_the_log(name: str, log: peers.Log) -> None:
    work, shown = peers.ways()[name]
    assert sorted(shown(work(log)).rows()) == ROWS


def test_a_way_that_loses_a_row_ends_the_run(log: peers.Log) -> None:
    loses = peers.Way(lambda log: peers.by_split(log)[1:], peers.rows_in)
    with pytest.raises(SystemExit, match="a log: loses comes to other rows"):
        peers.check("a log", log, {"loses": loses})


def test_a_way_that_changes_a_counter_ends_the_run(log: peers.Log) -> None:
    changed = peers.Way(lambda log: [(*row[:-1], 1) for row in peers.by_split(log)], peers.rows_in)
    with pytest.raises(SystemExit, match="changes comes to other rows"):
        peers.check("a log", log, {"changes": changed})


def test_the_processor_time_of_child_processes_counts() -> None:
    child = "import time; sum(range(2_000_000)); print(time.process_time())"
    at_least_s: list[float] = []

    def work(_: peers.Log) -> None:
        before_s = time.process_time()
        ran = subprocess.run([sys.executable, "-c", child], capture_output=True, check=True)
        at_least_s.extend((time.process_time() - before_s, 0.9 * float(ran.stdout)))

    assert peers.taken_s(work, peers.Log(Path(), b""), 1) >= sum(at_least_s)
