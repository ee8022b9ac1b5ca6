"""Decides which records are sent, by the rules of FLOWLOG_KEEP and FLOWLOG_DROP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flowlog_core.shape.rules import Rules, parse


@dataclass(frozen=True)
class KeepDrop:
    """A record is sent if a keep rule matches it, or there are none, and no drop rule matches it.

    `keep` is None if there are no keep rules.
    """

    keep: Rules | None
    drop: Rules

    @classmethod
    def parse(cls, keep: str, drop: str) -> KeepDrop:
        """From the texts of the rules, either of which may be empty. Raises `FaultsError`."""
        return cls(parse(keep) or None, parse(drop))

    @property
    def keeps_all(self) -> bool:
        """Whether no record can be dropped, so that none has to be tested."""
        kept = self.keep is None or not all(self.keep.rules)
        return kept and not self.drop

    @property
    def keeps_none(self) -> bool:
        """Whether no record can be kept, as far as can be told without looking at values.

        That is so if each keep rule has all terms of some drop rule, which then matches whatever
        it matches.
        """
        if self.keep is None:
            return not all(self.drop.rules)
        return all(
            any(set(drop) <= set(keep) for drop in self.drop.rules) for keep in self.keep.rules
        )

    @property
    def reads(self) -> frozenset[str]:
        """The record fields that the rules look at."""
        return frozenset((*(self.keep.reads if self.keep else ()), *self.drop.reads))

    def given(self, known: Mapping[str, object]) -> KeepDrop:
        """See `Rules.given`."""
        return KeepDrop(self.keep and self.keep.given(known), self.drop.given(known))
