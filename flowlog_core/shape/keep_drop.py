"""What is kept and what is dropped, by the rules of both settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from flowlog_core.shape.evaluate import Spelled, Values
from flowlog_core.shape.rules import Places, Rules, parse

Verdict = Callable[[Values], str | None]

_MAX_READY = 1024
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

    def by_group(
        self, common: Sequence[str], places: Places, spelled: Spelled | None = None
    ) -> ByGroup:
        """A quick `verdict` on the tuples of many groups; `common` is what a group's share."""
        return ByGroup(self, common, places, spelled)


class ByGroup:
    """Verdicts on tuples of one format, made ready once for all groups that are alike to the rules.

    A log has few tuples a group, so what a group costs counts as much as what a tuple costs.
    """

    def __init__(
        self, rules: KeepDrop, common: Sequence[str], places: Places, spelled: Spelled | None
    ) -> None:
        self._rules, self._places, self._spelled = rules, places, spelled
        reads = (*(rules.keep.reads if rules.keep else ()), *rules.drop.reads)
        self._read_in_common = tuple(name for name in common if name in reads)
        self._common = common
        self._ready: dict[tuple[object, ...], Verdict | None] = {}

    def __call__(self, common: Mapping[str, object]) -> Verdict | None:
        """What says of each tuple why it is dropped, or None; None if the whole group is kept."""
        key = tuple([common[name] for name in self._read_in_common])
        try:
            return self._ready[key]
        except KeyError:
            left = self._rules.given({name: common[name] for name in self._common})
            verdict = None if left.keeps_all else left.compile(self._places, self._spelled)
            if len(self._ready) >= _MAX_READY:
                self._ready.clear()
            self._ready[key] = verdict
            return verdict
