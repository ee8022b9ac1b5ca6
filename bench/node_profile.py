"""What a CPU profile of Node.js says: how busy its one thread was, and with what.

A .cpuprofile is a tree of calls and, about every millisecond, which of them was under way. What is
native, such as hashing or writing to a socket, counts with the JavaScript that called it; what the
engine does by itself, such as "(garbage collector)", has a name of its own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

OTHER = "other"
IDLE = "(idle)"


class Shares(NamedTuple):
    """`busy` is a share of the time; the others are of the busy time, the largest first."""

    busy: float
    areas: dict[str, float]
    functions: dict[tuple[str, str], float]
    """By name and file."""


def file_of(url: str) -> str:
    """The file from its package's name on, or the module of Node.js: no folder of this machine."""
    if url.startswith("data:"):
        return "data:"
    if url.startswith("node:"):
        return url
    return url.rpartition("/node_modules/" if "/node_modules/" in url else "/")[2]


def shares_of(
    profile: dict[str, Any], areas: Iterable[tuple[str, str]], from_us: float, to_us: float
) -> Shares:
    """What was done from then to then, by the profile's own clock.

    Each area has a name and a pattern; a file is of the first area whose pattern it begins with.
    """
    calls = {node["id"]: node["callFrame"] for node in profile["nodes"]}
    callers = {child: node["id"] for node in profile["nodes"] for child in node.get("children", ())}
    spent_us: Counter[int] = Counter()
    now_us = profile["startTime"]
    for called, delta_us in zip(profile["samples"], profile["timeDeltas"], strict=True):
        now_us += delta_us
        if from_us <= now_us < to_us:
            spent_us[called] += delta_us
    by_area: Counter[str] = Counter()
    by_function: Counter[tuple[str, str]] = Counter()
    for called, us in spent_us.items():
        name, at = calls[called]["functionName"], called
        while not calls[at]["url"] and at in callers:
            at = callers[at]
        engine, file = name.startswith("("), file_of(calls[at]["url"])
        named = (area for area, pattern in areas if re.match(pattern, file))
        by_area[name if engine else next(named, OTHER)] += us
        by_function[name or "(anonymous)", "" if engine else file] += us
    whole_us = by_area.total()
    busy_us = whole_us - by_area.pop(IDLE, 0)
    del by_function[IDLE, ""]
    return Shares(
        busy_us / whole_us,
        {area: us / busy_us for area, us in by_area.most_common()},
        {function: us / busy_us for function, us in by_function.most_common()},
    )
