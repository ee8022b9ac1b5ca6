"""What a tuple's fields may say, and the JSON that each becomes.

A `Table` maps a field as written to its part of the record's JSON. A look-up is both the check and
the conversion, which is what makes `normalize` quick: fields repeat, so nearly every one has been
seen before. The parts fit together in the record's order (`records.FIELDS`): each carries the
names and commas around it, except numbers, which go into the record as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from ipaddress import ip_address
from re import compile as regex
from reprlib import Repr

import orjson

from flowlog_core.protocols import keyword

_MAX_PORT = 65535
_MAX_COUNTER = 2**63 - 1
_MAX_TIME = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z, the last RFC 3339 can write
_FIRST_MILLISECONDS = 10**11  # as seconds, that is the year 5138

_DECIMAL = regex("0|[1-9][0-9]{0,18}")

_REPR = Repr()
_REPR.maxstring = _REPR.maxother = 80
brief = _REPR.repr  # any value in a line's length, for reasons that a person reads


class BadField(ValueError):
    """A field, or what holds it, is not as FORMAT describes it; says which and why."""


class Table(dict[str, str]):
    """A dict that reads what it does not know with `read`, and remembers it within bounds.

    `read` raises `BadField`. Nothing longer than 64 characters is remembered, nor more than
    `limit` fields: a full table starts again empty, so it follows what is being logged now.
    """

    def __init__(self, read: Callable[[str], str], limit: int) -> None:
        super().__init__()
        self._read = read
        self._limit = limit

    def __missing__(self, field: str) -> str:
        part = self._read(field)
        if len(field) <= 64:
            if len(self) >= self._limit:
                self.clear()
            self[field] = part
        return part


class Choice(dict[str, str]):
    """A dict that names its keys in a `BadField` when asked for anything else."""

    def __init__(self, name: str, parts: Mapping[str, str], expected: str = "") -> None:
        super().__init__(parts)
        self._name = name
        self._expected = expected or " or ".join(parts)

    def __missing__(self, field: str) -> str:
        raise BadField(f"{self._name} {brief(field)} is not {self._expected}")


class Addresses(Table):
    """An IP address, with what stands before and after it."""

    def __init__(self, name: str, before: str, after: str) -> None:
        def read(field: str) -> str:
            if "%" not in field:  # a scope means nothing outside the machine it was written on
                with suppress(ValueError):
                    ip_address(field)
                    return f"{before}{field}{after}"
            raise BadField(f"{name} {brief(field)} is not an IP address")

        super().__init__(read, limit=16384)
        self.before, self.after = before, after


class Decimals(Table):
    """A decimal number from 0 to `maximum`, as JSON writes it, with what stands after it."""

    def __init__(self, name: str, maximum: int, after: str = "", *, may_be_empty: bool) -> None:
        def read(field: str) -> str:
            if not field and may_be_empty:
                return f"null{after}"
            if _DECIMAL.fullmatch(field) is None or int(field) > maximum:
                raise BadField(f"{name} {brief(field)} is not a decimal number from 0 to {maximum}")
            return f"{field}{after}"

        super().__init__(read, limit=16384)
        self.maximum, self.after, self.may_be_empty = maximum, after, may_be_empty


class Joined(Table):
    """Several fields looked up as one, with the commas between them."""

    def __init__(self, *tables: Mapping[str, str]) -> None:
        def read(text: str) -> str:
            fields = text.split(",")
            return "".join([table[field] for table, field in zip(tables, fields, strict=True)])

        super().__init__(read, limit=1024)
        self.count = len(tables)


class Times(Table):
    """A Unix time, taken for milliseconds from 10**11 on and for seconds below.

    `hours` gives what stands before the minutes, by the number of hours since 1970.
    """

    def __init__(self) -> None:
        super().__init__(self._time, limit=16384)
        self.hours = Table(self._hour, limit=1024)

    def _time(self, field: str) -> str:
        if _DECIMAL.fullmatch(field) is None or (number := int(field)) > _MAX_TIME:
            raise BadField(
                f"time {brief(field)} is not in Unix seconds or milliseconds up to year 9999"
            )
        seconds, ms = divmod(number if number >= _FIRST_MILLISECONDS else number * 1000, 1000)
        minutes, second = divmod(seconds, 60)
        hours, minute = divmod(minutes, 60)
        return f"{self.hours[str(hours)]}{minute:02}:{second:02}.{ms:03}Z"

    @staticmethod
    def _hour(hours: str) -> str:
        try:
            hour = datetime.fromtimestamp(int(hours) * 3600, UTC)
        except (ValueError, OverflowError):
            raise BadField(f"hour {hours} is after year 9999") from None
        return f'","time":"{hour:%Y-%m-%dT%H}:'


def _encryption(field: str) -> str:
    try:
        text = orjson.dumps(field or None).decode()
    except TypeError:  # half a surrogate pair
        raise BadField(f"encryption {brief(field)} is not Unicode text") from None
    return f'"encryption":{text},"packets_src_to_dst":'


def _protocol(number: int) -> str:
    return f',"protocol":"{keyword(number)}","protocol_number":{number},"direction":'


TIME = Times()
SOURCE_IP = Addresses("source address", '"src_ip":"', '","src_port":')
DESTINATION_IP = Addresses("destination address", ',"dst_ip":"', '","dst_port":')

SOURCE_PORT = Decimals("source port", _MAX_PORT, may_be_empty=False)
DESTINATION_PORT = Decimals("destination port", _MAX_PORT, may_be_empty=False)

PROTOCOL_LETTER = Choice("protocol", {"T": _protocol(6), "U": _protocol(17)})
PROTOCOL_NUMBER = Choice(
    "protocol", {str(n): _protocol(n) for n in range(256)}, "a decimal number from 0 to 255"
)

DIRECTION = Choice("direction", {"I": '"inbound","action":', "O": '"outbound","action":'})

# NSG version 1 ends with the decision.
DECISION_ONLY = Choice(
    "decision",
    {
        letter: f'"{action}","state":null,"encryption":null,"packets_src_to_dst":null,'
        '"bytes_src_to_dst":null,"packets_dst_to_src":null,"bytes_dst_to_src":null}'
        for letter, action in {"A": "allow", "D": "deny"}.items()
    },
)
DECISION = Choice("decision", {"A": '"allow","state":', "D": '"deny","state":'})
STATE = Choice(
    "state",
    {
        letter: f'"{state}","encryption":null,"packets_src_to_dst":'
        for letter, state in {"B": "begin", "C": "continue", "E": "end"}.items()
    },
)
# In VNet logs the state is the decision too.
STATE_DECIDES = Choice(
    "state",
    {
        "B": '"allow","state":"begin",',
        "C": '"allow","state":"continue",',
        "E": '"allow","state":"end",',
        "D": '"deny","state":"deny",',
    },
)
ENCRYPTION = Table(_encryption, limit=1024)

COUNTERS = tuple(
    Decimals(name, _MAX_COUNTER, after, may_be_empty=True)
    for name, after in {
        "packets from source": ',"bytes_src_to_dst":',
        "bytes from source": ',"packets_dst_to_src":',
        "packets from destination": ',"bytes_dst_to_src":',
        "bytes from destination": "}",
    }.items()
)
