"""A rule as a quick function of values: of a record's, or of the fields of a tuple."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flowlog_core.shape.accepted import FIRST_MILLISECONDS, accepted_by, in_ranges, ranges_of
from flowlog_core.shape.terms import Term

Values = Sequence[object]
Test = Callable[[Values], bool]
Spelled = Mapping[str, Mapping[str, object]]
"""By field: what a tuple writes, and what a record has for it."""

_FEW_NUMBERS = 2048


def all_of(tests: list[Test]) -> Test:
    """All of them, as a chain: each is called only if those before it hold."""
    if not tests:
        return lambda _values: True
    *before, last = tests
    if not before:
        return last
    first = all_of(before)
    return lambda values: first(values) and last(values)


def test_of(term: Term, at: Mapping[str, int], spelled: Spelled) -> Test:
    """The test of one term; `at` says in which place a field is, and one in none is null."""
    query_field, negated = term.query_field, term.negated
    if query_field.reading == "sum":
        return _test_of_sum(term, [at[name] for name in query_field.reads if name in at])
    tests = [
        _test_of_value(term, at[name], spelled.get(name))
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


def _test_of_value(term: Term, place: int, spelling: Mapping[str, object] | None) -> Test:
    """Whether the term accepts what is in the place, `!=` left aside.

    Ports, counters and times hardly repeat: they are compared. All else is remembered.
    """
    accepted = accepted_by(term) if spelling is None else _by_spelling(term, spelling)
    kind, ranges = term.query_field.kind, ranges_of(term.accepts)
    if spelling is not None or kind not in ("number", "time"):
        return lambda values: accepted[values[place]]
    if kind == "number" and sum(high - low + 1 for low, high in ranges) <= _FEW_NUMBERS:
        numbers = {number for low, high in ranges for number in range(low, high + 1)}
        texts = frozenset((*numbers, *map(str, numbers)))
        return lambda values: values[place] in texts
    first_milliseconds = FIRST_MILLISECONDS if kind == "time" else 0

    def test(values: Any) -> bool:
        value = values[place]
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


def _by_spelling(term: Term, spelling: Mapping[str, object]) -> Mapping[object, bool]:
    accepted = accepted_by(term)
    return _Spelled(accepted, {text: accepted[value] for text, value in spelling.items()})


class _Spelled(dict[object, bool]):
    """The answers by a tuple's letters; those of what is no letter are the term's own."""

    def __init__(self, accepted: Mapping[object, bool], by_text: dict[str, bool]) -> None:
        super().__init__()
        self.update(by_text)
        self._accepted = accepted

    def __missing__(self, value: object) -> bool:
        return self._accepted[value]


def _test_of_sum(term: Term, places: list[int]) -> Test:
    accepted, ranges, negated = accepted_by(term), ranges_of(term.accepts), term.negated
    if not places:
        return lambda _values: negated
    if len(places) == 1:
        (only,) = places
        return lambda values: accepted[values[only]] != negated
    one, other = places

    def test(values: Any) -> bool:
        first, second = values[one], values[other]
        if first is None or first == "":
            return accepted[second] != negated
        if second is None or second == "":
            return accepted[first] != negated
        try:
            total = int(first) + int(second)
        except ValueError:  # no number: not accepted
            return negated
        return in_ranges(total, ranges) != negated

    return test
