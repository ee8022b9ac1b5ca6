"""Whether a term accepts a value. Answers are cached."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from socket import AF_INET, AF_INET6, inet_pton

from flowlog_core.parsing.protocols import keyword
from flowlog_core.shape.terms import Accept, Addresses, Glob, Kind, Span, Term

_MAX_REMEMBERED = 16384
_MAX_REMEMBERED_CHARACTERS = 256


@lru_cache(maxsize=256)  # one memory a term, however many compiled rules share it
def accepted_by(term: Term) -> Mapping[object, bool]:
    """Maps every value to whether the term accepts it. Ignores `!=`.

    A number may be given as digits, a time as RFC 3339 or as digits that count Unix seconds or
    milliseconds, a protocol as its name or number. None, and what cannot be read, is not accepted.
    A bounded number of answers is cached, which is what makes rules cheap.
    """
    test = _TESTS[term.query_field.kind](term.accepts)

    def answer(value: object) -> bool:
        if value is None:
            return False
        try:
            return test(value)
        except (ValueError, OSError):  # OSError: no address
            return False

    return Answers(answer)


class Answers(dict[object, bool]):
    """Remembers answers. When it is full it starts again empty, so it follows what is logged."""

    def __init__(self, answer: Callable[[object], bool]) -> None:
        super().__init__()
        self._answer = answer

    def __missing__(self, value: object) -> bool:
        answer = self._answer(value)
        if not isinstance(value, str) or len(value) <= _MAX_REMEMBERED_CHARACTERS:
            if len(self) >= _MAX_REMEMBERED:
                self.clear()
            self[value] = answer
        return answer


def _number_test(accepts: tuple[Accept, ...]) -> Callable[[object], bool]:
    ranges = ranges_of(accepts)
    return lambda value: in_ranges(int(str(value)), ranges)


def _time_test(accepts: tuple[Accept, ...]) -> Callable[[object], bool]:
    ranges = ranges_of(accepts)
    return lambda value: in_ranges(milliseconds(str(value)), ranges)


Ranges = tuple[tuple[int, int], ...]
_BELOW_ALL, _ABOVE_ALL = -1, 2**65  # outside the range of counters, sums, ports and times


def ranges_of(accepts: tuple[Accept, ...]) -> Ranges:
    """The spans as pairs of numbers, which compare quickly."""
    return tuple(
        (
            _BELOW_ALL if span.low is None else span.low,
            _ABOVE_ALL if span.high is None else span.high,
        )
        for span in accepts
        if isinstance(span, Span)
    )


def in_ranges(number: int, ranges: Ranges) -> bool:
    """Whether a number is in one of the ranges, ends included."""
    for low, high in ranges:  # noqa: SIM110 - `any` costs as much again as all the rest
        if low <= number <= high:
            return True
    return False


def _address_test(accepts: tuple[Accept, ...]) -> Callable[[object], bool]:
    addresses = [accept for accept in accepts if isinstance(accept, Addresses)]
    of_version_4, of_version_6 = (
        tuple((one.low, one.high) for one in addresses if one.version == version)
        for version in (4, 6)
    )

    def test(value: object) -> bool:
        text = str(value)
        if ":" in text:
            return in_ranges(int.from_bytes(inet_pton(AF_INET6, text)), of_version_6)
        return in_ranges(int.from_bytes(inet_pton(AF_INET, text)), of_version_4)

    return test


def _text_test(accepts: tuple[Accept, ...]) -> Callable[[object], bool]:
    globs = [accept for accept in accepts if isinstance(accept, Glob)]
    exact = frozenset(glob.pattern for glob in globs if glob.is_exact)
    # `fnmatch` also knows sets in brackets; its expressions never take exponential time.
    patterns = [
        re.compile(fnmatch.translate(glob.pattern.replace("[", "[[]"))).match
        for glob in globs
        if not glob.is_exact
    ]

    def test(value: object) -> bool:
        text = str(value).lower()
        return text in exact or any(match(text) for match in patterns)

    return test


def _protocol_test(accepts: tuple[Accept, ...]) -> Callable[[object], bool]:
    test = _text_test(accepts)
    return lambda value: test(protocol_name(str(value)))


_TESTS: dict[Kind, Callable[[tuple[Accept, ...]], Callable[[object], bool]]] = {
    "number": _number_test,
    "time": _time_test,
    "address": _address_test,
    "protocol": _protocol_test,
    "choice": _text_test,
    "text": _text_test,
}


def protocol_name(text: str) -> str:
    """A protocol's name as records have it, from its name or number."""
    return keyword(int(text)) if text.isdecimal() and len(text) <= 3 else text.lower()


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_MILLISECONDS = 10**11  # FORMAT: a smaller number counts seconds


def milliseconds(text: str) -> int:
    """Milliseconds since 1970 of a record's `time`, or of a tuple's first field.

    Raises ValueError for anything else.
    """
    if text.isdecimal():
        number = int(text)
        return number if number >= FIRST_MILLISECONDS else number * 1000
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"no time zone: {text}")
    return (time - _EPOCH) // timedelta(milliseconds=1)
