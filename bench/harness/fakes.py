"""A sink for what must not be held."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flowlog_core.testing.memory import MemorySink


class DiscardingSink(MemorySink):
    """Packs as the queue sink does, and keeps nothing."""

    def send(self, messages: Iterable[Any]) -> int:
        """See `Sink.send`."""
        return sum(1 for _ in messages)
