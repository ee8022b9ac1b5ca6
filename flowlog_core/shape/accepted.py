"""Which values a term accepts: as ranges, as texts, or as remembered answers."""

from __future__ import annotations

import fnmatch
import re
from bisect import bisect
from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import IPv4Address
from socket import AF_INET, AF_INET6, inet_pton
from typing import Any

from flowlog_core.parsing.tuples import Memo
from flowlog_core.shape.terms import Accept, Addresses, Glob, Span, Term
from flowlog_core.shape.times import milliseconds

_IPV4 = 4
_OCTETS = {256 ** (_IPV4 - octets): octets for octets in range(_IPV4 + 1)}
"""How many octets all addresses of a network have in common, by its size."""
_MAX_STARTS = 8
_MAX_REMEMBERED = 16384
ABOVE_ALL = 2**66
"""More than all counters, sums, ports and times."""


Ranges = list[tuple[int, int]]


def ranges_of(accepts: tuple[Accept, ...]) -> Ranges:
    """The numbers of the spans as ranges, ends included, ascending; none overlap."""
    return _apart(
        (span.low or 0, ABOVE_ALL if span.high is None else span.high)
        for span in accepts
        if isinstance(span, Span)
    )


def address_ranges_of(accepts: tuple[Accept, ...], version: int) -> Ranges:
    """The same of the addresses of one version."""
    return _apart(
        (one.low, one.high)
        for one in accepts
        if isinstance(one, Addresses) and one.version == version
    )


def bounds_of(ranges: Ranges) -> list[int]:
    """Where ranges begin and have just ended: a number in one has an odd count of them below it."""
    return [bound for low, high in ranges for bound in (low, high + 1)]


def spelled_of(accepts: tuple[Accept, ...]) -> tuple[frozenset[str], tuple[str, ...]] | None:
    """Accepted IPv4 addresses, and the starts of others; None if they cannot be written as a few.

    An IPv4 address has one spelling, so the addresses of a network of whole octets have one start.
    """
    exact, starts = set[str](), []
    for one in accepts:
        if not isinstance(one, Addresses) or one.version != _IPV4:
            continue
        size = one.high - one.low + 1
        octets = _OCTETS.get(size)
        if octets is None or one.low % size:
            return None
        text = str(IPv4Address(one.low))
        if octets == _IPV4:
            exact.add(text)
        else:
            starts.append("".join(f"{octet}." for octet in text.split(".")[:octets]))
    return None if len(starts) > _MAX_STARTS else (frozenset(exact), tuple(starts))


class AddressAnswers(dict[Any, bool]):
    """Remembers which addresses are accepted. What is no address is not accepted."""

    def __init__(self, accepts: tuple[Accept, ...]) -> None:
        super().__init__()
        # Just behind an address comes the same with one byte more.
        self._bounds_4, self._bounds_6 = (
            [
                bound
                for low, high in address_ranges_of(accepts, version)
                for bound in (low.to_bytes(length), high.to_bytes(length) + b"\0")
            ]
            for version, length in ((4, 4), (6, 16))
        )

    def __missing__(self, text: Any) -> bool:
        # All in one function: in a log every second address may be new.
        try:
            if ":" in text:
                count = bisect(self._bounds_6, inet_pton(AF_INET6, text))
            else:
                count = bisect(self._bounds_4, inet_pton(AF_INET, text))
        except (TypeError, OSError):
            return False
        answer = count % 2 == 1  # see `bounds_of`
        if len(self) >= _MAX_REMEMBERED:
            self.clear()
        self[text] = answer
        return answer


def _apart(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    apart: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if apart and low <= apart[-1][1]:
            apart[-1] = (apart[-1][0], max(high, apart[-1][1]))
        else:
            apart.append((low, high))
    return apart


Match = Callable[[str], object]


def globs_of(accepts: tuple[Accept, ...]) -> tuple[frozenset[str], list[Match]]:
    """What texts in lower case are accepted: some as they are, others by patterns."""
    globs = [accept for accept in accepts if isinstance(accept, Glob)]
    exact = frozenset(glob.pattern for glob in globs if glob.is_exact)
    # `fnmatch` also knows sets in brackets; its expressions never take exponential time.
    patterns = (glob.pattern.replace("[", "[[]") for glob in globs if not glob.is_exact)
    return exact, [re.compile(fnmatch.translate(pattern)).match for pattern in patterns]


@lru_cache(maxsize=256)
def accepts_value(term: Term) -> Callable[[Any], bool]:
    """Whether the term accepts a value that a record has, or the sum of two. Ignores `!=`.

    Nulls and invalid values are not accepted.
    """
    kind, accepts = term.query_field.kind, term.accepts
    if kind == "address":
        return AddressAnswers(accepts).__getitem__
    if kind in ("number", "time"):
        bounds = bounds_of(ranges_of(accepts))

        def is_in_range(value: Any) -> bool:
            number = milliseconds(value) if kind == "time" else value
            return isinstance(number, int) and bisect(bounds, number) % 2 == 1

        return is_in_range
    exact, patterns = globs_of(accepts)

    def is_like_one(value: Any) -> bool:
        if value is None:
            return False
        text = value.lower()
        return text in exact or any(match(text) for match in patterns)

    return Memo(is_like_one).__getitem__
