"""The dead letters of some entries, before they are stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from flowlog_core.blob import Position
from flowlog_core.dead_letters import DeadLetter, DeadLetterStore
from flowlog_core.parallel import Ahead
from flowlog_core.parsing import Damaged

MAX_RUN_BYTES = 1024 * 1024
"""Maximum bytes of adjacent unreadable input in one dead letter."""
_MAX_HELD_BYTES = 8 * 1024 * 1024  # a whole chunk may be damaged


@dataclass(slots=True)
class _Run:
    """Adjacent unreadable input, which becomes one dead letter."""

    position: Position
    first: Damaged
    end: int
    count: int = 1
    more: bytearray = field(default_factory=bytearray)
    """The bytes that follow those of the first."""

    def letter(self) -> DeadLetter:
        if self.count == 1:
            return DeadLetter(self.position, self.first.reason, self.first.raw)
        reason = f"{self.count} neighbours could not be read; the first: {self.first.reason}"
        return DeadLetter(self.position, reason, self.first.raw + self.more)


class HeldLetters:
    """Collects dead letters, and stores many at a time; `keep` renews the claim before each."""

    def __init__(self, dead_letters: DeadLetterStore, keep: Callable[[], None]) -> None:
        self._dead_letters, self._keep = dead_letters, keep
        self.count = 0
        """How many there were so far, stored or not."""
        self._held: list[DeadLetter] = []
        self._held_bytes = 0
        self._run: _Run | None = None

    def add_damaged(self, position: Position, item: Damaged, skipped: bytes) -> None:
        """Add what cannot be read; `skipped` are the bytes between it and the item before it."""
        run = self._run
        if (
            run is not None
            and item.start - run.end == len(skipped)
            and len(run.first.raw) + len(run.more) + len(item.raw) <= MAX_RUN_BYTES
        ):
            run.count += 1
            run.end = item.end
            run.more += skipped + item.raw
            return
        self._end_run()
        self._run = _Run(position, item, item.end)
        self.count += 1

    def add(self, letters: list[DeadLetter]) -> None:
        """Add the letters of an entry that was read."""
        self.count += len(letters)
        self._end_run()
        self._hold(letters)

    def keep_only(self, letter: DeadLetter) -> None:
        """Hold the letter of a whole entry instead of all others, which are of its tuples.

        One of many bad tuples has the same name, and says that the other tuples were forwarded.
        """
        self.count, self._held, self._held_bytes = 1, [letter], letter.held_bytes

    def store(self) -> None:
        """Store all that are held. Raises `ClaimLost` or a `StorageError`."""
        self._end_run()
        self._store_held()

    def _end_run(self) -> None:
        if self._run is not None:
            run, self._run = self._run, None
            self._hold([run.letter()])

    def _hold(self, letters: list[DeadLetter]) -> None:
        self._held += letters
        self._held_bytes += sum(letter.held_bytes for letter in letters)
        if self._held_bytes > _MAX_HELD_BYTES:
            self._store_held()

    def _store_held(self) -> None:
        if self._held:
            self._dead_letters.put(Ahead(self._held, self._keep))
        self._held, self._held_bytes = [], 0
