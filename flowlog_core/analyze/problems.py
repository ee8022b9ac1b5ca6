"""What could not be read: counted, and named as it is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from flowlog_core.parsing import Damaged
from flowlog_core.parsing.tuples import BadTuple


class Problem(NamedTuple):
    """What in a log could not be read: a part of the file, or one tuple of an entry."""

    start: int
    """The byte at which the part, or the tuple's entry, begins."""
    reason: str
    tuple_index: int | None = None
    raw: str = ""
    """The tuple as written."""
    damaged_bytes: int = 0

    def __str__(self) -> str:
        if self.tuple_index is None:
            return f"byte {self.start}: {self.reason} ({self.damaged_bytes} bytes)"
        return f"byte {self.start}, tuple {self.tuple_index}: {self.reason}: {self.raw}"

    @classmethod
    def of_part(cls, damaged: Damaged) -> Problem:
        """A part of the file that is no readable entry."""
        size = damaged.end - damaged.start
        return cls(damaged.start, damaged.reason, damaged_bytes=size)

    @classmethod
    def of_tuple(cls, start: int, bad: BadTuple) -> Problem:
        """One tuple, or one malformed group, of the entry at `start`."""
        return cls(start, bad.reason, bad.index, bad.raw)


@dataclass
class Problems:
    """Counts problems, and passes each on with the name of its source."""

    tell: Callable[[str, str], object] = lambda _name, _problem: None
    count: int = 0
    sources: set[str] = field(default_factory=set)
    """The names of the sources that had any."""

    def add(self, name: str, problem: Problem | str) -> None:
        """Count one and hand it on."""
        self.count += 1
        self.sources.add(name)
        self.tell(name, str(problem))
