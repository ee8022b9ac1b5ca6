"""An entry becomes flow records: NSG versions 1 and 2 and VNet version 4, in one schema.

Each tuple of an entry's groups is cut into its fields, which are checked and turned into their
parts of the record's JSON by look-ups in `tuple_tables`. `_record` is all there is to know about
that. Where `_tuple_writer.c` is compiled, it does the same for ordinary tuples at several times
the speed, and leaves to `_record` whatever is in any way unusual.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import NamedTuple

import orjson

from flowlog_core.formats import ORDER, Format
from flowlog_core.groups import BadTuple, Group, Groups, UnreadableEntry, groups_of
from flowlog_core.outline import Outline
from flowlog_core.records import Lines
from flowlog_core.tuple_tables import BadField, brief

__all__ = ["BadTuple", "Normalized", "UnreadableEntry", "normalize"]


class Normalized(NamedTuple):
    """An entry's records, and what could not become one."""

    lines: Lines
    bad: list[BadTuple]

    @property
    def last_time(self) -> datetime | None:
        """The time of the last record, aware UTC; None without one."""
        if not self.lines:
            return None
        line = self.lines[-1]  # the time follows the id, which holds no quotation mark
        start = line.index('"time":"') + len('"time":"')
        return datetime.fromisoformat(line[start : line.index('"', start)])


def normalize(entry: object, id_prefix: str, *, compiled: bool = True) -> Normalized:
    """The flow records of one entry, an element of a log blob's `records`.

    `entry` is what JSON gives for it, or its `Outline`. A record's id is `id_prefix` and the
    tuple's index, counted over the whole entry, bad ones included: what is wrong with one tuple
    never changes the id of another. Raises `UnreadableEntry`, and nothing else, where the entry is
    of no known format. Without `compiled` it keeps to Python, with the same result.
    """
    if isinstance(entry, Outline):
        if compiled and (normalized := _of_outline(entry, id_prefix)):
            return normalized
        entry = entry.whole()
    if not isinstance(entry, dict):
        raise UnreadableEntry(f"not an object: {brief(entry)}")
    return _written(groups_of(entry), id_prefix, compiled=compiled)


def _of_outline(entry: Outline, id_prefix: str) -> Normalized | None:
    """None where something would have to be told of which an outline does not hold all."""
    try:
        found = groups_of(entry.value, in_raw=True)
    except UnreadableEntry:
        return None
    return None if found.bad else _written(found, id_prefix, entry.raw)


def _written(
    found: Groups, id_prefix: str, raw: bytes | None = None, *, compiled: bool = True
) -> Normalized:
    """The records of the groups; with `raw` their tuples are in there."""
    log_format = found.log_format
    head = '{"id":' + orjson.dumps(id_prefix).decode()[:-1]

    def record_or_bad(text: object, index: int, common: str) -> str | None:
        try:
            return _record(log_format, head, text, index, common)
        except BadField as error:
            found.add_bad(index, text, str(error))
            return None

    if compiled and log_format.writer:
        count = found.next_index
        text, ends = log_format.writer.write(head, found.groups, count, record_or_bad, raw)
        lines = Lines(text, array("q", ends))
    else:
        lines = Lines.of(_records(found.groups, record_or_bad))
    return Normalized(lines, sorted(found.bad, key=lambda bad: bad.index))


def _records(
    groups: list[Group], record_or_bad: Callable[[object, int, str], str | None]
) -> Iterator[str]:
    for texts, first, common in groups:
        for index, text in enumerate(texts, first):
            if record := record_or_bad(text, index, common):
                yield record


def _record(log_format: Format, head: str, text: object, index: int, common: str) -> str:
    """The record of one tuple; raises `BadField` where it is none, for its first bad field."""
    if not isinstance(text, str):
        raise BadField("not a string")
    width = len(log_format.fields)
    fields = text.split(",", width)  # at most one too many: commas alone take no memory
    if len(fields) != width:
        raise BadField(f"number of fields is {text.count(',') + 1} instead of {width}")
    parts = [table[field] for table, field in zip(log_format.fields, fields, strict=True)]
    parts[: len(ORDER)] = [parts[place] for place in ORDER]
    time, *rest = parts
    return f"{head}{index}{time}{common}{''.join(rest)}"
