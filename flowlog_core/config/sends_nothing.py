"""Whether rules leave no record of Azure's to send, such as a drop rule `ip=*`. Pure.

A rule treats all values between two that it names alike. So one value of each kind is enough for
each field, and if no combination of them is sent, nothing is.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address
from itertools import product
from math import prod
from typing import Any

from flowlog_core.shape.accepted import Ranges, address_ranges_of, ranges_of
from flowlog_core.shape.keep_drop import KeepDrop
from flowlog_core.shape.terms import Glob, Term

_MAX_COMBINATIONS = 4096
_NULLABLE = frozenset({"state", "target_resource_id", "mac", "acl_id", "encryption"})
"""Texts that Azure leaves out of some entries or formats."""
_COUNTERS = ("packets_", "bytes_")
_OTHER = "\0"
"""A text that no rule names: only `*` matches it."""
_LAST_MS = 4_102_444_800_000  # 2100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def sends_nothing(rules: KeepDrop) -> bool:
    """Whether the rules let no record pass. False also where that cannot be told in short time."""
    terms = [term for rule in (*rules.keep.rules, *rules.drop.rules) for term in rule]
    if not _can_tell(terms):
        return False
    values: dict[str, set[Any]] = {}
    for term in terms:
        for name in term.query_field.reads:
            values.setdefault(name, set()).update(_values(name, term))
    if prod(map(len, values.values())) > _MAX_COMBINATIONS:
        return False
    return not any(
        rules.keeps(dict(zip(values, combination, strict=True)))
        for combination in product(*values.values())
    )


def _can_tell(terms: list[Term]) -> bool:
    """Whether `_values` has a value of each kind, which may lie where two conditions overlap."""
    patterns: dict[str, set[str]] = {}
    fields: dict[str, set[str]] = {}
    for term in terms:
        for name in term.query_field.reads:
            fields.setdefault(name, set()).add(term.field)
        for one in term.accepts:
            if isinstance(one, Glob) and not one.is_exact and one.pattern != "*":
                patterns.setdefault(term.field, set()).add(one.pattern)
    has_overlaps = any(len(some) > 1 or "?" in "".join(some) for some in patterns.values())
    sums = {term.field for term in terms if term.query_field.is_sum}
    return not has_overlaps and not any(sums & of and len(of) > 1 for of in fields.values())


def _values(name: str, term: Term) -> Iterator[Any]:
    """A value of each kind that a term tells apart in a record field."""
    field = term.query_field
    if name in _NULLABLE or name.startswith(_COUNTERS):
        yield None
    match field.kind:
        case "choice":
            yield from field.choices
        case "address":
            for version, kind, maximum in (
                (4, IPv4Address, 2**32 - 1),
                (6, IPv6Address, 2**128 - 1),
            ):
                ranges = address_ranges_of(term.accepts, version)
                yield from (str(kind(number)) for number in _borders(ranges, maximum))
        case "number":
            yield from _borders(ranges_of(term.accepts), field.maximum)
        case "time":
            yield from map(_time, _borders(ranges_of(term.accepts), _LAST_MS))
        case "text" | "protocol":
            yield _OTHER
            for one in term.accepts:
                if isinstance(one, Glob):
                    yield one.pattern.replace("*", _OTHER)


def _borders(ranges: Ranges, maximum: int) -> Iterator[int]:
    """The numbers on both sides of where ranges begin and end, from 0 to a maximum."""
    numbers = {0, maximum}.union(*({low - 1, low, high, high + 1} for low, high in ranges))
    return (number for number in sorted(numbers) if 0 <= number <= maximum)


def _time(milliseconds: int) -> str:
    at = _EPOCH + timedelta(milliseconds=milliseconds)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z"
