"""Tests rules on tuples, before records are made of them.

Terms about what a group's tuples have in common are decided once for all groups that the rules
cannot tell apart; the other terms are tested on the fields of each tuple. A log has few tuples a
group, so the cost of a group counts as much as the cost of a tuple.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from flowlog_core.parsing.entry import FORMATS, EntryFormat
from flowlog_core.parsing.tuples import ROW, Drops
from flowlog_core.shape.keep_drop import KeepDrop

_IN_COMMON = (
    *("category", "version", "resource_id", "target_resource_id"),
    *("mac", "rule", "acl_id"),
)
_OF_RECORDS_ONLY = frozenset(("id", "log_time"))
"""Rules that read these are asked of records: what a group has in common is new each time."""
_AFTER_COMMON = len(',"src_ip":"')
_MAX_GROUPS = 4096
_MAX_GROUP_CHARACTERS = 2048
_MAX_READY = 1024


def needs_records(rules: KeepDrop) -> bool:
    """Whether these rules can be tested on records only, not by a `TupleFilter`."""
    return not rules.reads.isdisjoint(_OF_RECORDS_ONLY)


class TupleFilter:
    """For `parsing.read`: which tuples of a group the rules drop; None if the group is kept whole.

    Gives the same answers as `KeepDrop.drops` on the records. Threads may share it.
    """

    def __init__(self, rules: KeepDrop) -> None:
        self._by_version = {one.version: _OfFormat(rules, one) for one in FORMATS.values()}

    def __call__(self, version: int, common: str) -> Drops | None:
        """See `parsing.entry.DropsOfGroup`."""
        return self._by_version[version](common)


class _OfFormat:
    """What drops the tuples of one format."""

    def __init__(self, rules: KeepDrop, entry_format: EntryFormat) -> None:
        self._rules = rules
        self._read_in_common = tuple(name for name in _IN_COMMON if name in rules.reads)
        self._spelled = _spelled(entry_format.tuples.flows)
        self._of_group: dict[str, Drops | None] = {}
        self._ready: dict[tuple[object, ...], Drops | None] = {}

    def __call__(self, common: str) -> Drops | None:
        # But for the time it says the same of most groups of an interface.
        text = common[common.index(',"category":') + 1 : -_AFTER_COMMON]
        try:
            return self._of_group[text]
        except KeyError:
            drops = self._made_ready(orjson.loads(f"{{{text}}}"))
            if len(text) <= _MAX_GROUP_CHARACTERS:
                if len(self._of_group) >= _MAX_GROUPS:
                    self._of_group.clear()
                self._of_group[text] = drops
            return drops

    def _made_ready(self, common: Mapping[str, object]) -> Drops | None:
        known = {name: common[name] for name in self._read_in_common}
        key = tuple(known.values())
        try:
            return self._ready[key]
        except KeyError:
            left = self._rules.given(known)
            drops = None if left.keeps_all else left.compile(ROW, self._spelled)
            if len(self._ready) >= _MAX_READY:
                self._ready.clear()
            self._ready[key] = drops
            return drops


def _spelled(flows: Mapping[str, str]) -> dict[str, Callable[[Any], object]]:
    """By field, the values that a record has for what a tuple writes between ports and counters."""

    def value_of(name: str) -> Callable[[Any], object]:
        return lambda text: orjson.loads(f"{{{flows[text][1:]}0}}")[name]

    names = ("protocol", "protocol_number", "direction", "action", "state", "encryption")
    return {name: value_of(name) for name in names}
