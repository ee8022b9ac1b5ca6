"""Reads rules from text, and reports every fault with its position.

    action=deny,dst_port=443,8000-8999;rule=DefaultRule_*

Rules are separated by `;`, terms and values by commas. A piece without an operator is one more
value of the term before it. Spaces around pieces are ignored. Values cannot contain a comma, a
semicolon or an operator; in a text, `?` matches any such character.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, cast

from flowlog_core.shape.rule_values import accepts_of, compared, nearest
from flowlog_core.shape.terms import QUERY_FIELDS, Operator, Term, Value

_PIECE = re.compile(r"(?P<field>[^!=<>]*)(?P<operator>!=|>=|<=|=|>|<)(?P<value>.*)", re.DOTALL)


class Fault(NamedTuple):
    """A fault, and where it begins: `position` counts the characters of the text from 1."""

    position: int
    message: str

    def __str__(self) -> str:
        return f"character {self.position}: {self.message}"


class FaultsError(ValueError):
    """The text is not valid; `faults` holds all its faults, in order."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(map(str, self.faults)))


@dataclass
class _Draft:
    """A term to which values may still be added."""

    field: str
    operator: Operator
    values: list[Value]
    position: int


def read_rules(text: str) -> tuple[tuple[Term, ...], ...]:
    """The terms of each rule; rules of white space alone are ignored. Raises `FaultsError`."""
    faults: list[Fault] = []
    rules = [_read_rule(rule, position, faults) for rule, position in _split(text, ";", 1) if rule]
    if faults:
        raise FaultsError(faults)
    return tuple(rules)


def _split(text: str, separator: str, position: int) -> Iterator[tuple[str, int]]:
    """The parts, without spaces around them, and the position of each."""
    for part in text.split(separator):
        spaces = len(part) - len(part.lstrip())
        yield part.strip(), position + spaces
        position += len(part) + len(separator)


def _read_rule(text: str, position: int, faults: list[Fault]) -> tuple[Term, ...]:
    drafts: list[_Draft] = []
    skipping = False  # the values of a field that does not exist are no further faults
    for piece, at in _split(text, ",", position):
        match = _PIECE.fullmatch(piece)
        if match is not None:
            draft = _read_start(match, at, faults)
            skipping = draft is None
            if draft is not None:
                drafts.append(draft)
                start = at + match.start("value")
                start += len(match["value"]) - len(match["value"].lstrip())
                _read_value(draft, match["value"].strip(), start, faults)
        elif drafts and not skipping:
            _read_value(drafts[-1], piece, at, faults)
        elif not skipping:
            expected = "expected a field, an operator and a value, such as action=deny"
            faults.append(Fault(at, f"{expected}{f', not {piece!r}' if piece else ''}"))
    return tuple(Term(one.field, one.operator, tuple(one.values)) for one in drafts)


def _read_start(match: re.Match[str], at: int, faults: list[Fault]) -> _Draft | None:
    name, operator = match["field"].strip(), cast("Operator", match["operator"])
    if name not in QUERY_FIELDS:
        if not name:
            faults.append(Fault(at, f"expected a field before {operator!r}"))
        else:
            faults.append(Fault(at, f"there is no field {name!r}.{nearest(name, QUERY_FIELDS)}"))
        return None
    kind = QUERY_FIELDS[name].kind
    if operator not in ("=", "!=") and kind not in ("number", "time"):
        place = at + match.start("operator")
        faults.append(
            Fault(place, f"{operator!r} compares numbers and times; {name} takes = or !=")
        )
        return None
    return _Draft(name, operator, [], at)


def _read_value(draft: _Draft, text: str, position: int, faults: list[Fault]) -> None:
    try:
        if not text:
            raise ValueError(f"expected a value of {draft.field}")  # noqa: TRY301 - one kind of fault
        if draft.operator in ("=", "!="):
            accepts = accepts_of(draft.field, text)
        elif draft.values:
            raise ValueError(f"{draft.operator!r} takes one value")  # noqa: TRY301 - as above
        else:
            accepts = (compared(draft.field, draft.operator, text),)
        draft.values.append(Value(text, accepts))
    except ValueError as error:
        faults.append(Fault(position, str(error)))
