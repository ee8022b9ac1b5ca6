"""A parsed rule as plain data: what any evaluator, by record or by column, needs to know.

    Rules = Rule; Rule; ...      a record matches if one rule does
    Rule  = Term, Term, ...      and a rule if all of its terms do
    Term  = field, operator, values

A term tests the record fields that its query field reads (`QUERY_FIELDS`): whether the value is in
one of `term.accepts`, which are already what the operator means. `bytes>=1000` accepts
`Span(1000, None)`. `!=` is the exact opposite of `=`: the term is `negated`. A null is in nothing,
not even in `*`, so it matches only `!=`.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Kind = Literal["number", "time", "address", "protocol", "choice", "text"]


@dataclass(frozen=True, slots=True)
class Span:
    """Whole numbers from `low` to `high`, both included; None is no bound. Times: epoch ms."""

    low: int | None
    high: int | None


@dataclass(frozen=True, slots=True)
class Addresses:
    """IP addresses of one version as numbers, from `low` to `high`, both included."""

    version: Literal[4, 6]
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Glob:
    """Text without regard to case: `*` stands for any characters, `?` for one.

    `pattern` is in lower case; the value is lowered before it is compared.
    """

    pattern: str

    @property
    def is_exact(self) -> bool:
        """Whether it can only match itself."""
        return "*" not in self.pattern and "?" not in self.pattern


Accept = Span | Addresses | Glob


@dataclass(frozen=True, slots=True)
class QueryField:
    """The record fields that a name in a rule reads.

    `reads` are record fields, of which one must match. If it `is_sum`, those that are not null are
    added up; it is null only if all are.
    """

    kind: Kind
    reads: tuple[str, ...]
    is_sum: bool = False
    choices: tuple[str, ...] = ()
    maximum: int = 2**63 - 1


def _one(kind: Kind, name: str, maximum: int = 2**63 - 1) -> QueryField:
    return QueryField(kind, (name,), maximum=maximum)


_PORTS = ("src_port", "dst_port")
_PACKETS = ("packets_src_to_dst", "packets_dst_to_src")
_BYTES = ("bytes_src_to_dst", "bytes_dst_to_src")
_TEXTS = (
    *("id", "log_time", "category", "resource_id", "target_resource_id"),
    *("mac", "rule", "acl_id", "encryption"),
)

QUERY_FIELDS = MappingProxyType(
    {
        "action": QueryField("choice", ("action",), choices=("allow", "deny")),
        "direction": QueryField("choice", ("direction",), choices=("inbound", "outbound")),
        "state": QueryField("choice", ("state",), choices=("begin", "continue", "end", "deny")),
        "protocol": _one("protocol", "protocol"),
        "protocol_number": _one("number", "protocol_number", maximum=255),
        "src_ip": _one("address", "src_ip"),
        "dst_ip": _one("address", "dst_ip"),
        "ip": QueryField("address", ("src_ip", "dst_ip")),
        "src_port": _one("number", "src_port", maximum=65535),
        "dst_port": _one("number", "dst_port", maximum=65535),
        "port": QueryField("number", _PORTS, maximum=65535),
        "packets": QueryField("number", _PACKETS, is_sum=True, maximum=2**64),
        "bytes": QueryField("number", _BYTES, is_sum=True, maximum=2**64),
        **{name: _one("number", name) for name in (*_PACKETS, *_BYTES)},
        "time": _one("time", "time"),
        "version": _one("number", "version"),
        **{name: _one("text", name) for name in _TEXTS},
    }
)
"""Every name that a rule may use: each field of a record, and `ip`, `port`, `packets`, `bytes`."""


@dataclass(frozen=True, slots=True)
class Term:
    """A field, and what the values of the term accept together."""

    field: str
    accepts: tuple[Accept, ...]
    negated: bool = False
    """Whether it matches what `accepts` does not."""

    @property
    def query_field(self) -> QueryField:
        """The record fields that the name reads."""
        return QUERY_FIELDS[self.field]
