"""Closes several things."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack


def close_all(*closes: Callable[[], object]) -> None:
    """Call all of them, in this order, whatever one raises. Raises the last error."""
    with ExitStack() as stack:
        for close in reversed(closes):
            stack.callback(close)
