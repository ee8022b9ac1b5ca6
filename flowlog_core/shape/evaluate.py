"""Compiles rules to one Python expression, which tests a batch of tuples in one call.

    action=deny,dst_port=443  ->  known1[row[6]] and row[5] in known2

A call in Python costs as much as a twentieth of parsing a tuple, so closures in closures would cost
a third of it. The source is made of the words below, numbers, and names of values. Nothing that a
user or a log wrote is in it.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Mapping

import orjson

from flowlog_core.parsing.tuples import ROW, Drops, Memo
from flowlog_core.shape.accepted import (
    ABOVE_ALL,
    AddressAnswers,
    Ranges,
    accepts_value,
    bounds_of,
    globs_of,
    ranges_of,
    spelled_of,
)
from flowlog_core.shape.keep_drop import KeepDrop
from flowlog_core.shape.rules import Rules
from flowlog_core.shape.terms import Term

_OF_FLOW = next(names for names in ROW if not isinstance(names, str))
"""The fields that a record has for one place of a row."""
_VALUES = {
    **{
        name: f"row[{at}]"
        for at, names in enumerate(ROW)
        for name in ([names] if isinstance(names, str) else names)
    },
    "id": "f'{prefix}{at}'",
    "log_time": "log_time",
}
"""By field, the expression of what a tuple, or its place, says for it."""
_BEFORE_ID = len('{"id":"')  # an id holds nothing that JSON escapes
_ONCE = {
    "id": f"prefix in [head[{_BEFORE_ID}:].lower()]",
    "log_time": "log_time in log_time_of(common)",
}
"""What is looked up once a batch, by the field that needs it."""
_BEFORE_LOG_TIME = len('Z","log_time":')
_FEW_NUMBERS = 2048


def compiled(rules: KeepDrop, flows: Mapping[str, str]) -> Drops:
    """What decides which tuples of a group the rules drop.

    Terms about what the group has in common are decided already, see `KeepDrop.given`. `flows` are
    those of the tuples' format.
    """
    compiler = _Compiler(flows)
    return compiler.drops(f"not {compiler.matches(rules.keep)} or {compiler.matches(rules.drop)}")


def _log_time(common: str) -> tuple[object]:
    return (orjson.loads(common[_BEFORE_LOG_TIME : common.index(',"category":')]),)


class _Compiler:
    """Writes the expressions of terms, and keeps the values that they name."""

    def __init__(self, flows: Mapping[str, str]) -> None:
        self._flows = flows
        self._reads: set[str] = set()
        self._names: dict[str, object] = {"bisect": bisect, "log_time_of": _log_time}

    def drops(self, expression: str) -> Drops:
        """Drops the tuples for which an expression is true."""
        once = "".join(f"for {one} " for name, one in _ONCE.items() if name in self._reads)
        source = f"lambda rows, head, common: [at {once}for at, row in rows if {expression}]"
        drops: Drops = eval(source, self._names)  # noqa: S307 - see the module's docstring
        return drops

    def matches(self, rules: Rules) -> str:
        """Whether one of the rules matches."""
        return _any(f"({' and '.join(map(self._holds, one)) or 'True'})" for one in rules.rules)

    def _holds(self, term: Term) -> str:
        reads = term.query_field.reads
        self._reads.update(reads)
        if term.query_field.is_sum:
            one, other = (_VALUES[name] for name in reads)
            is_in = self._is_in(ranges_of(term.accepts), f"int({one} or 0) + int({other} or 0)")
            accepted = f"(({one} or {other}) and {is_in})"
        else:
            accepted = _any(self._accepts(term, name) for name in reads)
        return f"(not {accepted})" if term.negated else accepted

    def _accepts(self, term: Term, name: str) -> str:
        """Whether the term accepts the value of this field. Ignores `!=`.

        Ports, counters, times and ids hardly repeat, so they are compared. Other answers are
        remembered.
        """
        value = _VALUES[name]
        if name in _OF_FLOW:
            flows, accepts = self._flows, accepts_value(term)
            answers = Memo(lambda text: accepts(orjson.loads(f"{{{flows[text][1:]}0}}")[name]))
            return f"{self._named(answers)}[{value}]"
        match term.query_field.kind:
            case "number":
                return self._accepts_number(term, value)
            case "time":
                milliseconds = f"int({value} + ({_VALUES['time_ms']} or '000'))"
                return self._is_in(ranges_of(term.accepts), milliseconds)
            case "address":
                return self._accepts_address(term, value)
        if name == "id":
            exact, patterns = globs_of(term.accepts)
            matches = (f"{self._named(match)}({value})" for match in patterns)
            return _any([f"{value} in {self._named(exact)}", *matches])
        return f"{self._named(accepts_value(term))}({value})"

    def _named(self, value: object) -> str:
        name = f"known{len(self._names)}"
        self._names[name] = value
        return name

    def _accepts_number(self, term: Term, value: str) -> str:
        ranges = ranges_of(term.accepts)
        if sum(high - low + 1 for low, high in ranges) > _FEW_NUMBERS:
            return f"({value} and {self._is_in(ranges, f'int({value})')})"
        numbers = (str(number) for low, high in ranges for number in range(low, high + 1))
        return f"({value} in {self._named(frozenset(numbers))})"

    def _accepts_address(self, term: Term, value: str) -> str:
        remembered = f"{self._named(AddressAnswers(term.accepts))}[{value}]"
        spelled = spelled_of(term.accepts)
        if spelled is None:
            return remembered
        exact, starts = map(self._named, spelled)
        is_4 = f"({value} in {exact} or {value}.startswith({starts}))"
        return f"({remembered} if ':' in {value} else {is_4})"

    def _is_in(self, ranges: Ranges, number: str) -> str:
        if len(ranges) > 1:
            return f"(bisect({self._named(bounds_of(ranges))}, {number}) % 2 == 1)"
        ((low, high),) = ranges
        return f"({low} <= {number})" if high == ABOVE_ALL else f"({low} <= {number} <= {high})"


def _any(expressions: Iterable[str]) -> str:
    """Whether one of them holds."""
    return f"({' or '.join(expressions) or 'False'})"
