"""How a command reports its progress."""

from __future__ import annotations

from typing import Protocol


class Progressing(Protocol):
    """Receives the progress of a command. Called by several threads."""

    def read(self, count: int) -> None:
        """So many more bytes arrived."""
        ...

    def done(self) -> None:
        """One more blob is through."""
        ...
