"""Reads rules from text, and reports every fault with its position.

    action=deny,dst_port=443,8000-8999;rule=DefaultRule_*

Rules are separated by `;`, terms and values by commas. A piece without an operator is one more
value of the term before it. Spaces around pieces are ignored. Values cannot contain a comma, a
semicolon or an operator; in a text, `?` matches any such character.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from flowlog_core.shape.rule_values import accepts_of, compared, nearest
from flowlog_core.shape.terms import QUERY_FIELDS, Accept, Term

_PIECE = re.compile(
    r"(?P<field>[^!=<>]*?)\s*(?P<operator>!=|>=|<=|=|>|<)\s*(?P<value>.*)", re.DOTALL
)


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


def pieces(text: str, separator: str, position: int = 1) -> Iterator[tuple[str, int]]:
    """The parts of a text, without spaces around them, and the position of each."""
    for part in text.split(separator):
        yield part.strip(), position + len(part) - len(part.lstrip())
        position += len(part) + len(separator)


def read_rules(text: str) -> tuple[tuple[tuple[Term, ...], ...], str]:
    """The terms of each rule, and all rules in their plainest form. Raises `FaultsError`.

    Rules of white space alone are ignored.
    """
    faults: list[Fault] = []
    rules = [_read_rule(rule, position, faults) for rule, position in pieces(text, ";") if rule]
    if faults:
        raise FaultsError(faults)
    terms = (tuple(draft.term for draft in rule) for rule in rules)
    return tuple(terms), "; ".join(",".join(map(str, rule)) for rule in rules)


@dataclass
class _Draft:
    """A term to which values may still be added."""

    field: str
    operator: str
    values: list[str] = dataclasses.field(default_factory=list)
    accepts: list[Accept] = dataclasses.field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.field}{self.operator}{','.join(self.values)}"

    @property
    def term(self) -> Term:
        """The term with all values so far."""
        return Term(self.field, tuple(self.accepts), self.operator == "!=")

    def add(self, value: str) -> None:
        """Add a value. Raises ValueError with what was expected."""
        if not value:
            raise ValueError(f"expected a value of {self.field}")
        if self.operator in ("=", "!="):
            self.accepts += accepts_of(self.field, value)
        elif self.accepts:
            raise ValueError(f"{self.operator!r} takes one value")
        else:
            self.accepts.append(compared(self.field, self.operator, value))
        self.values.append(value)


def _read_rule(text: str, position: int, faults: list[Fault]) -> list[_Draft]:
    drafts: list[_Draft] = []
    skipping = False  # the values of a field that does not exist are no further faults
    for piece, at in pieces(text, ",", position):
        match = _PIECE.fullmatch(piece)
        if match is not None:
            fault = _fault_of_start(match, at)
            skipping = fault is not None
            if fault is not None:
                faults.append(fault)
            else:
                drafts.append(_Draft(match["field"], match["operator"]))
        elif not drafts and not skipping:
            expected = "expected a field, an operator and a value, such as action=deny"
            faults.append(Fault(at, f"{expected}{f', not {piece!r}' if piece else ''}"))
            continue
        if not skipping:
            start = match.start("value") if match is not None else 0
            try:
                drafts[-1].add(piece[start:])
            except ValueError as error:
                faults.append(Fault(at + start, str(error)))
    return drafts


def _fault_of_start(match: re.Match[str], at: int) -> Fault | None:
    """What is wrong with the field of a term, or with its operator."""
    name, operator = match["field"], match["operator"]
    if not name:
        return Fault(at, f"expected a field before {operator!r}")
    if name not in QUERY_FIELDS:
        return Fault(at, f"there is no field {name!r}.{nearest(name, QUERY_FIELDS)}")
    if operator not in ("=", "!=") and QUERY_FIELDS[name].kind not in ("number", "time"):
        expected = f"{operator!r} compares numbers and times; {name} takes = or !="
        return Fault(at + match.start("operator"), expected)
    return None
