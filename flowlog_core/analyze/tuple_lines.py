"""Lines of flow tuples as columns: a group's tuples are CSV, and Arrow reads CSV.

A tuple is taken only if it is one of those that `parsing.tuples` takes. RE2 tests that, all lines
in one call, with the patterns of the fields that are there; what RE2 cannot decide about an
IPv6 address, the field's own check does, once for each distinct address. `NotPlain` is raised for
everything else: then the ordinary way through `parsing` says what each tuple is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from flowlog_core.analyze.schema import FEW, SCHEMA
from flowlog_core.parsing.protocols import keyword
from flowlog_core.parsing.record import COUNTERS
from flowlog_core.parsing.tuples import NSG1, NSG2, VNET4, BadField, Field, TupleFormat

_FIRST_MILLISECONDS = 10**11  # FORMAT: a smaller number counts seconds

# By field, as a record has it, from what the tuple writes.
_DIRECTIONS = {"I": "inbound", "O": "outbound"}
_DECISIONS = {"A": "allow", "D": "deny"}
_STATES = {"B": "begin", "C": "continue", "E": "end", "D": "deny"}
_VNET_ACTIONS = {"B": "allow", "C": "allow", "E": "allow", "D": "deny"}
_NUMBERS = {"T": 6, "U": 17}
_KEYWORDS = pa.array([keyword(number) for number in range(256)]).dictionary_encode()


class NotPlain(ValueError):
    """Something about the lines is unusual: `parsing` must read them, entry by entry."""


Make = Callable[[pa.Array], pa.Array]


@dataclass(frozen=True)
class LineFormat:
    """The columns of one format's lines, and the record fields that are made of them."""

    types: Mapping[str, pa.DataType]
    """Name and type of each column, in the tuple's order."""
    fields: Mapping[str, tuple[str, Make]]
    """By record field: the column it is made of, and how. A field that is not here is null."""
    pattern: str
    """RE2: a line, with the newline at its end, that is a tuple for certain."""


def _same(values: pa.Array) -> pa.Array:
    return values


def _time(values: pa.Array) -> pa.Array:
    number = values.to_numpy()
    milliseconds = np.where(number < _FIRST_MILLISECONDS, number * 1000, number)
    return pa.array(milliseconds).view(pa.timestamp("ms", tz="UTC"))


def _spelled(meaning: Mapping[str, str]) -> Make:
    def make(values: pa.DictionaryArray) -> pa.Array:
        spelled = pa.array([meaning[text] for text in values.dictionary.to_pylist()], pa.string())
        return spelled.dictionary_encode().take(values.indices)

    return make


def _letter_number(values: pa.DictionaryArray) -> pa.Array:
    numbers = [_NUMBERS[text] for text in values.dictionary.to_pylist()]
    return pa.array(numbers, pa.uint8()).take(values.indices)


def _keyword(values: pa.Array) -> pa.Array:
    return _KEYWORDS.take(values)


def _letter_keyword(values: pa.DictionaryArray) -> pa.Array:
    return _keyword(_letter_number(values))


def _types(*names: str) -> dict[str, pa.DataType]:
    """Of columns that are as the records have them."""
    return {name: SCHEMA.field(name).type for name in names}


_ENDPOINTS = ("src_ip", "dst_ip", "src_port", "dst_port")
_PLAIN: dict[str, tuple[str, Make]] = {
    "time": ("time", _time),
    **{name: (name, _same) for name in _ENDPOINTS},
    "direction": ("direction", _spelled(_DIRECTIONS)),
}
_NSG_FIELDS: dict[str, tuple[str, Make]] = {
    **_PLAIN,
    "protocol": ("protocol", _letter_keyword),
    "protocol_number": ("protocol", _letter_number),
    "action": ("decision", _spelled(_DECISIONS)),
}
_COUNTER_FIELDS: dict[str, tuple[str, Make]] = {name: (name, _same) for name in COUNTERS}
_LETTERS = dict.fromkeys(("protocol", "direction", "decision"), FEW)

# `parsing.tuples` writes for Python's engine. RE2 knows neither possessive quantifiers, which
# only spare Python time, nor looking ahead, which is needed for the time alone.
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_RE2 = {
    "time": "0|[1-9][0-9]{0,13}",
    "address": rf"{_OCTET}\.{_OCTET}\.{_OCTET}\.{_OCTET}|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]+",
    "encryption": r"[^,\r\n]*",
}


def _re2(field: Field) -> str:
    kind = field.name.rpartition(" ")[2]
    return f"(?:{_RE2.get(kind) or re.sub(r'(?<=[}*])[+]', '', field.pattern)})"


def _line_format(
    tuples: TupleFormat, types: dict[str, pa.DataType], fields: dict[str, tuple[str, Make]]
) -> LineFormat:
    pattern = f"^{','.join(map(_re2, tuples.fields))}\n$"
    return LineFormat({"time": pa.int64(), **_types(*_ENDPOINTS), **types}, fields, pattern)


_FORMATS = {
    NSG1: _line_format(NSG1, _LETTERS, _NSG_FIELDS),
    NSG2: _line_format(
        NSG2,
        {**_LETTERS, **_types("state", *COUNTERS)},
        {**_NSG_FIELDS, "state": ("state", _spelled(_STATES)), **_COUNTER_FIELDS},
    ),
    VNET4: _line_format(
        VNET4,
        {"protocol": pa.uint8(), **_types("direction", "state", "encryption", *COUNTERS)},
        {
            **_PLAIN,
            "protocol": ("protocol", _keyword),
            "protocol_number": ("protocol", _same),
            "action": ("state", _spelled(_VNET_ACTIONS)),
            "state": ("state", _spelled(_STATES)),
            "encryption": ("encryption", _same),
            **_COUNTER_FIELDS,
        },
    ),
}


def read_lines(
    tuples: TupleFormat, texts: list[str], names: tuple[str, ...]
) -> dict[str, pa.Array]:
    """The columns of those names that such tuples have, with a row for each.

    Raises `NotPlain` if any of the texts might not be a tuple of this format, and for a format
    that is not known here: the ordinary way reads it, slower.
    """
    line_format = _FORMATS.get(tuples)
    if line_format is None:
        raise NotPlain
    try:
        data = ("\n".join(texts) + "\n").encode()
    except (TypeError, UnicodeEncodeError):  # one is not a string, or half a surrogate pair
        raise NotPlain from None
    _check(line_format, data, len(texts))
    wanted = {name: line_format.fields[name] for name in names if name in line_format.fields}
    columns = dict.fromkeys(column for column, _ in wanted.values())
    has_ipv6 = b":" in data
    if has_ipv6:
        columns |= dict.fromkeys(("src_ip", "dst_ip"))
    if not columns:
        return {}
    table = csv.read_csv(
        pa.py_buffer(data),
        csv.ReadOptions(
            use_threads=False, block_size=len(data) + 1, column_names=list(line_format.types)
        ),
        csv.ParseOptions(quote_char=False, escape_char=False, ignore_empty_lines=False),
        csv.ConvertOptions(
            column_types=dict(line_format.types),
            include_columns=list(columns),
            null_values=[""],
            strings_can_be_null=True,
            check_utf8=False,  # it comes from text
        ),
    )
    read = {name: table.column(name).combine_chunks() for name in columns}
    if has_ipv6:
        for name in ("src_ip", "dst_ip"):
            _check_addresses(read[name])
    return {name: make(read[column]) for name, (column, make) in wanted.items()}


def _check(line_format: LineFormat, data: bytes, count: int) -> None:
    """Raises `NotPlain` if not every line matches the pattern, or there are more than `count`."""
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n"))
    if len(ends) != count:
        raise NotPlain
    offsets = np.zeros(count + 1, np.int32)
    offsets[1:] = ends + 1
    lines = pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(data))
    if pc.sum(pc.match_substring_regex(lines, line_format.pattern)).as_py() != count:
        raise NotPlain


_ADDRESS = next(field for field in NSG1.fields if field.name == "source address")


def _check_addresses(addresses: pa.Array) -> None:
    distinct = pc.unique(addresses)
    for address in distinct.filter(pc.match_substring(distinct, ":")).to_pylist():
        if len(address) > 45 or _ADDRESS.check is None:
            raise NotPlain
        try:
            _ADDRESS.check(address)
        except BadField:
            raise NotPlain from None
