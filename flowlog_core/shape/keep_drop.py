"""What is kept and what is dropped, by the rules of both settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from flowlog_core.shape.evaluate import Spelled, Values
from flowlog_core.shape.rules import Places, Rules, parse

Verdict = Callable[[Values], str | None]

NOT_KEPT = "no rule to keep it"
"""The verdict on a record that no keep rule matches."""


@dataclass(frozen=True)
class KeepDrop:
    """What is sent: a record that a keep rule matches, if there are any, and no drop rule does.

    `keep` is None where there are no keep rules, so that everything is kept.
    """

    keep: Rules | None
    drop: Rules

    @classmethod
    def parse(cls, keep: str, drop: str) -> KeepDrop:
        """From the texts of the rules, either of which may be empty. Raises `FaultsError`."""
        return cls(parse(keep) or None, parse(drop))

    @property
    def keeps_all(self) -> bool:
        """Whether no record whatever would be dropped, so that none need be looked at."""
        kept = self.keep is None or any(not rule.terms for rule in self.keep.rules)
        return kept and not self.drop

    @property
    def keeps_none(self) -> bool:
        """Whether no record whatever would be kept."""
        return self.keep is not None and not self.keep

    def verdict(self, record: Mapping[str, object]) -> str | None:
        """None to send the record, or why it is dropped: `NOT_KEPT`, or the rule's text."""
        if self.keep is not None and not self.keep.matches(record):
            return NOT_KEPT
        dropped_by = self.drop.first(record)
        return None if dropped_by is None else dropped_by.text

    @property
    def reads(self) -> frozenset[str]:
        """The record fields that the rules look at."""
        return frozenset((*(self.keep.reads if self.keep else ()), *self.drop.reads))

    def given(self, known: Mapping[str, object]) -> KeepDrop:
        """See `Rules.given`."""
        return KeepDrop(self.keep and self.keep.given(known), self.drop.given(known))

    def compile(self, places: Places, spelled: Spelled | None = None) -> Verdict:
        """A quick `verdict` on sequences of values; see `Rules.compile`."""
        if self.keep is None and len(self.drop.rules) == 1:
            test, text = self.drop.compile(places, spelled), self.drop.rules[0].text
            return lambda values: text if test(values) else None
        dropped_by = self.drop.compile_first(places, spelled)
        keeps = None if self.keep is None else self.keep.compile(places, spelled)
        drops = bool(self.drop)

        def verdict(values: Values) -> str | None:
            if keeps is not None and not keeps(values):
                return NOT_KEPT
            if drops and (rule := dropped_by(values)) is not None:
                return rule.text
            return None

        return verdict
