"""Tests rules on tuples, before records are made of them.

Terms about what all tuples of a group have in common are decided once, and remembered for groups
with the same names. The other terms are tested on the fields of each tuple.
"""

from __future__ import annotations

from functools import lru_cache

import orjson

from flowlog_core.parsing.entry import FORMATS, EntryFormat, Names
from flowlog_core.parsing.tuples import Drops
from flowlog_core.shape.evaluate import compiled
from flowlog_core.shape.keep_drop import KeepDrop

_OF_ENTRY = ("category", "version", "resource_id", "target_resource_id")
_IN_COMMON = (*_OF_ENTRY, "mac", "rule", "acl_id")
_BEFORE_COMMON = len('Z",')
_AFTER_COMMON = len(',"src_ip":"')
_MAX_GROUPS = 4096
_MAX_GROUP_CHARACTERS = 2048


def tuple_filters(rules: KeepDrop) -> dict[int, TupleFilter]:
    """For `parsing.read`: by version of the format, what the rules drop."""
    return {one.version: TupleFilter(rules, one) for one in FORMATS.values()}


class TupleFilter:
    """Which tuples of a group the rules drop; None if the group is kept whole.

    Drops exactly the tuples whose records the rules drop. Threads may share it.
    """

    def __init__(self, rules: KeepDrop, entry_format: EntryFormat) -> None:
        self._rules = rules
        self._read_in_common = tuple(name for name in _IN_COMMON if name in rules.reads)
        self._reads_entry = not rules.reads.isdisjoint(_OF_ENTRY)
        self._flows = entry_format.tuples.flows
        self._of_group: dict[tuple[str, ...], Drops | None] = {}
        self._of_values = lru_cache(maxsize=1024)(self._decided)
        self._of_rules = lru_cache(maxsize=64)(self._compiled)

    def __call__(self, names: Names, common: str) -> Drops | None:
        """See `parsing.entry.DropsOfGroup`."""
        group: tuple[str, ...] = names
        if self._reads_entry:  # all but the time, which is new in each entry
            group = (*names, common[common.index(',"category":') : common.index(',"mac":')])
        try:
            return self._of_group[group]
        except KeyError:
            record = orjson.loads(f"{{{common[_BEFORE_COMMON:-_AFTER_COMMON]}}}")
            drops = self._of_values(*(record[name] for name in self._read_in_common))
            if len(common) <= _MAX_GROUP_CHARACTERS:
                if len(self._of_group) >= _MAX_GROUPS:
                    self._of_group.clear()
                self._of_group[group] = drops
            return drops

    def _decided(self, *values: object) -> Drops | None:
        return self._of_rules(
            self._rules.given(dict(zip(self._read_in_common, values, strict=True)))
        )

    def _compiled(self, rules: KeepDrop) -> Drops | None:
        return None if rules.keeps_all else compiled(rules, self._flows)
