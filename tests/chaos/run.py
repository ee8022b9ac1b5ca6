"""One run: logs grow, workers are killed, storage fails at random, a sweep forwards the rest.

The seed determines what is written, which requests fail and when a worker is killed. It does not
determine the timing of the processes.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal

from simulation.fault_proxy import EVERY_FAULT, Fault, FaultProxy

from chaos.account import Account, Log
from chaos.host import Host, Tally, Trigger
from chaos.watch import Watcher
from flowlog_core.checkpoints.checkpoint import Answer, Checkpoint, CheckpointKey, CheckpointStore
from flowlog_core.config.settings import Settings
from flowlog_core.demo.azurite import Azurite
from flowlog_core.operate.catch_up import add_up, catch_up
from flowlog_core.service import Service
from flowlog_core.sweep.report import SweepReport

_STORM_RATE = 0.9
_STORM_S = (1.0, 5.0)
_SWEPT_WITHIN_S = 120.0
_LEAST = 10  # appends, and faults where there are to be any
_MAX_WRITE_S = 60.0
_BACKOFF_IS_OVER_AFTER = timedelta(hours=7)


@dataclass(frozen=True)
class Plan:
    """What a run is made of."""

    seed: int
    sink: Literal["queue", "table"]
    write_s: float
    trigger: Trigger = "EventGrid"
    logs: int = 4
    appends_per_s: float = 10
    workers: int = 2
    kill_every_s: float | None = None
    """On average; None: never."""
    fault_rate: float = 0
    """The share of all requests to storage that meet a fault."""
    storm_every_s: float | None = None
    """On average; then nearly every request to one of the services fails for a few seconds."""
    faults: Mapping[Fault, float] = field(default_factory=lambda: EVERY_FAULT)
    settle_s: float = 3
    """How long kills and faults go on after the last append, while anything is under way."""
    deliver_s: float = 60
    """How long the trigger goes on after that; what is left then is left to `flowlog run`."""


@dataclass
class Report:
    """What happened, and what came of it."""

    plan: Plan
    tally: Tally
    appends: int
    entries: int
    requests: int
    faults: dict[str, Counter[Fault]]
    """By service."""
    swept: SweepReport
    records: int
    repeats: int
    dead_letters: int
    wrong: list[str]
    took_s: float
    looks: int
    """How often the lag was held against the truth."""
    behind: int
    """Lags that were more than nothing, of one log at one look."""

    @property
    def faulty(self) -> int:
        """How many requests met a fault."""
        return sum(found.total() for found in self.faults.values())

    def __str__(self) -> str:
        tally, plan = self.tally, self.plan
        rows = [
            (
                "run",
                f"{plan.trigger}, {plan.sink} sink, seed {plan.seed}, {plan.workers} workers, "
                f"{self.took_s:.0f} s, {plan.write_s:g} s of them writing",
            ),
            (
                "written",
                f"{self.appends:,} appends of {self.entries:,} entries to {plan.logs} blobs",
            ),
            (
                "events",
                f"{tally.events:,}, of these {tally.doubled:,} doubled, "
                f"{tally.never_delivered:,} never delivered; {tally.sweeps:,} sweeps by the timer",
            ),
            (
                "kills",
                f"{tally.kills:,}, with {tally.died_with:,} calls in the killed workers",
            ),
            ("outcomes", _counts(tally.outcomes)),
            (
                "failed tries",
                f"{_counts(tally.errors)}; the slowest took "
                f"{tally.slowest_failure_s:.1f} s; {tally.given_up:,} deliveries "
                "given up",
            ),
            ("requests", f"{self.requests:,} to storage, of these {self.faulty:,} met a fault"),
        ]
        rows += [
            (
                f"  {fault.value}",
                "  ".join(f"{service} {found[fault]:,}" for service, found in self.faults.items()),
            )
            for fault in Fault
            if any(found[fault] for found in self.faults.values())
        ]
        rows += [
            (
                "sweep",
                f"{self.swept.forwarded:,} blobs forwarded, with {self.swept.entries:,} "
                f"entries, {self.swept.records:,} records",
            ),
            ("arrived", f"{self.records:,} records and {self.dead_letters:,} dead letters"),
            ("repeats", f"{self.repeats:,} records came again, each with the same id and content"),
            (
                "looks at the lag",
                f"{self.looks:,}, in which {self.behind:,} times a log was behind",
            ),
            (
                "wrong",
                f"{len(self.wrong):,}: lost, altered or unknown, or a wrong checkpoint or lag",
            ),
        ]
        return "\n".join([*(f"{name:36}{text}" for name, text in rows), *self.wrong])


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counter.most_common()) or "none"


def run(plan: Plan, azurite: Azurite) -> Report:
    """Run it; afterwards nothing of it is left but what is stored in `azurite`."""
    return asyncio.run(_run(plan, azurite))


async def _run(plan: Plan, azurite: Azurite) -> Report:
    began = time.monotonic()
    with ExitStack() as stack:
        account = Account(azurite, uuid.uuid4().hex[:12], plan.sink)
        stack.callback(account.close)
        upstream = {
            "blob": azurite.blob_url,
            "queue": azurite.queue_url,
            "table": azurite.table_url,
        }
        proxies = {
            service: stack.enter_context(
                FaultProxy(url, plan.seed * 10 + number, rate=plan.fault_rate, faults=plan.faults)
            )
            for number, (service, url) in enumerate(upstream.items())
        }
        through = replace(
            azurite,
            blob_url=proxies["blob"].url,
            queue_url=proxies["queue"].url,
            table_url=proxies["table"].url,
        )
        environment = account.settings | {
            "FLOWLOG_TRIGGER_SOURCE": plan.trigger,
            "FlowLogs": through.connection_string,
            "AzureWebJobsStorage": through.connection_string,
        }
        logs = account.logs(plan.logs, plan.seed)
        direct = dict.fromkeys(("FlowLogs", "AzureWebJobsStorage"), azurite.connection_string)
        watcher = Watcher(environment | direct, account, logs)
        watcher.start()
        stack.callback(watcher.end)
        async with Host(environment, plan.workers, plan.seed, plan.trigger) as host:
            call = partial(_appended, plan.trigger, through.blob_url)
            appends = await _trouble(plan, logs, host, list(proxies.values()), call)
            await host.settle(plan.deliver_s)
        swept = await asyncio.to_thread(_sweep, environment)
        await asyncio.to_thread(watcher.end)
        wrong, records, repeats, dead_letters = await asyncio.to_thread(account.wrong, logs)
    return Report(
        plan=plan,
        tally=host.tally,
        appends=appends,
        entries=sum(len(log.writer.entries) for log in logs),
        requests=sum(proxy.requests for proxy in proxies.values()),
        faults={service: proxy.injected for service, proxy in proxies.items()},
        swept=swept,
        records=records,
        repeats=repeats,
        dead_letters=dead_letters,
        wrong=host.tally.wrong + watcher.wrong + wrong,
        looks=watcher.looks,
        behind=watcher.behind,
        took_s=time.monotonic() - began,
    )


def _appended(trigger: Trigger, blob_url: str, log: Log) -> dict[str, Any] | None:
    """Append to a log; returns what the trigger then asks for."""
    log.append()
    if trigger == "Timer":
        return None
    if trigger == "EventQueue":
        return {"message": json.dumps(log.event(blob_url))}
    return {"container": log.blob.container, "name": log.blob.log.name}


async def _trouble(
    plan: Plan,
    logs: list[Log],
    host: Host,
    proxies: list[FaultProxy],
    append: Callable[[Log], dict[str, Any] | None],
) -> int:
    """Write as long as planned, among kills and faults; returns how many appends there were."""
    dice = random.Random(plan.seed)
    if plan.fault_rate:
        for proxy in proxies:
            proxy.arm()
    over = asyncio.Event()
    troubles = [
        asyncio.create_task(_kills(plan, host, random.Random(plan.seed + 1), over)),
        asyncio.create_task(_storms(plan, proxies, random.Random(plan.seed + 2), over)),
    ]
    try:
        appends, began = 0, time.monotonic()
        while not _is_enough(plan, time.monotonic() - began, appends, host, proxies):
            log = dice.choice(logs)
            call = await asyncio.to_thread(append, log)
            appends += 1
            if call is not None:
                host.raised(call)
            await asyncio.sleep(dice.expovariate(plan.appends_per_s))
        await host.settle(plan.settle_s)
    finally:
        over.set()
        await asyncio.gather(*troubles)
        for proxy in proxies:
            proxy.disarm()
    return appends


def _is_enough(
    plan: Plan, written_s: float, appends: int, host: Host, proxies: list[FaultProxy]
) -> bool:
    """On a busy machine little happens in the time planned: then the run goes on for longer."""
    faults = sum(proxy.injected.total() for proxy in proxies)
    happened = (
        appends >= _LEAST
        and (not plan.kill_every_s or host.tally.kills > 0)
        and (not plan.fault_rate or faults >= _LEAST)
    )
    return written_s > plan.write_s and (happened or written_s > _MAX_WRITE_S)


async def _kills(plan: Plan, host: Host, dice: random.Random, over: asyncio.Event) -> None:
    while plan.kill_every_s and not await _is_set(over, dice.uniform(0, 2 * plan.kill_every_s)):
        await host.kill_one()


async def _storms(
    plan: Plan, proxies: list[FaultProxy], dice: random.Random, over: asyncio.Event
) -> None:
    while plan.storm_every_s and not await _is_set(over, dice.uniform(0, 2 * plan.storm_every_s)):
        proxy = dice.choice(proxies)
        proxy.rate = _STORM_RATE
        await _is_set(over, dice.uniform(*_STORM_S))
        proxy.rate = plan.fault_rate


async def _is_set(over: asyncio.Event, within_s: float) -> bool:
    with suppress(TimeoutError):
        await asyncio.wait_for(over.wait(), within_s)
    return over.is_set()


def _sweep(environment: Mapping[str, str]) -> SweepReport:
    """Catch up until nothing is behind, or it takes too long; then the check tells what is left."""
    service = Service(Settings.from_environment(environment))
    total, give_up_at = SweepReport(), time.monotonic() + _SWEPT_WITHIN_S
    try:
        while time.monotonic() < give_up_at:
            found = catch_up(service, threading.Event())
            add_up(total, found)
            if found.backing_off:
                checkpoints = HoursLater(service.pipeline.checkpoints)
                service.pipeline = replace(service.pipeline, checkpoints=checkpoints)
            elif not found.behind:
                break
            time.sleep(0.2)
    finally:
        service.close()
    return total


class HoursLater:
    """A checkpoint store at a time when each wait after a failure, and each claim, is over."""

    def __init__(self, store: CheckpointStore) -> None:
        self._store = store

    def get(self, key: CheckpointKey) -> Answer:
        return _later(self._store.get(key))

    def create(self, key: CheckpointKey, checkpoint: Checkpoint) -> Answer:
        return _later(self._store.create(key, checkpoint))

    def replace(self, key: CheckpointKey, checkpoint: Checkpoint, etag: str) -> Answer:
        return _later(self._store.replace(key, checkpoint, etag))

    def between(self, partition: str, first: str, last: str) -> dict[str, Checkpoint]:
        return self._store.between(partition, first, last)

    def forwarded(self, partition: str, first: str, last: str) -> dict[str, str]:
        return self._store.forwarded(partition, first, last)

    def scan(
        self, since: str = "", before: str = "~"
    ) -> Iterator[tuple[CheckpointKey, Checkpoint, str]]:
        return self._store.scan(since, before)

    def unsettled(
        self, now: datetime, after: str = ""
    ) -> Iterator[tuple[Sequence[Checkpoint], str]]:
        return self._store.unsettled(now, after)

    def remove(self, key: CheckpointKey, etag: str) -> None:
        self._store.remove(key, etag)


def _later(answer: Answer) -> Answer:
    return replace(answer, server_time=answer.server_time + _BACKOFF_IS_OVER_AFTER)
