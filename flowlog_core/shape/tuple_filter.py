"""Tests rules on tuples, before records are made of them.

Terms about what all tuples of a group have in common are decided once, and remembered by what the
rules read of it. The other terms are tested on the fields of each tuple.
"""

from __future__ import annotations

from functools import lru_cache
from operator import itemgetter

import orjson

from flowlog_core.parsing.entry import FORMATS, EntryFormat, Names
from flowlog_core.parsing.tuples import Drops
from flowlog_core.shape.evaluate import compiled
from flowlog_core.shape.keep_drop import KeepDrop

_OF_ENTRY = ("category", "version", "resource_id", "target_resource_id")
_OF_GROUP = ("mac", "rule", "acl_id")
"""In the order of `Names`."""
_MAX_REMEMBERED = 4096
_MAX_REMEMBERED_CHARACTERS = 2048


def tuple_filters(rules: KeepDrop) -> dict[int, TupleFilter]:
    """For `parsing.read`: by version of the format, what the rules drop."""
    return {one.version: TupleFilter(rules, one) for one in FORMATS.values()}


class TupleFilter:
    """Which tuples of a group the rules drop; None if the group is kept whole.

    Drops exactly the tuples whose records the rules drop. Threads may share it.
    """

    def __init__(self, rules: KeepDrop, entry_format: EntryFormat) -> None:
        self._rules = rules
        self._flows = entry_format.tuples.flows
        self._reads_entry = not rules.reads.isdisjoint(_OF_ENTRY)
        read = [at for at, name in enumerate(_OF_GROUP) if name in rules.reads]
        self._names_read = itemgetter(*read or [0])  # at least one
        self._known: dict[object, Drops | None] = {}
        self._of_rules = lru_cache(maxsize=64)(self._compiled)

    def __call__(self, names: Names, common: str) -> Drops | None:
        """See `parsing.entry.DropsOfGroup`."""
        of_entry = ""
        if self._reads_entry:  # all but the time, which is new in each entry
            of_entry = common[common.index('"category":') : common.index(',"mac":')]
        key = of_entry, self._names_read(names)
        try:
            return self._known[key]
        except KeyError:
            record = orjson.loads(f"{{{of_entry}}}")
            record |= zip(_OF_GROUP, map(orjson.loads, names), strict=True)
            drops = self._of_rules(self._rules.given(record))
            if len(common) <= _MAX_REMEMBERED_CHARACTERS:
                if len(self._known) >= _MAX_REMEMBERED:
                    self._known.clear()
                self._known[key] = drops
            return drops

    def _compiled(self, rules: KeepDrop) -> Drops | None:
        return None if rules.keeps_all else compiled(rules, self._flows)
