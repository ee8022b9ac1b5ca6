"""Rules that keep or drop flow records: the language of the settings and of `--where`.

    parse("action=deny,dst_port=443,8000-8999;rule=DefaultRule_*").matches(record)

The language is described in docs/rules.md, its grammar in `rule_text`, what it parses to in
`terms`. One result, two ways to it: `matches` for a record, `given` and `compile` for many tuples
of one group. The first decides what the group has in common once, the second what is left for each
tuple from its fields as they stand in the log. `tuple_filter` does both for a whole log.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from flowlog_core.shape.evaluate import Compiler, Spelled, Test, all_of, any_of
from flowlog_core.shape.rule_text import read_rules
from flowlog_core.shape.terms import Term

Places = Sequence[str | Collection[str]]
"""The record field, or fields, at each index."""


@dataclass(frozen=True)
class Rule:
    """Terms that must all hold. `str` gives the whole rule, including terms already decided."""

    terms: tuple[Term, ...]
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Rules:
    """Rules of which at least one must match. Without rules, nothing matches."""

    rules: tuple[Rule, ...]

    def __str__(self) -> str:
        """The text in its plainest form: `parse(str(rules)) == rules`."""
        return "; ".join(map(str, self.rules))

    def __bool__(self) -> bool:
        return bool(self.rules)

    def matches(self, record: Mapping[str, object]) -> bool:
        """Whether a record matches. A field that it does not have is null."""
        return bool(self._matches_rows([(0, tuple(map(record.get, self.reads)))]))

    @cached_property
    def _matches_rows(self) -> Test:
        return self.compile(self.reads)

    @cached_property
    def reads(self) -> tuple[str, ...]:
        """The record fields that the rules look at, each once."""
        terms = (term for rule in self.rules for term in rule.terms)
        return tuple(dict.fromkeys(name for term in terms for name in term.query_field.reads))

    def given(self, known: Mapping[str, object]) -> Rules:
        """The same rules for records that have these values in common.

        Terms that read only `known` fields are decided here. A rule whose terms all hold keeps no
        terms, and matches everything. A rule with a term that does not hold is left out.
        """
        left = []
        for rule in self.rules:
            open_terms = []
            for term in rule.terms:
                reads = term.query_field.reads
                if not all(name in known for name in reads):
                    open_terms.append(term)
                elif not _holds(term)([(0, [known[name] for name in reads])]):
                    break
            else:
                left.append(Rule(tuple(open_terms), rule.text))
        return Rules(tuple(left))

    def compile(self, places: Places, spelled: Spelled | None = None) -> Test:
        """A quick test of rows of values, such as the fields of a batch of tuples.

        `places` says which record field each place of a row holds (or which several: a VNet state
        is the action too). A field in no place is null. Values are those of records; or else, if
        `spelled` is given, the fields of valid tuples: it translates those that differ, such as
        `{"direction": {"I": "inbound", "O": "outbound"}.get, "encryption": ...}`.
        """
        compiler = Compiler(indexes_of(places), spelled)
        return compiler.test(self.expression(compiler))

    def expression(self, compiler: Compiler) -> str:
        """Whether one of the rules holds."""
        return any_of([all_of(list(map(compiler.holds, rule.terms))) for rule in self.rules])


def indexes_of(places: Places) -> dict[str, int]:
    """The index of each field."""
    return {
        name: at
        for at, names in enumerate(places)
        for name in ((names,) if isinstance(names, str) else names)
    }


@lru_cache(maxsize=256)
def _holds(term: Term) -> Test:
    return Rules((Rule((term,), ""),)).compile(term.query_field.reads)


def parse(text: str) -> Rules:
    """Read rules. Raises `rule_text.FaultsError`, a ValueError, with every fault at its place."""
    return Rules(
        tuple(Rule(terms, ",".join(map(str, terms))) for terms in read_rules(text)),
    )
