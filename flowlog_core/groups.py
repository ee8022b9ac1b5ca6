"""An entry is walked down to its groups of tuples, and what the records of each have in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from flowlog_core.formats import FORMATS, NSG, Format
from flowlog_core.tuple_tables import BadField, brief

# Azure writes some hundred tuples an entry, and names and ids of some hundred characters. A name
# of a megabyte would be a megabyte in each record; this much, in all of them, memory can bear.
_MOST_REPEATED_BYTES = 128 * 1024 * 1024

_MOST_BAD = 100_000
"""With more of them an entry is none: each takes a hundred times the memory of its bytes."""


@dataclass(frozen=True, slots=True)
class BadTuple:
    """What could not become a record: a tuple, or a group of tuples that is malformed as a whole.

    `index` counts over the entry as record ids do; a malformed group takes one index. `raw` is
    the tuple as written, or the JSON of the group or of a tuple that is not a string.
    """

    index: int
    raw: str
    reason: str


class UnreadableEntry(ValueError):
    """The entry as a whole fits no known format; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


Group = tuple[list[Any], int, str]
"""Tuples (of an outline: where they are), the index of the first, and the JSON of what their
records have in common.
"""


@dataclass(slots=True)
class Groups:
    """An entry's groups in file order, and what of it cannot become a record.

    Raises `UnreadableEntry` where that, or what the records repeat, is too much to be held.
    """

    log_format: Format
    groups: list[Group] = field(default_factory=list)
    bad: list[BadTuple] = field(default_factory=list)
    next_index: int = 0
    """How many indices were given, to tuples and to what is bad."""
    repeated_bytes: int = 0

    def add(self, texts: list[Any], count: int, common: str) -> None:
        """Take a group of `count` tuples."""
        self.repeated_bytes += count * len(common.encode())
        if self.repeated_bytes > _MOST_REPEATED_BYTES:
            raise UnreadableEntry(
                "names and ids, which each record repeats, would come to more than "
                f"{_MOST_REPEATED_BYTES} bytes"
            )
        self.groups.append((texts, self.next_index, common))
        self.next_index += count

    def add_bad_group(self, value: object, reason: str) -> None:
        """Take what should have been a group or hold some."""
        self.add_bad(self.next_index, value, reason)
        self.next_index += 1

    def add_bad(self, index: int, value: object, reason: str) -> None:
        """Take what cannot become a record."""
        if len(self.bad) == _MOST_BAD:
            first = min(self.bad, key=lambda bad: bad.index)
            raise UnreadableEntry(
                f"more than {_MOST_BAD} tuples could not be read; the first: {first.reason}"
            )
        self.bad.append(BadTuple(index, _raw(value), reason))


def groups_of(entry: dict[str, Any], *, in_raw: bool = False) -> Groups:
    """An entry's groups; raises `UnreadableEntry` where the entry itself is malformed.

    With `in_raw` it is the `value` of an outline.
    """
    groups = Groups(_format_of(entry))
    try:
        _walk(entry, groups, in_raw=in_raw)
    except BadField as error:
        raise UnreadableEntry(str(error)) from None
    return groups


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


def _walk(entry: dict[str, Any], found: Groups, *, in_raw: bool) -> None:
    log_format = found.log_format
    is_nsg = log_format.category == NSG
    of_entry = (
        f'","log_time":{_text(entry, "time")},"category":"{log_format.category}"'
        f',"version":{log_format.version},"resource_id":{_text(entry, log_format.resource_id)}'
        f',"target_resource_id":{"null" if is_nsg else _text(entry, "targetResourceID")}'
    )
    mac_of_entry = _text(entry, "macAddress")
    body = entry.get(log_format.body)
    for outer in _list(body, "flows"):
        try:
            groups = _list(outer, log_format.groups)
            outer_text = _text(outer, log_format.outer_text)
        except BadField as error:
            found.add_bad_group(outer, str(error))
            continue
        for group in groups:
            try:
                texts = _list(group, "flowTuples")
                inner_text = _text(group, log_format.inner_text)
            except BadField as error:
                found.add_bad_group(group, str(error))
                continue
            if is_nsg:
                mac = mac_of_entry if inner_text == "null" else inner_text
                rule, acl_id = outer_text, "null"
            else:
                mac, rule, acl_id = mac_of_entry, inner_text, outer_text
            count = texts[1] if in_raw else len(texts)
            found.add(texts, count, f'{of_entry},"mac":{mac},"rule":{rule},"acl_id":{acl_id},')


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
