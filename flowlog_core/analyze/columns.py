"""Entries of flow logs as Arrow tables, a block of entries at a time.

What a group's records have in common is repeated by the groups' lengths; the tuples themselves are
read as lines. A block in which anything is unusual is halved until what is unusual is one entry:
that one goes the ordinary way, through `parsing.entry.normalize`. So both ways give the same rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from flowlog_core.analyze.problems import Problem
from flowlog_core.analyze.schema import SCHEMA, schema_of
from flowlog_core.analyze.tuple_lines import NotPlain, read_lines
from flowlog_core.parsing.entry import (
    EntryFormat,
    Normalized,
    UnreadableEntry,
    format_of,
    normalize,
    walk,
)
from flowlog_core.parsing.framing import Damaged, Entry
from flowlog_core.parsing.tuples import BadField, BadTuple

MAX_TUPLES_A_BLOCK = 32_768
_COMMON = ("category", "version", "resource_id", "target_resource_id", "mac", "rule", "acl_id")
_BEFORE_LOG_TIME = len('Z","log_time":')
_AFTER_COMMON = len(',"src_ip":"')


class TupleGroup(NamedTuple):
    """What `parsing.entry.walk` gives."""

    texts: list[Any]
    first: int
    """The index of the first tuple, counted over the entry."""
    common: str
    """What the records have in common, as JSON."""


class BlockEntry(NamedTuple):
    """An entry of known format."""

    id_prefix: str
    entry: Entry
    groups: list[TupleGroup] | None
    """None for what goes the ordinary way: an entry in which a group is malformed as a whole, and
    one that is too large for its object to be kept."""


@dataclass
class Block:
    """Entries of one format that are converted together, in the order of the log."""

    entry_format: EntryFormat | None = None
    entries: list[BlockEntry] = field(default_factory=list)
    tuples: int = 0
    problems: list[Problem] = field(default_factory=list)


class Converted(NamedTuple):
    """A block's rows, and what in it could not be read."""

    table: pa.Table
    problems: list[Problem]


def blocks(items: Iterable[tuple[str, Entry | Damaged]]) -> Iterator[Block]:
    """Cut a log, or several, into blocks. Each item comes with the prefix of its records' ids."""
    block = Block()
    for id_prefix, item in items:
        if isinstance(item, Damaged):
            block.problems.append(Problem.of_part(item))
            continue
        walked = item.use(_walked if item.value is not None else _format_alone)
        if isinstance(walked, str):
            block.problems.append(_damaged(item, walked))
            continue
        entry_format, groups, tuples = walked
        if block.entries and (
            entry_format is not block.entry_format or block.tuples + tuples > MAX_TUPLES_A_BLOCK
        ):
            yield block
            block = Block()
        block.entry_format = entry_format
        block.entries.append(BlockEntry(id_prefix, item, groups))
        block.tuples += tuples
    if block.entries or block.problems:
        yield block


_Walked = tuple[EntryFormat, list[TupleGroup] | None, int]
"""An entry's format, its groups as in `BlockEntry`, and how many tuples they count for."""


def _walked(value: dict[str, Any]) -> _Walked | str:
    """Or what makes the entry unreadable."""
    bad: list[BadTuple] = []
    try:
        entry_format = format_of(value)
        groups = [TupleGroup(*one[:3]) for one in walk(value, entry_format, bad)]
    except (UnreadableEntry, BadField) as error:
        return str(error)
    tuples = sum(len(group.texts) for group in groups)
    return entry_format, None if bad else groups, tuples


def _format_alone(value: dict[str, Any]) -> _Walked | str:
    """Or what makes the entry unreadable. The entry fills a block."""
    try:
        return format_of(value), None, MAX_TUPLES_A_BLOCK
    except UnreadableEntry as error:
        return str(error)


def _damaged(item: Entry, reason: str) -> Problem:
    return Problem(item.start, reason, damaged_bytes=item.end - item.start)


def convert(block: Block, names: tuple[str, ...]) -> Converted:
    """A block's rows with the columns of those names, in that order. Safe to call from threads."""
    problems = list(block.problems)
    tables = list(_tables(block.entry_format, block.entries, names, problems))
    empty = schema_of(names).empty_table()
    problems.sort(key=lambda problem: problem[0])
    return Converted(pa.concat_tables(tables) if tables else empty, problems)


def _tables(
    entry_format: EntryFormat | None,
    entries: list[BlockEntry],
    names: tuple[str, ...],
    problems: list[Problem],
) -> Iterator[pa.Table]:
    if entry_format is None or not entries:
        return
    try:
        yield _quick(entry_format, entries, names)
    except NotPlain:
        if len(entries) == 1:
            yield _ordinary(entries[0], names, problems)
            return
        middle = len(entries) // 2
        yield from _tables(entry_format, entries[:middle], names, problems)
        yield from _tables(entry_format, entries[middle:], names, problems)


def _quick(
    entry_format: EntryFormat, entries: list[BlockEntry], names: tuple[str, ...]
) -> pa.Table:
    """Raises `NotPlain`."""
    owners: list[str] = []  # the id prefix of each group's entry
    groups: list[TupleGroup] = []
    for one in entries:
        if one.groups is None:
            raise NotPlain
        groups += one.groups
        owners += [one.id_prefix] * len(one.groups)
    texts = [text for group in groups for text in group.texts]
    if not texts:
        return schema_of(names).empty_table()
    columns = read_lines(entry_format.tuples, texts, names)
    lengths = np.fromiter((len(group.texts) for group in groups), np.int64, len(groups))
    columns |= _common(groups, lengths, names)
    if "id" in names:
        columns["id"] = _ids(owners, groups, lengths)
    arrays = [
        columns[name] if name in columns else pa.nulls(len(texts), SCHEMA.field(name).type)
        for name in names
    ]
    return pa.Table.from_arrays(arrays, schema=schema_of(names))


def _common(
    groups: list[TupleGroup], lengths: np.ndarray[Any, Any], names: tuple[str, ...]
) -> dict[str, pa.Array]:
    """The requested columns of what the groups' records have in common."""
    columns: dict[str, pa.Array] = {}
    repeat = pa.array(np.repeat(np.arange(len(groups)), lengths))
    cuts = [group.common.index(',"category":') for group in groups]
    if "log_time" in names:
        times = [
            orjson.loads(group.common[_BEFORE_LOG_TIME:cut])
            for group, cut in zip(groups, cuts, strict=True)
        ]
        columns["log_time"] = pa.array(times, pa.string()).dictionary_encode().take(repeat)
    asked = [name for name in _COMMON if name in names]
    if asked:
        # But for the time it says the same of most groups: read once each.
        rest = [
            group.common[cut + 1 : -_AFTER_COMMON] for group, cut in zip(groups, cuts, strict=True)
        ]
        read = {text: orjson.loads(f"{{{text}}}") for text in dict.fromkeys(rest)}
        said = [read[text] for text in rest]
        for name in asked:
            values = pa.array([one[name] for one in said])
            if name == "version":
                columns[name] = values.cast(pa.uint8()).take(repeat)
            else:
                columns[name] = values.cast(pa.string()).dictionary_encode().take(repeat)
    return columns


def _ids(owners: list[str], groups: list[TupleGroup], lengths: np.ndarray[Any, Any]) -> pa.Array:
    ends = np.cumsum(lengths)
    firsts = np.fromiter((group.first for group in groups), np.int64, len(groups))
    index = np.arange(ends[-1]) - np.repeat(ends - lengths - firsts, lengths)
    prefixes = pa.array(owners, pa.string()).take(
        pa.array(np.repeat(np.arange(len(groups)), lengths))
    )
    return pc.binary_join_element_wise(prefixes, pa.array(index).cast(pa.string()), "")


def _ordinary(one: BlockEntry, names: tuple[str, ...], problems: list[Problem]) -> pa.Table:
    """One entry's rows by way of its records."""
    normalized = one.entry.use(partial(_normalized, one.id_prefix))
    if isinstance(normalized, str):
        problems.append(_damaged(one.entry, normalized))
        return schema_of(names).empty_table()
    problems += (Problem.of_tuple(one.entry.start, each) for each in normalized.bad)
    return table_of(map(orjson.loads, normalized.lines), names)


def _normalized(id_prefix: str, value: dict[str, Any]) -> Normalized | str:
    """Or what makes the entry unreadable."""
    try:
        return normalize(value, id_prefix)
    except UnreadableEntry as error:
        return str(error)


def table_of(records: Iterable[dict[str, Any]], names: tuple[str, ...]) -> pa.Table:
    """Records as a table with the columns of those names."""
    rows = [{name: record[name] for name in names} for record in records]
    if "time" in names:
        for row in rows:
            row["time"] = datetime.fromisoformat(row["time"])
    return pa.Table.from_pylist(rows, schema=schema_of(names))
