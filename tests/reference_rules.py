"""A reference implementation of rules, simple and slow, to compare the fast one with.

`matches(text, record)` shares only the words of the language with `flowlog_core.shape`.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from flowlog_core.parsing.protocols import KEYWORDS

_NUMBERS = {
    *("src_port", "dst_port", "port", "protocol_number", "version", "packets", "bytes"),
    *("packets_src_to_dst", "packets_dst_to_src", "bytes_src_to_dst", "bytes_dst_to_src"),
}
_ADDRESSES = {"src_ip", "dst_ip", "ip"}
ip_address = functools.cache(ipaddress.ip_address)
ip_network = functools.cache(ipaddress.ip_network)


def matches(text: str, record: dict[str, Any]) -> bool:
    return any(_rule(rule, record) for rule in text.split(";") if rule.strip())


def _rule(text: str, record: dict[str, Any]) -> bool:
    terms: list[tuple[str, str, list[str]]] = []
    for piece in text.split(","):
        found = re.match(r"\s*(\w+)\s*(!=|>=|<=|=|>|<)(.*)", piece, re.DOTALL)
        if found:
            terms.append((found[1], found[2], [found[3].strip()]))
        else:
            terms[-1][2].append(piece.strip())
    return all(_term(*term, record) for term in terms)


def _term(name: str, operator: str, values: list[str], record: dict[str, Any]) -> bool:
    if operator == "!=":
        return not _term(name, "=", values, record)
    if name in ("ip", "port"):
        return any(
            _one(name, operator, values, record.get(f"{end}_{name}")) for end in ("src", "dst")
        )
    if name in ("bytes", "packets"):
        both = [record.get(f"{name}_{way}") for way in ("src_to_dst", "dst_to_src")]
        known = [number for number in both if number is not None]
        return bool(known) and _one(name, operator, values, sum(known))
    return _one(name, operator, values, record.get(name))


def _one(name: str, operator: str, values: list[str], value: Any) -> bool:
    if value is None:
        return False
    if operator != "=":
        return _compare(name, operator, values[0], value)
    return any(pattern == "*" or _equal(name, pattern, value) for pattern in values)


def _compare(name: str, operator: str, bound: str, value: Any) -> bool:
    if name == "time":
        time = datetime.fromisoformat(value)
        first, last = _period(bound)
    else:
        time, first, last = value, int(bound), int(bound)
    answers: dict[str, bool] = {
        ">=": time >= first,
        ">": time > last,
        "<=": time <= last,
        "<": time < first,
    }
    return answers[operator]


def _period(text: str) -> tuple[Any, Any]:
    """The first and the last millisecond of what is written."""
    first = datetime.fromisoformat(text).replace(tzinfo=UTC)
    length = {
        10: timedelta(days=1),
        13: timedelta(hours=1),
        16: timedelta(minutes=1),
        19: timedelta(seconds=1),
    }.get(len(text), timedelta(milliseconds=1))
    return first, first + (length - timedelta(milliseconds=1))


def _equal(name: str, pattern: str, value: Any) -> bool:
    if name in _NUMBERS:
        low, _, high = pattern.partition("-")
        return bool(int(low) <= value <= int(high or low))
    if name in _ADDRESSES:
        address = ip_address(value)
        if "/" in pattern:
            return address in ip_network(pattern)
        low, _, high = pattern.partition("-")
        first, last = ip_address(low), ip_address(high or low)
        return first.version == address.version and int(first) <= int(address) <= int(last)
    if name == "time":
        first, last = _period(pattern)
        return bool(first <= datetime.fromisoformat(value) <= last)
    if name == "protocol" and pattern.isdecimal():
        pattern = KEYWORDS.get(int(pattern), str(int(pattern)))
    return _like(pattern.lower(), value.lower())


def _like(pattern: str, text: str) -> bool:
    """Match a glob by trying every length for `*`."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(_like(pattern[1:], text[cut:]) for cut in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and _like(pattern[1:], text[1:])
