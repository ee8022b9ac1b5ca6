"""Rules that keep or drop flow records: the language of the settings and of `--where`.

    parse("action=deny,dst_port=443,8000-8999;rule=DefaultRule_*").matches(record)

The language is described in docs/rules.md, its grammar in `rule_text`, what it parses to in
`terms`. One result, two ways to it: `matches` for a record, and for many tuples of one group
`given`, which decides once what the group has in common, and `evaluate`, which tests the rest on
each tuple's fields as they stand in the log. `tuple_filter` does both for a whole log.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

from flowlog_core.shape.accepted import accepts_value
from flowlog_core.shape.rule_text import read_rules
from flowlog_core.shape.terms import Term


@dataclass(frozen=True)
class Rules:
    """Rules of which at least one must match. Without rules, nothing matches."""

    rules: tuple[tuple[Term, ...], ...]
    """The terms of each, which must all hold."""
    text: str = field(default="", compare=False)
    """As parsed, in the plainest form: `parse(str(rules)) == rules`."""

    def __str__(self) -> str:
        return self.text

    def __bool__(self) -> bool:
        return bool(self.rules)

    def matches(self, record: Mapping[str, Any]) -> bool:
        """Whether a record matches. A field that it does not have is null."""
        return any(all(holds(record) for holds in rule) for rule in self._tests)

    @cached_property
    def _tests(self) -> list[list[Callable[[Mapping[str, Any]], bool]]]:
        return [list(map(_test_of, rule)) for rule in self.rules]

    @cached_property
    def reads(self) -> tuple[str, ...]:
        """The record fields that the rules look at, each once."""
        terms = (term for rule in self.rules for term in rule)
        return tuple(dict.fromkeys(name for term in terms for name in term.query_field.reads))

    def given(self, known: Mapping[str, Any]) -> Rules:
        """The same rules for records that have these values in common.

        Terms that read only `known` fields are decided here. A rule whose terms all hold keeps no
        terms, and matches everything. A rule with a term that does not hold is left out.
        """
        left = []
        for rule in self.rules:
            decided = [term for term in rule if known.keys() >= set(term.query_field.reads)]
            if all(_test_of(term)(known) for term in decided):
                left.append(tuple(term for term in rule if term not in decided))
        return Rules(tuple(left))


@lru_cache(maxsize=256)
def _test_of(term: Term) -> Callable[[Mapping[str, Any]], bool]:
    """Whether a term holds for a record."""
    accepts, reads, negated = accepts_value(term), term.query_field.reads, term.negated
    if term.query_field.is_sum:
        return lambda record: accepts(_total([record.get(name) for name in reads])) != negated
    return lambda record: any(accepts(record.get(name)) for name in reads) != negated


def _total(counters: list[Any]) -> int | None:
    known = [one for one in counters if one is not None]
    return sum(known) if known and all(isinstance(one, int) for one in known) else None


def parse(text: str) -> Rules:
    """Read rules. Raises `rule_text.FaultsError`, a ValueError, with every fault at its place."""
    return Rules(*read_rules(text))
