"""How often the Functions host asks its queue for each event: a simulation of its listener.

    events      . . :  .   . : .        put into one queue, which all instances read
    a receive   |---|                   takes a call's time, and up to a batch of messages
    found some  poll again, once few enough of them still run
    found none  wait 0.1 s, then twice as long each time, up to the polling interval

A receive is billed whether it brings one message, nine or none. The rules are those of Microsoft's
queue listener (Azure/azure-sdk-for-net, sdk/storage, QueueListener.cs, QueuePollingIntervals.cs,
RandomizedExponentialBackoffStrategy.cs). The blob trigger reads its queue by the same listener, and
wakes it whenever the webhook of the same instance has put an event (BlobTriggerQueueWriter.cs).

    python -m bench.scale.polling               # the table RECEIVES of infra/cost.py
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from bench.scale.agenda import Agenda
from infra.cost import RATES

SHORTEST_PAUSE_S = 0.1


class Trigger(NamedTuple):
    """How a listener reads its queue."""

    batch: int
    threshold: int
    """It asks again once no more than so many events run."""
    longest_pause_s: float
    is_woken: bool
    """By an event that its own instance put into the queue."""
    event_s: float
    """From the receive until the message is deleted."""


# 9 and 7 follow from host.json's maxDegreeOfParallelism of 16 (docs/host.md); the pause is the
# extension's default, which no setting changes. The event's time is that of the simulation with
# calls of 5 ms, and with the blob trigger three more for the blob's properties.
BLOB = Trigger(9, 7, 60.0, is_woken=True, event_s=0.070)
QUEUE = Trigger(8, 8, 2.0, is_woken=False, event_s=0.055)  # host.json, extensions.queues


@dataclass
class _Listener:
    polls: int = 0
    running: int = 0
    pause_s: float = SHORTEST_PAUSE_S
    steps: int = 0
    """Of waiting longer and longer."""
    has_found: bool = False
    is_woken: bool = False
    waiting: str = ""
    """For what: "room", "pause" or nothing."""
    turn: int = 0
    """Tells a pause that is over from one that was ended by waking."""


@dataclass
class Polling:
    """Runs when it is made."""

    trigger: Trigger
    events_a_second: float
    """Of all instances together, at random moments."""
    instances: int = 1
    call_s: float = 0.005
    events: int = 2000
    seed: int = 1

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._agenda = Agenda()
        self._queue: deque[int] = deque()
        self._listeners = [_Listener() for _ in range(self.instances)]
        self._done = 0
        put_s = 0.0
        for number in range(self.events):
            put_s += self._random.expovariate(self.events_a_second)
            self._agenda.at(put_s, partial(self._put, number))
        for listener in self._listeners:
            self._poll(listener)
        while self._done < self.events:
            self._agenda.go_on()

    @property
    def receives(self) -> float:
        """An event."""
        return sum(listener.polls for listener in self._listeners) / self.events

    def _put(self, number: int) -> None:
        self._queue.append(number)
        listener = self._random.choice(self._listeners)
        if self.trigger.is_woken:
            listener.is_woken = True
            if listener.waiting == "pause":
                self._poll(listener)

    def _poll(self, listener: _Listener) -> None:
        listener.polls += 1
        listener.waiting, listener.is_woken = "", False
        listener.turn += 1
        found: list[int] = []

        def take() -> None:
            while self._queue and len(found) < self.trigger.batch:
                found.append(self._queue.popleft())

        self._after(self.call_s / 2, take)
        self._after(self.call_s, lambda: self._answered(listener, len(found)))

    def _answered(self, listener: _Listener, found: int) -> None:
        if not found:
            self._pause(listener)
            return
        listener.has_found = True
        listener.running += found
        for _ in range(found):
            self._after(self.trigger.event_s, lambda: self._ended(listener))
        listener.waiting = "room"
        self._poll_if_room(listener)

    def _ended(self, listener: _Listener) -> None:
        self._done += 1
        listener.running -= 1
        if listener.waiting == "room":
            self._poll_if_room(listener)

    def _poll_if_room(self, listener: _Listener) -> None:
        if listener.running <= self.trigger.threshold:
            self._poll(listener)

    def _pause(self, listener: _Listener) -> None:
        if listener.has_found:
            listener.pause_s, listener.steps = SHORTEST_PAUSE_S, 1
        elif listener.pause_s < self.trigger.longest_pause_s:
            longer_s = SHORTEST_PAUSE_S * 2 ** (listener.steps - 1) if listener.steps else 0.0
            spread = self._random.uniform(0.8, 1.2)
            listener.pause_s = min(
                SHORTEST_PAUSE_S + spread * longer_s, self.trigger.longest_pause_s
            )
            listener.steps += 1
        listener.has_found = False
        if listener.is_woken:
            self._poll(listener)
            return
        listener.waiting = "pause"
        turn = listener.turn

        def over() -> None:
            if listener.turn == turn:
                self._poll(listener)

        self._after(listener.pause_s, over)

    def _after(self, seconds: float, happen: Callable[[], None]) -> None:
        self._agenda.at(self._agenda.now_s + seconds, happen)


def receives(trigger: Trigger, rates: Iterable[float]) -> list[float]:
    """The receives of an event at so many events a second, of one instance."""
    return [round(Polling(trigger, rate).receives, 1) for rate in rates]


def main() -> None:
    """Print the table."""
    for name, trigger in (("EventGrid", BLOB), ("EventQueue", QUEUE)):
        print(f'    "{name}": {tuple(receives(trigger, RATES))},')


if __name__ == "__main__":
    main()
