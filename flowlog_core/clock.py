"""The time that passes here. What time it is, only the storage service says (see `claim`)."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Measures and spends time; injected, so that tests decide how fast it goes."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""
        ...


class SystemClock:
    """The machine's own clock."""

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        time.sleep(seconds)
