"""The values of a rule's terms, read by the kind of their field."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from flowlog_core.parsing.protocols import KEYWORDS, keyword
from flowlog_core.shape.terms import QUERY_FIELDS, Accept, Addresses, Glob, Kind, Span
from flowlog_core.shape.times import milliseconds

_NUMBER = re.compile(r"[0-9]{1,20}")
_MAC = re.compile(r"[0-9a-f]{2}([:-])[0-9a-f]{2}(?:\1[0-9a-f]{2}){4}", re.IGNORECASE)
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(T([01][0-9]|2[0-3])(:[0-9]{2}(:[0-9]{2}(\.[0-9]{3})?)?)?)?"
)
_REST_OF_TIME = "T00:00:00.000"
_LENGTHS_MS = {10: 86_400_000, 13: 3_600_000, 16: 60_000, 19: 1000, 23: 1}
"""Of a day, an hour, a minute, a second and one, by how many characters a time has."""
_ANY: dict[Kind, tuple[Accept, ...]] = {
    "number": (Span(None, None),),
    "time": (Span(None, None),),
    "address": (Addresses(4, 0, 2**32 - 1), Addresses(6, 0, 2**128 - 1)),
}


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that names what may have been meant, or nothing."""
    by_lower = {one.lower(): one for one in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f" Did you mean {by_lower[near[0]]}?" if near else ""


def accepts_of(field: str, text: str) -> tuple[Accept, ...]:
    """What a value accepts; raises ValueError with what was expected."""
    query_field = QUERY_FIELDS[field]
    if text == "*":
        return _ANY.get(query_field.kind, (Glob("*"),))
    accept: Accept
    match query_field.kind:
        case "number":
            accept = _span(field, text)
        case "time":
            accept = Span(*_period(text))
        case "address":
            accept = _addresses(field, text)
        case "text":
            plain = text.replace("-", "").replace(":", "") if _MAC.fullmatch(text) else text
            accept = Glob((plain if field == "mac" else text).lower())
        case "protocol":
            accept = Glob(_protocol(text))
        case "choice":
            if text.lower() not in query_field.choices:
                known = " or ".join(query_field.choices)
                hint = nearest(text, query_field.choices)
                raise ValueError(f"{field} is {known}, not {text!r}.{hint}")
            accept = Glob(text.lower())
    return (accept,)


def compared(field: str, operator: str, text: str) -> Span:
    """What a comparison with a value accepts; raises ValueError with what was expected."""
    if QUERY_FIELDS[field].kind == "time":
        first, last = _period(text)
    else:
        first = last = _whole_number(field, text)
    match operator:
        case ">=":
            return Span(first, None)
        case ">":
            return Span(last + 1, None)
        case "<=":
            return Span(None, last)
        case _:
            return Span(None, first - 1)


def _whole_number(field: str, text: str) -> int:
    maximum = QUERY_FIELDS[field].maximum
    if _NUMBER.fullmatch(text) is None or int(text) > maximum:
        raise ValueError(f"{field} is a whole number up to {maximum}, not {text!r}")
    return int(text)


def _span(field: str, text: str) -> Span:
    first, dash, last = text.partition("-")
    low = _whole_number(field, first.strip())
    high = _whole_number(field, last.strip()) if dash else low
    if low > high:
        raise ValueError(f"the range {text} begins above its end")
    return Span(low, high)


def _period(text: str) -> tuple[int, int]:
    """The first and the last millisecond of the day, hour, minute, second or one written."""
    written = text.removesuffix("Z")
    if _TIME.fullmatch(written) is None:
        raise ValueError(f"expected a UTC time such as 2026-01-31T09 or 2026-01-31, not {text!r}")
    first = milliseconds(f"{written}{_REST_OF_TIME[len(written) - len('2026-01-31') :]}Z")
    if first is None:
        raise ValueError(f"no calendar has the time {text!r}")
    return first, first + _LENGTHS_MS[len(written)] - 1


def _addresses(field: str, text: str) -> Addresses:
    expected = f"{field} is an address, a network such as 10.0.0.0/8 or a range, not {text!r}"
    if "/" in text:
        try:
            network = ip_network(text, strict=False)
        except ValueError:
            raise ValueError(expected) from None
        if str(network.network_address) != str(ip_address(text.partition("/")[0])):
            raise ValueError(f"{text} is inside a network: write {network}")
        return _between(network.network_address, network.broadcast_address)
    first, dash, last = text.partition("-")
    try:
        low = ip_address(first.strip())
        high = ip_address(last.strip()) if dash else low
    except ValueError:
        hint = ". Write 10.1.0.0/16 for 10.1.*" if "*" in text else ""
        raise ValueError(f"{expected}{hint}") from None
    if "%" in text:
        raise ValueError(expected)
    if low.version != high.version:
        raise ValueError(f"the range {text} begins in one version of IP and ends in the other")
    if int(low) > int(high):
        raise ValueError(f"the range {text} begins above its end")
    return _between(low, high)


def _between(low: IPv4Address | IPv6Address, high: IPv4Address | IPv6Address) -> Addresses:
    return Addresses(low.version, int(low), int(high))


def _protocol(text: str) -> str:
    if text.isascii() and text.isdecimal() and len(text) <= 3 and int(text) <= 255:
        return keyword(int(text))
    name = text.lower()
    if name not in KEYWORDS.values():
        hint = nearest(name, KEYWORDS.values())
        raise ValueError(
            f"protocol is an IANA name such as tcp, or a number up to 255, not {text!r}.{hint}"
        )
    return name
