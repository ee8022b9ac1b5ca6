"""Who is told how far a command has come."""

from __future__ import annotations

from typing import Protocol


class Progressing(Protocol):
    """Is told how far it went. Called by several threads."""

    def read(self, count: int) -> None:
        """So many more bytes arrived."""
        ...

    def done(self) -> None:
        """One more blob is through."""
        ...
