"""The values of a rule's terms, read by the kind of their field."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from flowlog_core.parsing.protocols import KEYWORDS
from flowlog_core.shape.accepted import milliseconds, protocol_name
from flowlog_core.shape.terms import (
    QUERY_FIELDS,
    Accept,
    Addresses,
    Glob,
    Operator,
    QueryField,
    Span,
)

_NUMBER = re.compile(r"[0-9]{1,20}")
_MAC = re.compile(r"[0-9a-f]{2}([:-])[0-9a-f]{2}(?:\1[0-9a-f]{2}){4}", re.IGNORECASE)
_TIME = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})(?:T(?P<hour>[01][0-9]|2[0-3])(?P<minute>:[0-9]{2})?"
    r"(?P<second>:[0-9]{2})?(?P<ms>\.[0-9]{3})?)?Z?"
)
_ANY_ADDRESS = (Addresses(4, 0, 2**32 - 1), Addresses(6, 0, 2**128 - 1))


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that names what may have been meant, or nothing."""
    near = difflib.get_close_matches(name.lower(), list(known), n=1)
    return f" Did you mean {near[0]}?" if near else ""


def accepts_of(field: str, text: str) -> tuple[Accept, ...]:
    """What a value accepts; raises ValueError with what was expected."""
    query_field = QUERY_FIELDS[field]
    match query_field.kind:
        case "number":
            return (Span(None, None) if text == "*" else _span(field, query_field, text),)
        case "time":
            return (Span(None, None) if text == "*" else _period(text),)
        case "address":
            return _ANY_ADDRESS if text == "*" else (_addresses(field, text),)
        case "text":
            plain = text.replace("-", "").replace(":", "") if _MAC.fullmatch(text) else text
            return (Glob((plain if field == "mac" else text).lower()),)
        case "protocol":
            return (Glob(text if text == "*" else _protocol(text)),)
        case "choice":
            lowered = text.lower()
            if text != "*" and lowered not in query_field.choices:
                known = " or ".join(query_field.choices)
                hint = nearest(text, query_field.choices)
                raise ValueError(f"{field} is {known}, not {text!r}.{hint}")
            return (Glob(lowered),)


def compared(field: str, operator: Operator, text: str) -> Span:
    """What a comparison with a value accepts; raises ValueError with what was expected."""
    query_field = QUERY_FIELDS[field]
    if query_field.kind == "time":
        span = _period(text)
    else:
        number = _whole_number(field, query_field, text)
        span = Span(number, number)
    assert span.low is not None  # noqa: S101 - both make spans with two ends
    assert span.high is not None  # noqa: S101
    match operator:
        case ">=":
            return Span(span.low, None)
        case ">":
            return Span(span.high + 1, None)
        case "<=":
            return Span(None, span.high)
        case _:
            return Span(None, span.low - 1)


def _whole_number(field: str, query_field: QueryField, text: str) -> int:
    if _NUMBER.fullmatch(text) is None or int(text) > query_field.maximum:
        raise ValueError(f"{field} is a whole number up to {query_field.maximum}, not {text!r}")
    return int(text)


def _span(field: str, query_field: QueryField, text: str) -> Span:
    first, dash, last = text.partition("-")
    low = _whole_number(field, query_field, first.strip())
    high = _whole_number(field, query_field, last.strip()) if dash else low
    if low > high:
        raise ValueError(f"the range {text} begins above its end")
    return Span(low, high)


def _period(text: str) -> Span:
    """All milliseconds that begin with what was written: a day, hour, minute, second or one."""
    match = _TIME.fullmatch(text)
    parts = match.group("ms", "second", "minute", "hour") if match else ()
    # Each part needs the one before it.
    if match is None or list(map(bool, parts)) != sorted(map(bool, parts)):
        raise ValueError(f"expected a UTC time such as 2026-01-31T09 or 2026-01-31, not {text!r}")
    ms, second, minute, hour = parts
    whole = f"{match['day']}T{hour or '00'}{minute or ':00'}{second or ':00'}{ms or '.000'}+00:00"
    try:
        low = milliseconds(whole)
    except ValueError:
        raise ValueError(f"no calendar has the time {text!r}") from None
    if ms:
        return Span(low, low)
    length = timedelta(seconds=1) if second else timedelta(minutes=1) if minute else None
    length = length or (timedelta(hours=1) if hour else timedelta(days=1))
    return Span(low, low + length // timedelta(milliseconds=1) - 1)


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
        return protocol_name(str(int(text)))
    name = text.lower()
    if name not in KEYWORDS.values():
        hint = nearest(name, KEYWORDS.values())
        raise ValueError(
            f"protocol is an IANA name such as tcp, or a number up to 255, not {text!r}.{hint}"
        )
    return name
