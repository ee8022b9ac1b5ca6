"""Stands in for Event Grid and the Functions host: worker processes, and deliveries to them.

As in Azure, some events arrive twice, a failed event is retried, and an event whose worker died
arrives again later: by the blob trigger at once and five times in all, from the event queue later
and ten times. Unlike in Azure, some events are lost. By the timer there are no events: sweeps are
started one after the other, now and then two at once, as those of two deployments may be.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from chaos.worker import CLAIM_S, NOTHING_BEHIND, READY
from flowlog_core.source.events import MAX_DELIVERIES

Trigger = Literal["EventGrid", "EventQueue", "Timer"]
"""As in FLOWLOG_TRIGGER_SOURCE."""

_ROOT = Path(__file__).resolve().parents[2]
_WORKER = Path(__file__).with_name("worker.py")
_TRIES: dict[Trigger, int] = {"EventGrid": 5, "EventQueue": MAX_DELIVERIES}
_RETRIED_AFTER_S: dict[Trigger, float] = {"EventGrid": 0, "EventQueue": CLAIM_S}
"""Events of the queue come back as late as a claim lasts: in Azure that is a minute."""
_SWEEP_EVERY_S = 0.5
_TWICE, _NEVER = 0.15, 0.05
_AGAIN_AFTER_S = (0.0, 5.0)  # some before a dead worker's claim of 3 s has run out, some after
_ENDS_WITHIN_S = 60.0
# NotFound: what is missing is made when a 404 says so, unless it was cut off before its code.
_MAY_FAIL_WITH = ("Unavailable", "Contention", "NotFound")


class WorkerDied(Exception):
    """Before it answered."""


@dataclass
class Tally:
    """What became of the events."""

    events: int = 0
    doubled: int = 0
    never_delivered: int = 0
    given_up: int = 0
    """Deliveries that failed every time."""
    kills: int = 0
    died_with: int = 0
    """Deliveries that were under way, or waiting, in a worker when it was killed."""
    outcomes: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    slowest_failure_s: float = 0
    wrong: list[str] = field(default_factory=list)
    """What no worker may do."""
    sweeps: int = 0
    """Started by the timer."""


class Worker:
    """One process, and the deliveries it has not answered."""

    def __init__(self, process: Process, errors: IO[bytes]) -> None:
        self.process = process
        self._errors = errors
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._asked = 0
        self.is_ready = False
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, environment: Mapping[str, str]) -> Worker:
        errors = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the worker
        process = await asyncio.create_subprocess_exec(
            sys.executable, _WORKER, stdin=PIPE, stdout=PIPE, stderr=errors, env=environment
        )
        return cls(process, errors)

    async def ask(self, call: Mapping[str, Any]) -> dict[str, Any]:
        """Have a trigger's call answered. Raises `WorkerDied`."""
        if self._reading.done():
            raise WorkerDied
        self._asked += 1
        event = {"n": self._asked, **call}
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[self._asked] = answer
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(event).encode() + b"\n")
        return await answer

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            if line.endswith(b"\n"):  # or it was killed in the middle of it
                answer = json.loads(line)
                if answer == READY:
                    self.is_ready = True
                    continue
                waiting = self._answers.pop(answer["n"])
                if not waiting.cancelled():
                    waiting.set_result(answer)
        await self.process.wait()
        for waiting in self._answers.values():
            if not waiting.cancelled():
                waiting.set_exception(WorkerDied())

    async def end(self, *, kill: bool) -> str:
        """Kill it, or let it do what it has begun; what it wrote to its standard error."""
        assert self.process.stdin is not None
        if kill:
            self.process.kill()
        self.process.stdin.close()
        try:
            await asyncio.wait_for(asyncio.shield(self._reading), _ENDS_WITHIN_S)
        except TimeoutError:
            self.process.kill()
            await self._reading
            return f"did not end within {_ENDS_WITHIN_S:g} s"
        with self._errors:
            self._errors.seek(0)
            return self._errors.read().decode(errors="replace")


class Host:
    """An async context: the workers live as long as it does."""

    def __init__(
        self, environment: Mapping[str, str], workers: int, seed: int, trigger: Trigger
    ) -> None:
        self.tally = Tally()
        self._trigger = trigger
        self._timer: asyncio.Task[None] | None = None
        self._environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(_ROOT), **environment}
        self._count = workers
        self._random = random.Random(seed)
        self._workers: list[Worker] = []
        self._deliveries: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Host:
        self._workers = [await Worker.start(self._environment) for _ in range(self._count)]
        if self._trigger == "Timer":
            self._timer = asyncio.create_task(self._sweep_again_and_again())
        return self

    async def __aexit__(self, *_: object) -> None:
        ending = [*self._deliveries, *([self._timer] if self._timer else [])]
        for task in ending:
            task.cancel()
        for result in await asyncio.gather(*ending, return_exceptions=True):
            if isinstance(result, Exception):
                raise result
        for worker in self._workers:
            self._judge(await worker.end(kill=False), worker.process.returncode, expected=0)

    def raised(self, call: Mapping[str, Any]) -> None:
        """A blob was committed: mostly one delivery of the trigger's `call` follows."""
        self.tally.events += 1
        dice = self._random.random()
        if dice < _NEVER:
            self.tally.never_delivered += 1
            return
        is_doubled = dice < _NEVER + _TWICE
        self.tally.doubled += is_doubled
        for _ in range(1 + is_doubled):
            delivery = asyncio.create_task(self._deliver(call))
            self._deliveries.add(delivery)
            delivery.add_done_callback(self._deliveries.discard)

    async def kill_one(self) -> None:
        """Kill a worker and start another.

        Not one that is still starting: on a busy machine none would ever do anything.
        """
        ready = [at for at, worker in enumerate(self._workers) if worker.is_ready]
        if not ready:
            return
        at = self._random.choice(ready)
        worker = self._workers[at]
        self.tally.kills += 1
        said = await worker.end(kill=True)
        self._judge(said, worker.process.returncode, expected=-9)
        self._workers[at] = await Worker.start(self._environment)

    async def settle(self, within_s: float) -> None:
        """Wait until nothing is left to deliver, or the time is up."""
        if self._timer:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._until_nothing_is_behind(), within_s)
        elif self._deliveries:
            await asyncio.wait(self._deliveries, timeout=within_s)

    def _judge(self, said: str, exit_code: int | None, *, expected: int) -> None:
        if said or exit_code != expected:
            self.tally.wrong.append(f"a worker ended with {exit_code}, and said: {said or '-'}")

    async def _deliver(self, call: Mapping[str, Any]) -> None:
        for delivery in range(1, _TRIES[self._trigger] + 1):
            try:
                if await self._answered({**call, "delivery": delivery}):
                    return
            except WorkerDied:
                await asyncio.sleep(self._random.uniform(*_AGAIN_AFTER_S))
            else:
                await asyncio.sleep(_RETRIED_AFTER_S[self._trigger])
        self.tally.given_up += 1

    async def _sweep_again_and_again(self) -> None:
        while True:
            at_once = 1 + (self._random.random() < _TWICE)
            await asyncio.gather(*(self._sweep() for _ in range(at_once)))
            await asyncio.sleep(_SWEEP_EVERY_S)

    async def _until_nothing_is_behind(self) -> None:
        while await self._sweep() != NOTHING_BEHIND:
            await asyncio.sleep(_SWEEP_EVERY_S)

    async def _sweep(self) -> str | None:
        self.tally.sweeps += 1
        with suppress(WorkerDied):
            return await self._answered({})
        return None

    async def _answered(self, call: Mapping[str, Any]) -> str | None:
        """What came of a call; None if it failed. Raises `WorkerDied`."""
        try:
            answer = await self._random.choice(self._workers).ask(call)
        except WorkerDied:
            self.tally.died_with += 1
            raise
        if "error" in answer:
            self._failed(answer)
            return None
        how = str(answer["how"])
        self.tally.outcomes[how] += 1
        return how

    def _failed(self, answer: dict[str, Any]) -> None:
        tally, error = self.tally, answer["error"]
        if error == "StillClaimed":
            tally.outcomes["came back for a claim"] += 1
            return
        tally.errors[error] += 1
        tally.slowest_failure_s = max(tally.slowest_failure_s, answer["took_s"])
        if error not in _MAY_FAIL_WITH:
            tally.wrong.append(f"{error}, which is no error of a storage in trouble: {answer}")
