"""Decides which records are sent, by the rules of FLOWLOG_KEEP and FLOWLOG_DROP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flowlog_core.shape.rules import Rules, parse

_EVERYTHING = Rules(((),))
"""A rule without terms matches every record."""


@dataclass(frozen=True)
class KeepDrop:
    """A record is sent if a keep rule matches it, and no drop rule does."""

    keep: Rules
    drop: Rules

    @classmethod
    def of(cls, keep: Rules, drop: Rules) -> KeepDrop:
        """As the settings say. Without keep rules, everything is kept."""
        return cls(keep or _EVERYTHING, drop)

    @classmethod
    def parse(cls, keep: str, drop: str) -> KeepDrop:
        """From the texts of the rules, either of which may be empty. Raises `FaultsError`."""
        return cls.of(parse(keep), parse(drop))

    @property
    def keeps_all(self) -> bool:
        """Whether no record can be dropped, so that none has to be tested."""
        return not all(self.keep.rules) and not self.drop

    @property
    def keeps_none(self) -> bool:
        """Whether no record can be kept, as far as can be told without looking at values.

        That is so if each keep rule has all terms of some drop rule, which then matches whatever
        it matches.
        """
        return all(
            any(set(drop) <= set(keep) for drop in self.drop.rules) for keep in self.keep.rules
        )

    def keeps(self, record: Mapping[str, object]) -> bool:
        """Whether a record is sent."""
        return self.keep.matches(record) and not self.drop.matches(record)

    @property
    def reads(self) -> frozenset[str]:
        """The record fields that the rules look at."""
        return frozenset((*self.keep.reads, *self.drop.reads))

    def given(self, known: Mapping[str, object]) -> KeepDrop:
        """See `Rules.given`."""
        return KeepDrop(self.keep.given(known), self.drop.given(known))
