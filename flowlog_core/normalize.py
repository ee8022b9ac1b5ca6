"""An entry becomes flow records: NSG versions 1 and 2 and VNet version 4, in one schema.

Tuples are read column by column, in blocks: the fields of one kind are checked and converted
together, by look-ups and by calls that loop in C; what stands behind the ports is looked up whole,
since few forms of it make up most of a log. The records' JSON is written from the parts.
A block that holds a bad tuple is halved until that tuple stands alone, so its reason comes from
the same checks that all the others passed, and good tuples pay nothing for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

import orjson

from flowlog_core.formats import FORMATS, NSG, Format
from flowlog_core.tuple_tables import (
    DESTINATION_IP,
    MAX_PORT,
    SOURCE_IP,
    BadField,
    are_decimals,
    brief,
    check_decimals,
)

# Small enough that what a block needs stays in the processor's cache.
_BLOCK_TUPLES = 256

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
    """`lines` are finished JSON objects without a newline, one record each, in file order."""

    lines: list[str]
    bad: list[BadTuple]


class UnreadableEntry(ValueError):
    """The entry as a whole fits no known format; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True)
class _Tuples:
    """An entry's tuples in file order, each with its index and the JSON of what its group says."""

    texts: list[Any] = field(default_factory=list)
    indexes: list[int] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    bad: list[BadTuple] = field(default_factory=list)
    next_index: int = 0
    repeated_characters: int = 0

    def add(self, texts: list[Any], group: str) -> None:
        self.repeated_characters += len(texts) * len(group)
        if self.repeated_characters > _MOST_REPEATED_CHARACTERS:
            raise BadField(
                "names and ids, which each record repeats, would come to more than "
                f"{_MOST_REPEATED_CHARACTERS} characters"
            )
        end = self.next_index + len(texts)
        self.texts += texts
        self.indexes += range(self.next_index, end)
        self.groups += repeat(group, len(texts))
        self.next_index = end

    def add_bad(self, value: object, reason: str) -> None:
        self.bad.append(BadTuple(self.next_index, _raw(value), reason))
        self.next_index += 1


def normalize(entry: object, id_prefix: str) -> Normalized:
    """The flow records of one entry, an element of a log blob's `records` as JSON gives it.

    A record's id is `id_prefix` and the tuple's index, counted over the whole entry, bad ones
    included: what is wrong with one tuple never changes the id of another. Raises
    `UnreadableEntry`, and nothing else, where the entry is of no known format.
    """
    if not isinstance(entry, dict):
        raise UnreadableEntry(f"not an object: {brief(entry)}")
    log_format = _format_of(entry)
    try:
        tuples = _tuples(log_format, entry)
    except BadField as error:
        raise UnreadableEntry(str(error)) from None
    lines: list[str] = []
    head = '{"id":' + orjson.dumps(id_prefix).decode()[:-1]
    for start in range(0, len(tuples.texts), _BLOCK_TUPLES):
        _normalize_block(log_format, head, tuples, start, start + _BLOCK_TUPLES, lines)
    tuples.bad.sort(key=lambda bad: bad.index)
    return Normalized(lines, tuples.bad)


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


def _tuples(log_format: Format, entry: dict[str, Any]) -> _Tuples:
    """Walk an entry down to its tuples; raise `BadField` where the entry itself is malformed."""
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
            tuples.add(texts, f'{of_entry},"mac":{mac},"rule":{rule},"acl_id":{acl_id},')
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


def _normalize_block(
    log_format: Format, head: str, tuples: _Tuples, start: int, end: int, lines: list[str]
) -> None:
    texts = tuples.texts[start:end]
    indexes = tuples.indexes[start:end]
    try:
        lines += _lines(log_format, head, texts, indexes, tuples.groups[start:end])
    except BadField as error:
        if len(texts) == 1:
            reason = _wrong_width(texts[0], log_format.width) or str(error)
            tuples.bad.append(BadTuple(indexes[0], _raw(texts[0]), reason))
        else:
            middle = start + len(texts) // 2
            _normalize_block(log_format, head, tuples, start, middle, lines)
            _normalize_block(log_format, head, tuples, middle, end, lines)


def _lines(
    log_format: Format, head: str, texts: list[Any], indexes: list[int], groups: list[str]
) -> list[str]:
    """The records of some tuples; raise `BadField` where any is bad, exact where it is the only."""
    time, source_ip, destination_ip, source_port, destination_port, rest = _columns(texts)
    if not are_decimals(source_port + destination_port, MAX_PORT):
        check_decimals("source port", source_port, MAX_PORT)
        check_decimals("destination port", destination_port, MAX_PORT)
    columns = zip(
        indexes,
        log_format.times(time),
        groups,
        map(SOURCE_IP.__getitem__, source_ip),
        source_port,
        map(DESTINATION_IP.__getitem__, destination_ip),
        destination_port,
        map(log_format.rest.__getitem__, rest),
        strict=True,
    )
    return [
        f"{head}{index}{at}{group}{source}{from_port}{destination}{to_port}{facts}"
        for index, at, group, source, from_port, destination, to_port, facts in columns
    ]


def _columns(texts: list[Any]) -> list[tuple[str, ...]]:
    """Times, addresses and ports, each a column, and the rest of every tuple as it stands."""
    try:
        columns = list(zip(*[text.split(",", 5) for text in texts], strict=True))
    except (AttributeError, TypeError, ValueError):
        raise BadField("not a string") from None  # or several of different widths
    if len(columns) != 6:
        raise BadField("too few fields")
    return columns


def _wrong_width(text: object, width: int) -> str:
    """That a tuple has too many or too few fields, if so: it says more than what that led to."""
    if not isinstance(text, str) or (found := text.count(",") + 1) == width:
        return ""
    return f"number of fields is {found} instead of {width}"
