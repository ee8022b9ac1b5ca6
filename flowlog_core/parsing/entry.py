"""An entry becomes flow records: NSG versions 1 and 2 and VNet version 4, in one schema.

`walk` goes down to an entry's groups of tuples and writes what the records of each have in common;
`tuples` has the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from sys import getsizeof
from typing import Any, NamedTuple

from flowlog_core.parsing.packed_text import PackedText
from flowlog_core.parsing.tuples import (
    NSG_VERSIONS,
    VNET_VERSIONS,
    BadField,
    BadTuple,
    Drops,
    Memo,
    Row,
    TupleFormat,
    brief,
    json_of,
    raw_of,
)

_NSG = "NetworkSecurityGroupFlowEvent"
_VNET = "FlowLogFlowEvent"

# Azure writes about a hundred tuples an entry, and names and ids of about a hundred characters. A
# name of a megabyte would take a megabyte in each record. This limits the sum over all records.
_MAX_REPEATED_BYTES = 128 * 1024 * 1024

# With more bad tuples an entry is unreadable: each takes a hundred times the memory of its bytes.
_MAX_BAD = 10_000

_NAMES = Memo(json_of)  # names, ids and times, which all tuples of an entry share

_BATCH = 512
"""How many tuples are read at once: split into fields, they take ten times their memory."""


class UnreadableEntry(ValueError):
    """The entry as a whole has no known format; the text says why."""


class Normalized(NamedTuple):
    """An entry's records, and what could not become one."""

    lines: Sequence[str]
    bad: list[BadTuple]
    dropped: list[int]
    """The indexes of the tuples that were left out on purpose."""
    last: Row | None
    """The fields of the last record's tuple; `time_of` has its time. None without a record."""


Names = tuple[str, str, str]
"""The JSON of a group's `mac`, `rule` and `acl_id`."""
DropsOfGroup = Callable[[Names, str], Drops | None]
"""Returns what decides which tuples of a group are left out, or None if none are. It is given the
group's names, and what its records have in common, as `walk` gives them."""
DropsByVersion = Mapping[int, DropsOfGroup]


@dataclass(frozen=True, slots=True)
class EntryFormat:
    """One format: names of keys in the entry, and its tuples.

    An entry's flows are two lists deep. `body` holds `flows`; each of those has `outer_text` and
    a list `groups`; each of these has `inner_text` and the list `flowTuples`.
    """

    category: str
    version: int
    tuples: TupleFormat
    resource_id: str
    body: str
    outer_text: str
    groups: str
    inner_text: str


_KEYS = {
    _NSG: ("resourceId", "properties", "rule", "flows", "mac"),
    _VNET: ("flowLogResourceID", "flowRecords", "aclID", "flowGroups", "rule"),
}
FORMATS = {
    (category, version): EntryFormat(category, version, tuples, *_KEYS[category])
    for category, versions in ((_NSG, NSG_VERSIONS), (_VNET, VNET_VERSIONS))
    for version, tuples in versions.items()
}


def normalize(
    entry: object, id_prefix: str, drops: DropsByVersion | None = None, *, packed: bool = False
) -> Normalized:
    """The flow records of one entry: a parsed element of a log blob's `records`.

    `drops` leaves tuples out, which changes neither ids nor what is bad. A record's id is
    `id_prefix` and the tuple's index, counted over the whole entry, bad ones included: a bad tuple
    never changes the id of another. With `packed`, records are kept compressed: those of a large
    entry may take twelve times its memory.

    Raises `UnreadableEntry`, and nothing else, if the entry has no known format, or if what is bad
    in it, or repeated in each record, takes too much memory.
    """
    if not isinstance(entry, dict):
        raise UnreadableEntry(f"not an object: {brief(entry)}")
    entry_format = format_of(entry)
    bad: list[BadTuple] = []
    records: list[str] | PackedText = PackedText() if packed else []
    dropped: list[int] = []
    last: Row | None = None
    head = f'{{"id":{json_of(id_prefix)[:-1]}'
    records_of = entry_format.tuples.records
    drops_of = None if drops is None else drops[entry_format.version]
    try:
        for texts, first, common, names in walk(entry, entry_format, bad):
            of_group = None if drops_of is None else drops_of(names, common)
            good, wrong, gone, last_of_batch = records_of(texts, head, first, common, of_group)
            records.extend(good)
            if wrong:
                _add_bad(bad, wrong)
            dropped += gone
            last = last_of_batch or last
    except BadField as error:
        raise UnreadableEntry(str(error)) from None
    return Normalized(records, bad, dropped, last)


def walk(
    entry: dict[str, Any], entry_format: EntryFormat, bad: list[BadTuple]
) -> Iterator[tuple[list[Any], int, str, Names]]:
    """An entry's tuples in file order, up to `_BATCH` of one group at a time.

    With them the index of the first, counted over the entry, and what their records have in common,
    from the `Z` that ends the time to the quotation mark that begins the source address; then the
    names in it. A group that is malformed as a whole goes to `bad`.

    Raises `BadField` if the entry itself is malformed, and `UnreadableEntry` if what is bad or
    repeated takes too much memory.
    """
    is_nsg = entry_format.category == _NSG
    of_entry = (
        f'Z","log_time":{_text(entry, "time")},"category":"{entry_format.category}"'
        f',"version":{entry_format.version},"resource_id":{_text(entry, entry_format.resource_id)}'
        f',"target_resource_id":{"null" if is_nsg else _text(entry, "targetResourceID")}'
    )
    mac_of_entry = _text(entry, "macAddress")
    index = repeated_bytes = 0

    def parts(holder: Any, list_key: str, text_key: str) -> tuple[list[Any], str]:
        nonlocal index
        try:
            return _list(holder, list_key), _text(holder, text_key)
        except BadField as error:
            _add_bad(bad, [BadTuple(index, raw_of(holder), str(error))])
            index += 1
            return [], ""

    for outer in _list(_get(entry, entry_format.body), "flows"):
        groups, outer_text = parts(outer, entry_format.groups, entry_format.outer_text)
        for group in groups:
            texts, inner_text = parts(group, "flowTuples", entry_format.inner_text)
            if is_nsg:
                mac = mac_of_entry if inner_text == "null" else inner_text
                rule, acl_id = outer_text, "null"
            else:
                mac, rule, acl_id = mac_of_entry, inner_text, outer_text
            common = f'{of_entry},"mac":{mac},"rule":{rule},"acl_id":{acl_id},"src_ip":"'
            names = (mac, rule, acl_id)
            repeated_bytes += len(texts) * getsizeof(common)
            if repeated_bytes > _MAX_REPEATED_BYTES:
                raise UnreadableEntry(
                    "names and ids, which each record repeats, would come to more than "
                    f"{_MAX_REPEATED_BYTES} bytes"
                )
            for at in range(0, len(texts), _BATCH):
                yield texts[at : at + _BATCH], index + at, common, names
            index += len(texts)


def format_of(entry: dict[str, Any]) -> EntryFormat:
    """An entry's format. Raises `UnreadableEntry` if it is unknown."""
    category, version = _get(entry, "category"), _get(entry, "flowLogVersion")
    if category == _NSG and isinstance(properties := _get(entry, "properties"), dict):
        version = _get(properties, "Version")
    # JSON's true and 1.0 equal 1 in Python, yet are no versions.
    if type(version) is int and isinstance(category, str):
        entry_format = FORMATS.get((category, version))
        if entry_format is not None:
            return entry_format
    known = ", ".join(f"{category} version {version}" for category, version in FORMATS)
    raise UnreadableEntry(
        f"unknown format: category {brief(category)}, version {brief(version)}; known: {known}"
    )


def _add_bad(bad: list[BadTuple], more: list[BadTuple]) -> None:
    bad += more
    if len(bad) > _MAX_BAD:
        raise UnreadableEntry(
            f"more than {_MAX_BAD} tuples could not be read; the first: {bad[0].reason}"
        )


def _get(holder: dict[str, Any], key: str) -> Any:
    """The value of a key, in any letter case; None if it is absent.

    Otherwise `flowLogResourceId` would silently become null in each record.
    """
    value = holder.get(key)
    if value is None and key not in holder:
        lower = key.lower()
        value = next((holder[name] for name in holder if name.lower() == lower), None)
    return value


def _text(holder: dict[str, Any], key: str) -> str:
    """The JSON of a string, null if it is null or absent; raises `BadField` for all else."""
    value = _get(holder, key)
    try:
        return _NAMES[value]
    except (TypeError, BadField):  # TypeError: a list or an object
        raise BadField(f"{key} is not a string: {brief(value)}") from None


def _list(holder: object, key: str) -> list[Any]:
    if not isinstance(holder, dict):
        raise BadField(f"expected an object with {key}: {brief(holder)}")
    value = _get(holder, key)
    if not isinstance(value, list):
        raise BadField(f"{key} is not a list: {brief(value)}")
    return value
