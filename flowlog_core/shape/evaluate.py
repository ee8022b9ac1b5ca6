"""Compiles a rule to a function of values: those of a record, or the fields of a tuple."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flowlog_core.shape.accepted import (
    FIRST_MILLISECONDS,
    Answers,
    Ranges,
    accepted_by,
    in_ranges,
    ranges_of,
)
from flowlog_core.shape.terms import Term

Values = Sequence[object]
Test = Callable[[Values], bool]
Spelled = Mapping[str, Callable[[Any], object]]
"""By field: what a record has for what a tuple writes."""
TIME_MS = "time_ms"
"""The place of the time's last three digits, empty where it counts seconds."""

_FEW_NUMBERS = 2048


def all_of(tests: list[Test]) -> Test:
    """One test for all: each is called only if those before it hold."""
    if not tests:
        return lambda _values: True
    *before, last = tests
    if not before:
        return last
    first = all_of(before)
    return lambda values: first(values) and last(values)


def any_of(tests: list[Test]) -> Test:
    """One of them, tried in their order."""
    if len(tests) == 1:
        return tests[0]

    def any_of_them(values: Values) -> bool:
        for test in tests:  # noqa: SIM110 - `any` costs as much again as all the rest
            if test(values):
                return True
        return False

    return any_of_them


def test_of(term: Term, at: Mapping[str, int], spelled: Spelled) -> Test:
    """The test of one term. `at` maps each field to its index; a field without one is null."""
    query_field, negated = term.query_field, term.negated
    if query_field.reading == "sum":
        return _test_of_sum(term, [at[name] for name in query_field.reads if name in at])
    tests = [
        _test_of_value(term, at[name], spelled.get(name), at.get(TIME_MS))
        for name in query_field.reads
        if name in at
    ]
    if not tests:
        return lambda _values: negated
    one, other = tests[0], tests[-1]
    if len(tests) == 1:
        return (lambda values: not one(values)) if negated else one
    if negated:
        return lambda values: not (one(values) or other(values))
    return lambda values: one(values) or other(values)


def _test_of_value(
    term: Term, place: int, spelling: Callable[[Any], object] | None, place_of_ms: int | None
) -> Test:
    """Whether the term accepts the value at this index. Ignores `!=`.

    Ports, counters and times hardly repeat, so they are compared. Other answers are cached.
    """
    accepted = accepted_by(term)
    kind, ranges = term.query_field.kind, ranges_of(term.accepts)
    if spelling is not None:
        by_text = Answers(lambda text: accepted[spelling(text)])
        return lambda values: by_text[values[place]]
    if kind not in ("number", "time"):
        return lambda values: accepted[values[place]]
    if kind == "time" and place_of_ms is not None:
        return _test_of_digits(accepted, ranges, place, place_of_ms)
    if kind == "number" and sum(high - low + 1 for low, high in ranges) <= _FEW_NUMBERS:
        numbers = {number for low, high in ranges for number in range(low, high + 1)}
        texts = frozenset((*numbers, *map(str, numbers)))
        return lambda values: values[place] in texts
    first_milliseconds = FIRST_MILLISECONDS if kind == "time" else 0

    def test(values: Any) -> bool:
        value = values[place]
        if not value and value != 0:  # null: raising costs more than all the rest
            return accepted[value]
        try:
            number = int(value)
        except (TypeError, ValueError):  # null, or a time as records have it
            return accepted[value]
        if number < first_milliseconds:
            number *= 1000
        for low, high in ranges:  # noqa: SIM110 - `any` costs as much again as all the rest
            if low <= number <= high:
                return True
        return False

    return test


def _test_of_digits(
    accepted: Mapping[object, bool], ranges: Ranges, place: int, place_of_ms: int
) -> Test:
    """Of a time in two places: its digits but for the last three, and these."""

    def test(values: Any) -> bool:
        digits = values[place] + values[place_of_ms]
        number = int(digits)
        return in_ranges(number, ranges) if number >= FIRST_MILLISECONDS else accepted[digits]

    return test


def _test_of_sum(term: Term, places: list[int]) -> Test:
    accepted, ranges, negated = accepted_by(term), ranges_of(term.accepts), term.negated
    if not places:
        return lambda _values: negated
    if len(places) == 1:
        (only,) = places
        return lambda values: accepted[values[only]] != negated
    one, other = places
    low, high = ranges[0] if len(ranges) == 1 else (0, -1)

    def test(values: Any) -> bool:
        first, second = values[one], values[other]
        if first and second:  # the digits of two numbers, or numbers but 0
            try:
                total = int(first) + int(second)
            except ValueError:  # no number: not accepted
                return negated
            if low <= total <= high:
                return not negated
            return negated if low <= high else in_ranges(total, ranges) != negated
        if first is None or first == "":
            return accepted[second] != negated
        if second is None or second == "":
            return accepted[first] != negated
        return accepted[first or second] != negated  # one is 0

    return test
