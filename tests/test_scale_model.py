"""The simulation of `bench.scale`: exact where little happens, conserving where much does."""

from __future__ import annotations

import math
from collections import Counter
from math import inf
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.scale.docs import BLOCK
from bench.scale.event_cost import EventCost
from bench.scale.keys import HOST_QUEUE, QUEUES, TABLES, MetAt, fleet, met_at, places
from bench.scale.model import Append, Job, Simulation, Step, appends
from bench.scale.storage import Call, Place, Storage
from bench.scale.tables import money_table
from flowlog_core.checkpoints.checkpoint import checkpoint_key
from flowlog_core.sinks.shards import shard_of

CALL_S = 0.005
QUEUE = Place("queue", 2.0)


def run(
    events: list[Append],
    job: Job,
    *,
    instances: int = 1,
    at_a_time: int = 16,
    storage: Storage | None = None,
) -> Simulation:
    return Simulation(events, job, storage or Storage(CALL_S), instances, at_a_time)


def at(*times_s: float) -> list[Append]:
    return [Append(when_s, interface) for interface, when_s in enumerate(times_s)]


def computing(processor_s: float) -> Job:
    return Job((Step(processor_s),))


def test_one_event_takes_its_processor_time_and_its_waits() -> None:
    call = (Call("call"),)
    job = Job((Step(0.010, call), Step(0, call), Step(0.020, call * 3)), arriving=call)
    done = run(at(7.0), job)
    assert done.latencies_s == pytest.approx([0.030 + 4 * CALL_S])
    assert done.busy_s == pytest.approx(0.030)
    assert sum(done.storage.calls.values()) == 6


def test_what_the_host_does_afterwards_delays_nobody_but_keeps_the_place() -> None:
    job = Job((Step(0.010),), leaving=(Call("delete"),))
    done = run(at(0.0, 0.0), job, at_a_time=1)
    assert done.latencies_s == pytest.approx([0.010, 0.010 + CALL_S + 0.010])
    assert done.max_waiting == 1
    assert done.now_s == pytest.approx(2 * (0.010 + CALL_S))


def test_two_events_share_a_core() -> None:
    assert run(at(0.0, 0.0), computing(0.010)).latencies_s == pytest.approx([0.020, 0.020])


def test_a_late_one_shares_what_is_left() -> None:
    """Alone for 6 ms, then both at half speed until the first has its 10; then alone again."""
    done = run(at(0.0, 0.006), computing(0.010))
    assert done.latencies_s == pytest.approx([0.014, 0.014])
    assert done.busy_s == pytest.approx(0.020)


def test_two_instances_share_nothing() -> None:
    done = run(at(0.0, 0.0), computing(0.010), instances=2)
    assert done.latencies_s == pytest.approx([0.010, 0.010])


def test_while_one_waits_for_storage_the_other_computes() -> None:
    job = Job((Step(0.005, (Call("call"),)), Step(0.005)))
    done = run(at(0.0, 0.005), job)
    assert done.latencies_s == pytest.approx([0.015, 0.015])


def test_a_place_takes_one_unit_after_the_other() -> None:
    storage = Storage(CALL_S, lambda _kind, _interface: (QUEUE,))
    done = run(at(0.0, 0.0, 0.0, 10.0), Job((Step(0, (Call("put", 1),)),)), storage=storage)
    assert done.latencies_s == pytest.approx([CALL_S, 0.5 + CALL_S, 1.0 + CALL_S, CALL_S])
    assert storage.units == {(QUEUE, 0): 2, (QUEUE, 1): 1, (QUEUE, 10): 1}
    other = Place("larger", 100.0)
    storage.units[other, 3] = 30
    fullest, used = storage.fullest(over_s=10.0)
    assert fullest is QUEUE
    assert used == pytest.approx(4 / 2 / 10)


def test_the_fuller_of_two_places_decides_and_the_other_is_not_kept_waiting() -> None:
    account = Place("account", 10.0)
    both = {"put": (QUEUE, account), "get": (account,)}
    storage = Storage(CALL_S, lambda kind, _interface: both[kind])
    assert storage.answers_at(0.0, Call("put"), 0) == pytest.approx(CALL_S)
    assert storage.answers_at(0.0, Call("put"), 0) == pytest.approx(0.5 + CALL_S)
    assert storage.answers_at(0.0, Call("get"), 0) == pytest.approx(0.2 + CALL_S)


def test_every_interface_appends_once_a_minute_within_the_time() -> None:
    found = appends(50, 3, 5.0)
    assert found == sorted(found) == appends(50, 3, 5.0)
    assert found != appends(50, 3, 5.0, seed=2)
    assert Counter(int(one.at_s // 60) for one in found) == {0: 50, 1: 50, 2: 50}
    assert set(Counter(one.interface for one in found).values()) == {3}
    assert all(one.at_s % 60 < 5 for one in found)


STEPS = st.builds(
    Step,
    st.sampled_from([0.0, 0.004, 0.010]),
    st.lists(st.builds(Call, st.sampled_from("ab"), st.integers(1, 9)), max_size=3).map(tuple),
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.floats(0, 0.5), min_size=1, max_size=30),
    st.lists(STEPS, min_size=1, max_size=4).map(tuple),
    st.integers(1, 3),
    st.integers(1, 4),
    st.sampled_from([inf, 100.0]),
)
def test_every_append_is_forwarded_once_and_no_work_is_lost_or_made(
    times_s: list[float], steps: tuple[Step, ...], instances: int, at_a_time: int, rate: float
) -> None:
    events, job = at(*sorted(times_s)), Job(steps, arriving=(Call("a"),), leaving=(Call("b"),))
    place = Place("place", rate)
    storage = Storage(CALL_S, lambda _kind, _interface: (place,))
    done = run(events, job, instances=instances, at_a_time=at_a_time, storage=storage)
    work_s = sum(step.processor_s for step in steps)
    alone_s = sum(CALL_S * bool(step.calls) for step in steps) + CALL_S + work_s
    assert len(done.latencies_s) == len(events)
    assert min(done.latencies_s) >= alone_s - 1e-9
    assert done.busy_s == pytest.approx(len(events) * work_s)
    for core in done.cores:
        assert core.events == 0
        assert core.busy_s <= done.now_s + 1e-9
    assert done.max_waiting <= max(0, len(events) - instances * at_a_time)
    calls = [*job.arriving, *(call for step in steps for call in step.calls), *job.leaving]
    assert sum(storage.calls.values()) == len(events) * len(calls)
    assert sum(storage.units.values()) == len(events) * sum(call.units for call in calls)


def test_a_limit_is_met_by_the_fullest_key_and_sooner_in_a_single_second() -> None:
    minute = at(0.1, 5.0, 7.0, 7.9, 30.0)
    # Two units each: a key takes three in a second, and 0.1 a second are six in a minute.
    assert met_at("aaaaa", minute, 2, 3) == MetAt(None, 4)
    assert met_at("aaaaa", minute, 2, 0.1) == MetAt(4, 1)
    assert met_at("abcde", minute, 2, 0.1) == MetAt(None, 1)
    assert met_at("aabbb", minute, 2, 3) == MetAt(None, 4)
    assert met_at("aabab", minute, 2, 3) == MetAt(None, None)


@pytest.mark.parametrize("sink", ["queue", "table"])
def test_calls_burden_the_places_of_the_real_keys(sink: str) -> None:
    blobs = fleet(40, in_a_flow_log=20)
    assert len({blob.name for blob in blobs}) == 40
    of = places(blobs, 8, sink)
    for number, blob in enumerate(blobs):
        checkpoints, tables, account = of("checkpoint", number)
        sent_to, all_of_kind, sink_account = of("send", number)
        assert account is sink_account
        assert (tables, all_of_kind) == (TABLES, TABLES if sink == "table" else QUEUES)
        assert checkpoints.name.endswith(checkpoint_key(blob).partition)
        assert sent_to.name.startswith(f"{sink} {shard_of(blob, 8):02}")
        assert of("host's queue", number) == (HOST_QUEUE, QUEUES, account)
        assert account not in of("read", number)
    assert len({of("checkpoint", number) for number in range(40)}) == 2
    in_two_flow_logs = {of("send", number) for number in (0, 39)}
    assert len(in_two_flow_logs) == 2 if sink == "table" else len(in_two_flow_logs) <= 2


def test_the_job_of_an_event_has_its_processor_time_and_the_calls_of_the_costs() -> None:
    cost = EventCost("vnet4", "queue", 0.010, 3, 0, 0)
    job = cost.job(2)
    assert sum(step.processor_s for step in job.steps) == pytest.approx(0.020)
    calls = [*job.arriving, *(call for step in job.steps for call in step.calls), *job.leaving]
    assert Counter(call.kind for call in calls) == {
        "host's queue": 3, "properties": 3, "checkpoint": 3, "read": 1, "send": 3,
    }  # fmt: skip
    units: Counter[str] = Counter()
    for call in calls:
        for place in places(fleet(1, 1), 1)(call.kind, 0):
            units[place.name] += call.units  # type: ignore[assignment]  # parts of a receive
    # Of a receive, a ninth for the host and a thirty-second for the consumer of each message.
    assert units["the host's queue"] == pytest.approx(2 + 1 / 9)
    assert units["queue 00"] == pytest.approx(3 * (2 + 1 / 32))
    assert units["all queues"] == pytest.approx(cost.queue_units)
    assert units["all tables"] == pytest.approx(cost.table_units) == pytest.approx(3)
    assert units["the app's account"] == pytest.approx(cost.queue_units + cost.table_units)


def test_the_event_queue_is_not_asked_for_properties() -> None:
    job = EventCost("vnet4", "gzip", 0.010, 1, 0, 0).job(properties=0)
    kinds = [call.kind for step in job.steps for call in step.calls]
    assert kinds == ["host's queue", *("checkpoint",) * 2, "read", "send", "checkpoint"]


def test_a_row_of_the_table_counts_twice_as_it_has_two_kilobytes() -> None:
    cost = EventCost("vnet4", "table", 0.010, 1, 0, 195_000)
    assert cost.send_units == 100 * math.ceil(cost.sent_bytes / 100 / 1024)
    assert cost.queue_units == pytest.approx(2 + 1 / 9)
    assert cost.table_units == 3 + 200


def test_the_documented_money_is_what_the_prices_give() -> None:
    text = (Path(__file__).parents[1] / "docs/scaling.md").read_text(encoding="utf-8")
    documented = dict(BLOCK.findall(text))["money"]
    instances = documented.splitlines()[2].split(" | ")[2]
    assert money_table(float(instances)) == documented


def test_the_same_simulation_gives_the_same() -> None:
    one, other = (run(appends(30, 2, 5), computing(0.3), instances=2) for _ in range(2))
    assert one.latencies_s == other.latencies_s
