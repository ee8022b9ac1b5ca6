"""Widths of time as people write them."""

from __future__ import annotations

import re

_WIDTH = re.compile(r"([1-9][0-9]{0,4})([smhd])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def width_s(text: str) -> int:
    """Seconds of a width such as `5m`. Raises ValueError for anything else."""
    match = _WIDTH.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a width of time. Write 30s, 5m, 1h or 1d")
    return int(match[1]) * _SECONDS[match[2]]
