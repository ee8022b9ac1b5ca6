"""Lengths of time as people write them: `30s`, `5m`, `1h`, `2d`."""

from __future__ import annotations

import re

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(ms|s|m|h|d|w)", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def duration_s(text: str) -> float:
    """Seconds of a length of time such as `5s`, `1.5h` or `0s`.

    Raises ValueError, with a message for the user, for anything else.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a length of time. Write 500ms, 30s, 5m, 1h, 2d or 1w")
    return float(match[1]) * _SECONDS[match[2]]


def width_s(text: str) -> int:
    """Seconds of a width of time such as `5m`. Raises ValueError if they are not whole, or 0."""
    seconds = duration_s(text)
    if seconds < 1 or seconds != int(seconds):
        raise ValueError(f"{text!r} is not a whole number of seconds")
    return int(seconds)
