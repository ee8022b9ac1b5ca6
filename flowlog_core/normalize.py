"""An entry becomes flow records: NSG versions 1 and 2 and VNet version 4, in one schema.

An entry is walked down to its groups of tuples; a tuple is cut into its fields, which are checked
and turned into their parts of the record's JSON by look-ups in `tuple_tables`. `_record` is all
there is to know about that. Where `_tuple_writer.c` is compiled, it does the same for ordinary
tuples at several times the speed, and leaves to `_record` whatever is in any way unusual.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from flowlog_core.formats import FORMATS, NSG, ORDER, Format
from flowlog_core.outline import Outline
from flowlog_core.records import Lines
from flowlog_core.tuple_tables import BadField, brief

# Azure writes some hundred tuples an entry, and names and ids of some hundred characters. A name
# of a megabyte would be a megabyte in each record; this much, in all of them, memory can bear.
_MOST_REPEATED_CHARACTERS = 128 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class BadTuple:
    """What could not become a record: a tuple, or a group of tuples that is malformed as a whole.

    `index` counts over the entry as record ids do; a malformed group takes one index. `raw` is
    the tuple as written, or the JSON of the group or of a tuple that is not a string.
    """

    index: int
    raw: str
    reason: str


@dataclass(frozen=True, slots=True)
class Normalized:
    """An entry's records, and what could not become one."""

    lines: Lines
    bad: list[BadTuple]


class UnreadableEntry(ValueError):
    """The entry as a whole fits no known format; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


_Group = tuple[list[Any], int, str]
"""Tuples (of an outline: where they are), the index of the first, and the JSON of what their
records have in common.
"""


@dataclass(slots=True)
class _Tuples:
    """An entry's tuples in file order, and what stood in a tuple's place without being one."""

    groups: list[_Group] = field(default_factory=list)
    bad: list[BadTuple] = field(default_factory=list)
    next_index: int = 0
    repeated_characters: int = 0

    def add(self, texts: list[Any], count: int, common: str) -> None:
        self.repeated_characters += count * len(common)
        if self.repeated_characters > _MOST_REPEATED_CHARACTERS:
            raise BadField(
                "names and ids, which each record repeats, would come to more than "
                f"{_MOST_REPEATED_CHARACTERS} characters"
            )
        self.groups.append((texts, self.next_index, common))
        self.next_index += count

    def add_bad(self, value: object, reason: str) -> None:
        self.bad.append(BadTuple(self.next_index, _raw(value), reason))
        self.next_index += 1


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
    log_format = _format_of(entry)
    try:
        tuples = _tuples(log_format, entry)
    except BadField as error:
        raise UnreadableEntry(str(error)) from None
    return _written(log_format, tuples, id_prefix, compiled=compiled)


def _of_outline(entry: Outline, id_prefix: str) -> Normalized | None:
    """None where something would have to be told of which an outline does not hold all."""
    try:
        log_format = _format_of(entry.value)
        tuples = _tuples(log_format, entry.value, in_raw=True)
    except (BadField, UnreadableEntry):
        return None
    return None if tuples.bad else _written(log_format, tuples, id_prefix, entry.raw)


def _written(
    log_format: Format,
    tuples: _Tuples,
    id_prefix: str,
    raw: bytes | None = None,
    *,
    compiled: bool = True,
) -> Normalized:
    head = '{"id":' + orjson.dumps(id_prefix).decode()[:-1]

    def record_or_bad(text: object, index: int, common: str) -> str | None:
        try:
            return _record(log_format, head, text, index, common)
        except BadField as error:
            tuples.bad.append(BadTuple(index, _raw(text), str(error)))
            return None

    if compiled and log_format.writer:
        count = tuples.next_index
        text, ends = log_format.writer.write(head, tuples.groups, count, record_or_bad, raw)
        lines = Lines(text, array("q", ends))
    else:
        lines = Lines.of(_records(tuples.groups, record_or_bad))
    tuples.bad.sort(key=lambda bad: bad.index)
    return Normalized(lines, tuples.bad)


def _records(
    groups: list[_Group], record_or_bad: Callable[[object, int, str], str | None]
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


def _format_of(entry: dict[str, Any]) -> Format:
    category, version = entry.get("category"), entry.get("flowLogVersion")
    properties = entry.get("properties")
    if category == NSG and isinstance(properties, dict):
        version = properties.get("Version")
    if type(version) is int:  # JSON's true and 1.0 equal 1 in Python, yet are no versions
        for log_format in FORMATS:
            if (log_format.category, log_format.version) == (category, version):
                return log_format
    known = ", ".join(f"{known.category} version {known.version}" for known in FORMATS)
    raise UnreadableEntry(
        f"unknown format: category {brief(category)}, version {brief(version)}; known: {known}"
    )


def _tuples(log_format: Format, entry: dict[str, Any], *, in_raw: bool = False) -> _Tuples:
    """Walk an entry down to its tuples; raise `BadField` where the entry itself is malformed.

    With `in_raw` it is that of an outline.
    """
    is_nsg = log_format.category == NSG
    of_entry = (
        f'","log_time":{_text(entry, "time")},"category":"{log_format.category}"'
        f',"version":{log_format.version},"resource_id":{_text(entry, log_format.resource_id)}'
        f',"target_resource_id":{"null" if is_nsg else _text(entry, "targetResourceID")}'
    )
    mac_of_entry = _text(entry, "macAddress")
    tuples = _Tuples()
    body = entry.get(log_format.body)
    for outer in _list(body, "flows"):
        try:
            groups = _list(outer, log_format.groups)
            outer_text = _text(outer, log_format.outer_text)
        except BadField as error:
            tuples.add_bad(outer, str(error))
            continue
        for group in groups:
            try:
                texts = _list(group, "flowTuples")
                inner_text = _text(group, log_format.inner_text)
            except BadField as error:
                tuples.add_bad(group, str(error))
                continue
            if is_nsg:
                mac = mac_of_entry if inner_text == "null" else inner_text
                rule, acl_id = outer_text, "null"
            else:
                mac, rule, acl_id = mac_of_entry, inner_text, outer_text
            count = texts[1] if in_raw else len(texts)
            tuples.add(texts, count, f'{of_entry},"mac":{mac},"rule":{rule},"acl_id":{acl_id},')
    return tuples


def _text(holder: dict[str, Any], key: str) -> str:
    """The JSON of a string, null where it is null or absent; raise `BadField` for all else."""
    value = holder.get(key)
    if value is None or isinstance(value, str):
        try:
            return orjson.dumps(value).decode()
        except TypeError:  # half a surrogate pair
            pass
    raise BadField(f"{key} is not a string: {brief(value)}")


def _list(holder: object, key: str) -> list[Any]:
    if not isinstance(holder, dict):
        raise BadField(f"expected an object with {key}: {brief(holder)}")
    value = holder.get(key)
    if not isinstance(value, list):
        raise BadField(f"{key} is not a list: {brief(value)}")
    return value


def _raw(value: object) -> str:
    if isinstance(value, str):
        return value
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # deeper than orjson writes, or nothing that JSON can hold
        return brief(value)
