"""Compiles rules to one Python expression, which tests a batch of rows in one call.

    action=deny,dst_port=443  ->  known1[row[6]] and row[5] in known2

A call in Python costs as much as a twentieth of parsing a tuple, so closures in closures would cost
a third of it. The source is made of the words below, numbers, and names of values. Nothing that a
user or a log wrote is in it.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import orjson

from flowlog_core.shape.accepted import (
    ABOVE_ALL,
    AddressAnswers,
    Answers,
    Ranges,
    accepts_text,
    globs_of,
    milliseconds,
    protocol_name,
    ranges_of,
    spelled_of,
)
from flowlog_core.shape.terms import Term

Test = Callable[..., list[int]]
"""`test(rows, head="", common="")`: the indexes of the numbered rows that match. See
`parsing.tuples.Drops` for `head` and `common`."""
Spelled = Mapping[str, Callable[[Any], object]]
"""By field: converts what a tuple contains to the value of the record."""
TIME_MS = "time_ms"
"""The place of the time's last three digits, empty where it counts seconds."""

_OF_ENTRY = {"id": ("prefix", "f'{prefix}{at}'"), "log_time": ("log_time", "log_time")}
_ONCE = {"prefix": "prefix_of(head)", "log_time": "log_time_of(common)"}
"""Fields that no tuple contains: what is looked up once a batch, and the value's expression."""
_BEFORE_ID = len('{"id":')
_BEFORE_LOG_TIME = len('Z","log_time":')
_FEW_NUMBERS = 2048
_FEW_RANGES = 4
_NO_NUMBER = -(2**70)
"""In no range, nor is its sum with a counter."""


@lru_cache(maxsize=64)
def _prefix(head: str) -> tuple[object]:
    return (orjson.loads(f'{head[_BEFORE_ID:]}"').lower(),)


def _log_time(common: str) -> tuple[object]:
    return _value(common[_BEFORE_LOG_TIME : common.index(',"category":')])


@lru_cache(maxsize=64)
def _value(text: str) -> tuple[object]:
    return (orjson.loads(text),)


def _or_no_number(convert: Callable[[Any], int]) -> Callable[[Any], int]:
    def number(value: Any) -> int:
        try:
            return convert(value)
        except (TypeError, ValueError):
            return _NO_NUMBER

    return number


_OF_TUPLES = {"bisect": bisect, "number": int, "prefix_of": _prefix, "log_time_of": _log_time}
_OF_RECORDS = {
    "bisect": bisect,
    "number": _or_no_number(int),
    "milliseconds": _or_no_number(milliseconds),
}
"""The functions that an expression calls. Records, unlike tuples, may hold invalid values."""


class Compiler:
    """Writes the expressions of terms, and makes a test of one."""

    def __init__(self, at: Mapping[str, int], spelled: Spelled | None = None) -> None:
        """`at` maps each field to its index in a row; a field without one is null.

        Rows are fields of valid tuples if `spelled` says how they are spelled, else of records.
        """
        self._at = at
        self._spelled = spelled
        self._asks: set[str] = set()
        self._names: dict[str, object] = dict(_OF_RECORDS if spelled is None else _OF_TUPLES)

    def test(self, expression: str) -> Test:
        """A test that an expression is true for a row."""
        asked = (f"for {name} in {once} " for name, once in _ONCE.items() if name in self._asks)
        source = (
            "lambda rows, head='', common='':"
            f" [at {''.join(asked)}for at, row in rows if {expression}]"
        )
        test: Test = eval(source, self._names)  # noqa: S307 - see the module's docstring
        return test

    def holds(self, term: Term) -> str:
        """Whether the term holds for `row`."""
        reads = [name for name in term.query_field.reads if self._value(name)]
        if term.query_field.reading == "sum" and len(reads) > 1:
            one, other = map(self._value, reads)
            total = f"number({one} or 0) + number({other} or 0)"
            known = f"({self._is_known(one)} or {self._is_known(other)})"
            accepted = f"({known} and {self._is_in(ranges_of(term.accepts), total)})"
        else:
            accepted = any_of([self.accepts(term, name) for name in reads])
        return f"(not {accepted})" if term.negated else accepted

    def _is_known(self, number: str) -> str:
        """Whether a number is not null: a tuple has digits or nothing, a record may have 0."""
        return f"({number} or {number} == 0)" if self._spelled is None else number

    def _value(self, name: str) -> str:
        """The expression of a field's value, empty if it has no place."""
        if name in self._at:
            return f"row[{self._at[name]}]"
        if self._spelled is None or name not in _OF_ENTRY:
            return ""
        once, value = _OF_ENTRY[name]
        self._asks.add(once)
        return value

    def _named(self, value: object) -> str:
        name = f"known{len(self._names)}"
        self._names[name] = value
        return name

    def accepts(self, term: Term, name: str) -> str:
        """Whether the term accepts the value of this field. Ignores `!=`.

        Ports, counters and times hardly repeat, so they are compared. Other answers are remembered.
        """
        kind, value = term.query_field.kind, self._value(name)
        if kind == "number" and name not in (self._spelled or ()):
            return self._accepts_number(term, value)
        if kind == "time":
            return self._accepts_time(term, value)
        if name == "id" and self._spelled is not None:  # never the same again
            exact, patterns = globs_of(term.accepts)
            matches = (f"{self._named(match)}({value})" for match in patterns)
            return any_of([f"{value} in {self._named(exact)}", *matches])
        if kind == "address" and self._spelled is not None:
            return self._accepts_address(term, value)
        return f"{self._named(self._answers(term, name))}[{value}]"

    def _answers(self, term: Term, name: str) -> Mapping[Any, bool]:
        if self._spelled is not None and name in self._spelled:
            spelling, accepts = self._spelled[name], accepts_of(term)
            return Answers(lambda text: accepts([spelling(text)])[0])
        if term.query_field.kind == "address":
            return AddressAnswers(term.accepts)
        answer = accepts_text(term.accepts)
        if term.query_field.kind == "protocol":
            return Answers(lambda text: text is not None and answer(protocol_name(str(text))))
        return Answers(answer)

    def _accepts_number(self, term: Term, value: str) -> str:
        ranges = ranges_of(term.accepts)
        if sum(high - low + 1 for low, high in ranges) > _FEW_NUMBERS:
            return f"({self._is_known(value)} and {self._is_in(ranges, f'number({value})')})"
        numbers = {number for low, high in ranges for number in range(low, high + 1)}
        return f"({value} in {self._named(frozenset((*numbers, *map(str, numbers))))})"

    def _accepts_time(self, term: Term, value: str) -> str:
        ranges = ranges_of(term.accepts)
        if TIME_MS not in self._at:
            return self._is_in(ranges, f"milliseconds({value})")
        seconds = [(low // 1000, high // 1000) for low, high in ranges]
        if ranges == [(low * 1000, high * 1000 + 999) for low, high in seconds]:
            return self._is_in(seconds, f"number({value})")
        return self._is_in(ranges, f"number({value} + ({self._value(TIME_MS)} or '000'))")

    def _accepts_address(self, term: Term, value: str) -> str:
        remembered = f"{self._named(self._answers(term, ''))}[{value}]"
        spelled = spelled_of(term.accepts)
        if spelled is None:
            return remembered
        exact, starts = map(self._named, spelled)
        is_4 = f"({value} in {exact} or {value}.startswith({starts}))"
        return f"({remembered} if ':' in {value} else {is_4})"

    def _is_in(self, ranges: Ranges, number: str) -> str:
        if len(ranges) > _FEW_RANGES:
            bounds = [bound for low, high in ranges for bound in (low, high + 1)]
            return f"(bisect({self._named(bounds)}, {number}) % 2 == 1)"
        (low, high), *others = ranges
        if others:
            number = f"(n := {number})"
        first = f"{low} <= {number}" if high == ABOVE_ALL else f"{low} <= {number} <= {high}"
        return any_of([first, *(f"{low} <= n <= {high}" for low, high in others)])


@lru_cache(maxsize=256)
def accepts_of(term: Term) -> Callable[[Sequence[Any]], list[bool]]:
    """Returns a function that says of each of some values whether the term accepts it.

    Ignores `!=`. A number may be given as digits, a time is in RFC 3339, a protocol may be a name
    or a number. Nulls and invalid values are not accepted.
    """
    name = term.query_field.reads[0]
    compiler = Compiler({name: 0})
    test = compiler.test(compiler.accepts(term, name))

    def answers(values: Sequence[Any]) -> list[bool]:
        accepted = set(test(enumerate((value,) for value in values)))
        return [at in accepted for at in range(len(values))]

    return answers


def all_of(expressions: Sequence[str]) -> str:
    """Whether all of them hold."""
    return f"({' and '.join(expressions) or 'True'})"


def any_of(expressions: Sequence[str]) -> str:
    """Whether one of them holds."""
    return f"({' or '.join(expressions) or 'False'})"
