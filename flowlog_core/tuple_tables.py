"""What a tuple's fields may say, and the JSON that each becomes.

A `Table` maps a field as written to its part of the record's JSON. A look-up is both the check and
the conversion, which is what makes `normalize` quick: fields repeat, so nearly every one has been
seen before. The parts fit together in the record's order (`records.FIELDS`): each carries the
names and commas around it, except ports, which go into the record as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from ipaddress import ip_address
from re import compile as regex
from reprlib import Repr

import orjson

from flowlog_core.protocols import keyword

MAX_PORT = 65535
MAX_COUNTER = 2**63 - 1
_MAX_SECOND = 253_402_300_799  # 9999-12-31T23:59:59Z, the last second RFC 3339 can write

_COUNTER = "(0|[1-9][0-9]{0,17}|)"  # the quick way leaves out numbers of 19 digits
_COUNTER_NAMES = (
    "packets from source",
    "bytes from source",
    "packets from destination",
    "bytes from destination",
)
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = regex(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
_DECIMAL = regex("0|[1-9][0-9]{0,11}")

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


def are_decimals(fields: Sequence[str], maximum: int) -> bool:
    """Whether every field is a decimal number, 0 to `maximum`, as JSON writes it.

    A JSON parser is the quickest judge: of digits and commas alone, it takes no empty numbers and
    no leading zeros, and numbers beyond 64 bits it makes floats above any `maximum`.
    """
    text = ",".join(fields).encode(errors="replace")
    if text.translate(None, b"0123456789,"):
        return False
    try:
        return bool(max(orjson.loads(b"[%b]" % text)) <= maximum)
    except ValueError:  # empty or with a leading zero
        return False


def check_decimals(name: str, fields: Sequence[str], maximum: int) -> None:
    """Raise `BadField` unless `are_decimals`; it names the first field."""
    if not are_decimals(fields, maximum):
        raise BadField(f"{name} {brief(fields[0])} is not a decimal number from 0 to {maximum}")


def _address(name: str, before: str, after: str) -> Table:
    def read(field: str) -> str:
        # Scanners come from everywhere, so new addresses are common; most are of version 4.
        if _IPV4.fullmatch(field):
            return f"{before}{field}{after}"
        if "%" not in field:  # a scope means nothing outside the machine it was written on
            with suppress(ValueError):
                ip_address(field)
                return f"{before}{field}{after}"
        raise BadField(f"{name} {brief(field)} is not an IP address")

    return Table(read, limit=16384)


def _second(field: str) -> str:
    if _DECIMAL.fullmatch(field) is None or (second := int(field)) > _MAX_SECOND:
        raise BadField(
            f"time {brief(field)} is not in Unix seconds or milliseconds up to year 9999"
        )
    return f'","time":"{datetime.fromtimestamp(second, UTC).replace(tzinfo=None).isoformat()}.'


def _encryption(field: str) -> str:
    try:
        text = orjson.dumps(field or None).decode()
    except TypeError:  # half a surrogate pair
        raise BadField(f"encryption {brief(field)} is not Unicode text") from None
    return f'"encryption":{text},"packets_src_to_dst":'


def _protocol(number: int) -> str:
    return f',"protocol":"{keyword(number)}","protocol_number":{number},"direction":'


_SECONDS = Table(_second, limit=16384)
_MILLISECONDS = Choice(
    "time: milliseconds", {f"{ms:03}": f"{ms:03}Z" for ms in range(1000)}, "three decimal digits"
)


def _time(field: str) -> str:
    """A Unix time, taken for milliseconds from 10**11 on and for seconds below.

    NSG logs have seconds and VNet logs milliseconds, yet some of Azure's documents show seconds
    for VNet. The boundary is in 1973 for milliseconds and in 5138 for seconds.
    """
    if len(field) > 11:
        return _SECONDS[field[:-3]] + _MILLISECONDS[field[-3:]]
    return _SECONDS[field] + "000Z"


_TIMES = Table(_time, limit=16384)


def times_that_repeat(fields: Iterable[str]) -> Iterable[str]:
    """For logs in seconds: each time is looked up whole."""
    return map(_TIMES.__getitem__, fields)


def times_that_differ(fields: Iterable[str]) -> Iterable[str]:
    """For logs in milliseconds: only their seconds are worth remembering."""
    return [
        _SECONDS[field[:-3]] + _MILLISECONDS[field[-3:]] if len(field) > 11 else _time(field)
        for field in fields
    ]


def rest_of_tuple(facts: Sequence[Mapping[str, str]], *, has_counters: bool) -> Table:
    """The table of what stands behind a tuple's ports: facts, and the four counters if any."""
    width = len(facts) + 4 * has_counters

    def read_facts(text: str) -> str:
        return "".join([t[field] for t, field in zip(facts, text.split(","), strict=True)])

    known_facts = Table(read_facts, limit=1024)
    quick = regex(",".join(["([^,]*" + ",[^,]*" * (len(facts) - 1) + ")"] + [_COUNTER] * 4))

    def read(text: str) -> str:
        if has_counters and (match := quick.fullmatch(text)):
            known, *counters = match.groups()
            return known_facts[known] + _counters(counters)
        fields = text.split(",", width)  # at most one too many: commas alone take no memory
        if len(fields) != width:
            raise BadField("too many or too few fields")
        part = known_facts[",".join(fields[: len(facts)])]
        if not has_counters:
            return part
        for name, field in zip(_COUNTER_NAMES, fields[-4:], strict=True):
            if field:
                check_decimals(name, [field], MAX_COUNTER)
        return part + _counters(fields[-4:])

    return Table(read, limit=4096)


def _counters(fields: Sequence[str]) -> str:
    packets, size, packets_back, size_back = [field or "null" for field in fields]
    return (
        f'{packets},"bytes_src_to_dst":{size},"packets_dst_to_src":{packets_back}'
        f',"bytes_dst_to_src":{size_back}}}'
    )


SOURCE_IP = _address("source address", '"src_ip":"', '","src_port":')
DESTINATION_IP = _address("destination address", ',"dst_ip":"', '","dst_port":')

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
