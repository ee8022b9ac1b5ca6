"""A storage service for the simulation: it answers late under load, and counts calls.

A call is answered after a fixed time, once every place that it uses (a queue, a partition, an
account) has room. A place accepts a limited number of units a second, one after the other, and
rejects none. Azure answers 503 instead, and the caller retries a second or more later.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple


class Call(NamedTuple):
    """A storage call, and for how much it counts at each place: messages, or entities."""

    kind: str
    units: float = 1
    """A receive that brings nine messages is a ninth of one for each of them."""


class Place(NamedTuple):
    """What takes only so much a second: a queue, a partition of a table, an account."""

    name: str
    units_a_second: float = inf


@dataclass
class Storage:
    """Answers calls, and counts them."""

    call_s: float
    places_of: Callable[[str, int], Sequence[Place]] = lambda _kind, _interface: ()
    """The places that a call of this kind, for this interface, burdens."""
    calls: Counter[tuple[str, int]] = field(default_factory=Counter)
    """By kind and second."""
    units: defaultdict[tuple[Place, int], float] = field(default_factory=lambda: defaultdict(float))
    """What each place took, by second."""
    _room_at_s: dict[Place, float] = field(default_factory=dict)

    def answers_at(self, now_s: float, call: Call, interface: int) -> float:
        """When a call made now is answered, in seconds."""
        begins_s = now_s
        for place in self.places_of(call.kind, interface):
            room_at_s = max(now_s, self._room_at_s.get(place, 0.0))
            self._room_at_s[place] = room_at_s + call.units / place.units_a_second
            self.units[place, int(room_at_s)] += call.units
            begins_s = max(begins_s, room_at_s)
        self.calls[call.kind, int(begins_s)] += 1
        return begins_s + self.call_s

    def fullest(self, over_s: float) -> tuple[Place, float]:
        """The place of which the largest part was used in this time, and how much that is."""
        used: defaultdict[Place, float] = defaultdict(float)
        for (place, _), units in self.units.items():
            used[place] += units
        return max(
            ((place, units / place.units_a_second / over_s) for place, units in used.items()),
            key=lambda item: item[1],
        )
