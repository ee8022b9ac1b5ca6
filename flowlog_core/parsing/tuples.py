"""The three formats of flow tuples: a pattern that a tuple matches, and a record's template, each.

Field by field as in Microsoft's pages "NSG flow logs overview" (versions 1 and 2) and "Virtual
network flow logs" (version 4), and as seen in captures. Tuples are matched a batch at a time,
joined by newlines. If anything in a batch is unusual, its tuples are read again one by one, and
`explain` says what is wrong with one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from reprlib import Repr
from socket import AF_INET, AF_INET6, inet_pton
from typing import Any, Generic, NamedTuple, TypeVar

import orjson

from flowlog_core.parsing.protocols import keyword
from flowlog_core.parsing.record import COUNTERS

_REPR = Repr()
_REPR.maxstring = _REPR.maxother = 80
brief = _REPR.repr  # any value in at most a line, for reasons that a person reads


class BadField(ValueError):
    """A field, or what holds it, does not follow the format; the message says which and why."""


_MAX_REMEMBERED_CHARACTERS = 256


V = TypeVar("V")


class Memo(dict[Any, V], Generic[V]):
    """What `convert` makes of a text, or of null, remembered.

    Raises what `convert` raises. Long texts are not kept: 8,192 of 256 characters take 5 MB.
    """

    def __init__(self, convert: Callable[[Any], V], max_values: int = 8_192) -> None:
        super().__init__()
        self._convert = convert
        self._max_values = max_values

    def __missing__(self, value: Any) -> V:
        made = self._convert(value)
        if value is None or len(value) <= _MAX_REMEMBERED_CHARACTERS:
            if len(self) >= self._max_values:
                self.clear()
            self[value] = made
        return made


def json_of(text: object) -> str:
    """The JSON of Unicode text, or null. Raises `BadField` for anything else."""
    if text is None or isinstance(text, str):
        try:
            return orjson.dumps(text).decode()
        except TypeError:  # half a surrogate pair
            pass
    raise BadField(f"not Unicode text: {brief(text)}")


_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - with a zone, isoformat would write an offset
_PROTOCOLS = {"T": 6, "U": 17}
_DIRECTIONS = {"I": "inbound", "O": "outbound"}
_DECISIONS = {"A": "allow", "D": "deny"}
_STATES = {"B": "begin", "C": "continue", "E": "end", "D": "deny"}


def _valid_address(text: str) -> str:
    """The address as written, if it is one by the rules of `ipaddress`, which is much slower.

    Except that a scope (`%eth0`) is refused: it means nothing outside its machine.
    """
    try:
        inet_pton(AF_INET6 if ":" in text else AF_INET, text)
    except OSError:
        raise BadField(text) from None
    return text


def _rfc3339(seconds: str) -> str:
    """A time in UTC, without the zone; up to year 9999."""
    return (_EPOCH + timedelta(seconds=int(seconds))).isoformat()


def _flow(
    protocol: int, direction: str, action: str, state: str | None, encryption: str | None
) -> str:
    """A record's part between the destination port and the first counter."""
    return (
        f',"protocol":"{keyword(protocol)}","protocol_number":{protocol}'
        f',"direction":"{_DIRECTIONS[direction]}","action":"{action}"'
        f',"state":{json_of(state)},"encryption":{json_of(encryption)},"packets_src_to_dst":'
    )


def _nsg_flow(written: str) -> str:
    """Of protocol, direction, decision and, in version 2, state of an NSG tuple."""
    protocol, direction, decision, *states = written.split(",")
    state = _STATES[states[0]] if states else None
    return _flow(_PROTOCOLS[protocol], direction, _DECISIONS[decision], state, None)


def _vnet_flow(written: str) -> str:
    """Of protocol, direction, state and encryption of a VNet tuple."""
    protocol, direction, state, encryption = written.split(",")
    action = "deny" if state == "D" else "allow"  # here the state is the decision too
    return _flow(int(protocol), direction, action, _STATES[state], encryption or None)


_ADDRESSES = Memo(_valid_address, 131_072)  # they take some 20 MB
_SECONDS = Memo(_rfc3339)
_NSG_FLOWS = Memo(_nsg_flow)
_VNET_FLOWS = Memo(_vnet_flow)


# What each field of a tuple may hold.


def _same_length(maximum: int) -> str:
    """A pattern of the decimal numbers with as many digits as `maximum` that do not exceed it."""
    digits = str(maximum)
    return "|".join(
        [
            f"{digits[:at]}[{int(at == 0)}-{int(digit) - 1}][0-9]{{{len(digits) - at - 1}}}"
            for at, digit in enumerate(digits)
            if int(digit) > int(at == 0)
        ]
        + [digits]
    )


def _up_to(maximum: int) -> str:
    """A pattern of the decimal numbers from 0 to `maximum` (over 9), without leading zeros."""
    return f"{_below(maximum)}|{_same_length(maximum)}"


def _below(maximum: int) -> str:
    """A pattern of those numbers that have fewer digits."""
    return f"[1-9][0-9]{{0,{len(str(maximum)) - 2}}}+|0"


class Field(NamedTuple):
    """What one field of a tuple may hold."""

    name: str
    pattern: str
    """Matches no comma. What it captures, the record needs."""
    expected: str
    check: Callable[[str], object] | None = None
    """Raises `BadField` for what matches the pattern but is invalid."""

    def explain(self, text: str) -> str | None:
        """What is wrong with the text; None if nothing is."""
        try:
            if re.fullmatch(self.pattern, text):
                if self.check is not None:
                    self.check(text)
                return None
        except BadField:
            pass
        return f"{self.name} {brief(text)} is not {self.expected}"


def _letters(name: str, letters: str) -> Field:
    return Field(name, f"[{letters}]", " or ".join(letters))


def _port(name: str) -> Field:
    return Field(name, f"({_up_to(65535)})", "a decimal number from 0 to 65535")


def _counter(name: str) -> Field:
    maximum = 2**63 - 1
    # Often empty and never that large: tried in this order.
    pattern = f"({_below(maximum)}||{_same_length(maximum)})"
    return Field(name, pattern, f"a decimal number from 0 to {maximum}")


def _address(name: str) -> Field:
    return Field(name, "([0-9A-Fa-f:.]{2,45}+)", "an IP address", _ADDRESSES.__getitem__)


_ENDPOINTS = (
    # Seconds and milliseconds. From 10**11 on a number is in milliseconds, below in seconds: as
    # seconds that is the year 5138. RFC 3339 can write no time after 9999-12-31T23:59:59.999Z.
    Field(
        "time",
        rf"(0(?![0-9])|[1-9][0-9]{{0,10}}|{_same_length(253_402_300_799)})([0-9]{{3}}|)",
        "in Unix seconds or milliseconds up to year 9999",
    ),
    _address("source address"),
    _address("destination address"),
    _port("source port"),
    _port("destination port"),
)
_COUNTER_FIELDS = tuple(
    _counter(f"{unit} from {side}")
    for side in ("source", "destination")
    for unit in ("packets", "bytes")
)


Row = tuple[str, ...]
"""What a pattern captures of a tuple, in the order of `ROW`."""
Drops = Callable[[Iterable[tuple[int, Row]], str, str], list[int]]
"""The indexes of those of some valid tuples that are left out on purpose. It is given each with its
index, and `head` and `common` of their records."""

ROW: tuple[str | tuple[str, ...], ...] = (
    *("time", "time_ms", "src_ip", "dst_ip", "src_port", "dst_port"),
    ("protocol", "protocol_number", "direction", "action", "state", "encryption"),
    *COUNTERS,
)
"""The record's fields in each place of a row; `time_ms` are the time's last digits."""


def _write(
    flows: Mapping[str, str], rows: Iterable[tuple[int, Row]], head: str, common: str
) -> list[str]:
    """The records of rows, each given with its index. `head` begins the id of each.

    `common` is what all have in common, see `entry.walk`.
    """
    seconds, addresses = _SECONDS, _ADDRESSES
    return [
        f'{head}{index}","time":"{seconds[s]}.{ms or "000"}{common}{addresses[src]}'
        f'","src_port":{src_port},"dst_ip":"{addresses[dst]}","dst_port":{dst_port}{flows[flow]}'
        f'{packets or "null"},"bytes_src_to_dst":{octets or "null"}'
        f',"packets_dst_to_src":{packets_back or "null"}'
        f',"bytes_dst_to_src":{octets_back or "null"}}}'
        for index, (
            s, ms, src, dst, src_port, dst_port, flow, packets, octets, packets_back, octets_back
        ) in rows
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class BadTuple:
    """What could not become a record: a tuple, or a group of tuples that is malformed as a whole.

    `index` counts over the entry as record ids do; a malformed group takes one index. `raw` is
    the tuple as written, or the JSON of the group or of a tuple that is not a string.
    """

    index: int
    raw: str
    reason: str


BatchRecords = tuple[list[str], list[BadTuple], list[int], Row | None]
"""What became of a batch of tuples: records, bad tuples, indexes of those that were dropped, and
the row of the last record."""


def time_of(row: Row) -> datetime:
    """The time of a tuple, aware UTC."""
    seconds, milliseconds, *_ = row
    return datetime.fromtimestamp(int(seconds), UTC) + timedelta(
        milliseconds=int(milliseconds or 0)
    )


@dataclass(frozen=True)
class TupleFormat:
    """How the tuples of one version are written, and the records that they become."""

    flow: tuple[Field, ...]
    """Between the ports and the counters. Captured together: few forms make up most of a log."""
    flows: Mapping[str, str] = field(compare=False)
    """By what a tuple writes in the fields of `flow`: the JSON that a record has for them."""
    counters: tuple[Field, ...] = _COUNTER_FIELDS

    @property
    def fields(self) -> tuple[Field, ...]:
        """All fields in the tuple's order."""
        return (*_ENDPOINTS, *self.flow, *self.counters)

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Matches a line that is a tuple of this format, unless a `Field.check` refuses it."""
        start, flow, end = (
            ",".join(one.pattern for one in fields)
            for fields in (_ENDPOINTS, self.flow, self.counters)
        )
        end = f",{end}" if end else "()" * len(COUNTERS)
        return re.compile(f"^{start},({flow}){end}$", re.MULTILINE)

    def records(
        self,
        texts: Sequence[Any],
        head: str,
        first: int,
        common: str,
        drops: Drops | None = None,
    ) -> BatchRecords:
        """The records of a batch of tuples. A bad tuple is bad whether it would be dropped or not.

        `drops` is asked about valid tuples.
        """
        try:
            lines = "\n".join(texts)
            rows = self.pattern.findall(lines)
            # Matches are lines, so with as many lines as tuples each tuple is one.
            if len(rows) == len(texts) == lines.count("\n") + 1:
                return self._of_rows(rows, head, first, common, drops)
        except (TypeError, BadField):  # TypeError: one is not a string
            pass
        return self._one_by_one(texts, head, first, common, drops)

    def _of_rows(
        self, rows: Sequence[Row], head: str, first: int, common: str, drops: Drops | None
    ) -> BatchRecords:
        """The records of valid rows. Raises `BadField` if one is not."""
        dropped = [] if drops is None else drops(enumerate(rows, first), head, common)
        kept: Iterable[tuple[int, Row]] = enumerate(rows, first)
        last: Row | None = rows[-1]
        if dropped:
            kept, addresses, flows = list(kept), _ADDRESSES, self.flows
            for index in reversed(dropped):
                row = rows[index - first]
                _ = addresses[row[2]], addresses[row[3]], flows[row[6]]  # raises if one is bad
                del kept[index - first]
            last = kept[-1][1] if kept else None
        return _write(self.flows, kept, head, common), [], dropped, last

    def _one_by_one(
        self, texts: Sequence[Any], head: str, first: int, common: str, drops: Drops | None
    ) -> BatchRecords:
        records: list[str] = []
        bad: list[BadTuple] = []
        dropped: list[int] = []
        last: Row | None = None
        for index, text in enumerate(texts, first):
            if reason := self.explain(text):
                bad.append(BadTuple(index, raw_of(text), reason))
            elif match := self.pattern.fullmatch(text):
                good, _, gone, row = self._of_rows([match.groups()], head, index, common, drops)
                records += good
                dropped += gone
                last = row or last
        return records, bad, dropped, last

    def explain(self, text: object) -> str | None:
        """What is wrong with a tuple, by its first bad field; None if nothing is."""
        if not isinstance(text, str):
            return "not a string"
        fields = self.fields
        texts = text.split(",", len(fields))  # at most one too many: commas alone take no memory
        if len(texts) != len(fields):
            return f"number of fields is {text.count(',') + 1} instead of {len(fields)}"
        reasons = (field.explain(one) for field, one in zip(fields, texts, strict=True))
        return next(filter(None, reasons), None)


def raw_of(value: object) -> str:
    """A tuple as written; the JSON of anything else."""
    if isinstance(value, str):
        return value
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # deeper than orjson writes, or nothing that JSON can hold
        return brief(value)


_NSG = (_letters("protocol", "TU"), _letters("direction", "IO"), _letters("decision", "AD"))
NSG1 = TupleFormat(_NSG, _NSG_FLOWS, counters=())
NSG2 = TupleFormat((*_NSG, _letters("state", "BCE")), _NSG_FLOWS)
VNET4 = TupleFormat(
    (
        Field("protocol", f"(?:{_up_to(255)})", "a decimal number from 0 to 255"),
        _letters("direction", "IO"),
        _letters("state", "BCED"),
        Field("encryption", "[^,]*+", "Unicode text", json_of),
    ),
    _VNET_FLOWS,
)

NSG_VERSIONS = {1: NSG1, 2: NSG2}
VNET_VERSIONS = {4: VNET4}
"""By the version that an entry states. Entries of a new version are read once it is here."""
