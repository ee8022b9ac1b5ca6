"""Settings in a simulation: which tuples are dropped by rule, also while a deployment changes them.

A rule names source addresses, and those are the numbers of tuples: so what is dropped is known to
the judge, who asks the plain reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from random import Random

import reference_rules

from flowlog_core.shape.keep_drop import KeepDrop
from flowlog_core.shape.shaper import Shaper

_RULED = 0.3  # of all schedules in which blobs are not rewritten
_CHANGED = 0.5  # of those: a deployment is under way
_ALL_DROPPED = 0.15


@dataclass(frozen=True)
class Rules:
    """The drop rules of one schedule: one text, or two if old and new instances run at once."""

    texts: tuple[str, ...]

    @classmethod
    def some(cls, seed: int) -> Rules:
        """Of its own randomness, so that schedules do not depend on it otherwise."""
        rng = Random(f"rules {seed}")
        if rng.random() >= _RULED:
            return cls(("",))
        return cls(tuple(_some_text(rng) for _ in range(2 if rng.random() < _CHANGED else 1)))

    @property
    def are_any(self) -> bool:
        """Whether anything may be dropped."""
        return any(self.texts)

    @property
    def change(self) -> bool:
        """Whether not every worker has the same."""
        return len(self.texts) > 1

    def shaper(self, number: int) -> Shaper:
        """What the worker of this number is given."""
        return _shaper(self.texts[number % len(self.texts)])

    def drop_always(self, address: str) -> bool:
        """Whether all of them drop the tuple with this source address."""
        return all(_matches(text, address) for text in self.texts)

    def drop_ever(self, address: str) -> bool:
        """Whether one of them does."""
        return any(_matches(text, address) for text in self.texts)


def _some_text(rng: Random) -> str:
    """A rule that drops every tuple, or stretches of them, in each of the two blobs."""
    if rng.random() < _ALL_DROPPED:
        return "src_ip=*"
    number, ranges = rng.randrange(4), []
    while number < 64:
        last = number + rng.choice((0, 0, 0, 2))
        ranges += [f"10.{blob}.0.{number}-10.{blob}.0.{last}" for blob in (0, 16)]
        number = last + 1 + rng.randint(1, 2)
    return f"src_ip={','.join(ranges)}"


@cache
def _shaper(text: str) -> Shaper:
    return Shaper(KeepDrop.parse("", text))


@cache
def _matches(text: str, address: str) -> bool:
    return reference_rules.matches(text, {"src_ip": address})
