"""Dead letters in memory, as they are stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from threading import RLock

from flowlog_core.dead_letters import DeadLetter
from flowlog_core.errors import Conflict, NotFound
from flowlog_core.operate.letters import StoredLetter
from flowlog_core.testing.memory import ManualClock, service_time


class MemoryLetters:
    """A `DeadLetterStore` and `LetterStore`; `put` replaces a letter of the same name."""

    def __init__(self, clock: ManualClock | None = None) -> None:
        self.clock = clock or ManualClock()
        self.stored: dict[str, tuple[bytes, str, datetime]] = {}
        """Content, ETag and time by name."""
        self._versions = 0
        self._lock = RLock()

    def put(self, letters: Iterable[DeadLetter]) -> None:
        """See `DeadLetterStore.put`."""
        for letter in letters:
            self.put_content(letter.name, letter.to_json())

    def put_content(self, name: str, content: bytes) -> None:
        """Store any content under a name."""
        with self._lock:
            self._versions += 1
            self.stored[name] = content, f"letter-{self._versions}", service_time(self.clock)

    def all(self) -> Iterator[StoredLetter]:
        """See `LetterStore.all`."""
        with self._lock:
            stored = sorted(self.stored.items())
        for name, (_, _, at) in stored:
            letter = StoredLetter.of(name, at)
            if letter is not None:
                yield letter

    def read(self, name: str) -> tuple[bytes, str]:
        """See `LetterStore.read`."""
        with self._lock:
            if name not in self.stored:
                raise NotFound(name)
            content, etag, _ = self.stored[name]
            return content, etag

    def read_each(self, letters: Sequence[StoredLetter]) -> Iterator[tuple[StoredLetter, bytes]]:
        """See `LetterStore.read_each`."""
        for letter in letters:
            with suppress(NotFound):
                yield letter, self.read(letter.name)[0]

    def create(self, letter: DeadLetter) -> None:
        """See `LetterStore.create`."""
        with self._lock:
            if letter.name in self.stored:
                raise Conflict(f"{letter.name} exists")
            self.put([letter])

    def replace(self, name: str, letter: DeadLetter, etag: str) -> None:
        """See `LetterStore.replace`."""
        with self._lock:
            if self.stored.get(name, (b"", ""))[1] != etag:
                raise Conflict(f"{name} is no longer {etag}")
            self.put_content(name, letter.to_json())

    def remove(self, name: str, etag: str) -> None:
        """See `LetterStore.remove`."""
        with self._lock:
            if name not in self.stored:
                raise NotFound(name)
            if self.stored[name][1] != etag:
                raise Conflict(f"{name} is no longer {etag}")
            del self.stored[name]
