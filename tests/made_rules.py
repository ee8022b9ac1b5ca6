"""Texts of rules for tests: any field, any operator, values that records have."""

from __future__ import annotations

from hypothesis import strategies as st

from flowlog_core.shape.terms import QUERY_FIELDS

_TIMES = ["2026-01-31", "2024-12-31T09", "2024-12-31T09:10", "1970-01-01T00:00:00", "9999-12-31"]
_VALUES: dict[str, list[str]] = {
    "number": ["0", "443", "1-1023", "1000-65535", "6", "*"],
    "time": [*_TIMES, "2024-12-31T09:10:59.007", "*"],
    "address": [
        "10.0.0.0/8",
        "0.0.0.0/0",
        "::/0",
        "::1",
        "10.0.0.1",
        "10.0.0.0-172.31.255.255",
        "172.16.0.0/12",
        "192.168.0.0-192.168.0.255",
        "*",
    ],
    "protocol": ["tcp", "17", "udp", "253", "icmp", "0", "*"],
    "text": [
        "*",
        "?*",
        "Default*",
        "*deny*",
        "000D3AF87856",
        "nx",
        "*/s/*",
        "unspecified",
        "x[1]*",
    ],
}


@st.composite
def term_texts(draw: st.DrawFn) -> str:
    name = draw(st.sampled_from(sorted(QUERY_FIELDS)))
    field = QUERY_FIELDS[name]
    values = _VALUES.get(field.kind, [*field.choices, "*"])
    if field.maximum == 255:
        values = ["0", "6-17", "255"]
    compared = field.kind in ("number", "time")
    operator = draw(st.sampled_from(["=", "!=", *([">=", "<=", ">", "<"] if compared else [])]))
    if operator in ("=", "!="):
        return f"{name}{operator}{','.join(draw(st.lists(st.sampled_from(values), min_size=1)))}"
    one = draw(
        st.sampled_from([value for value in values if value != "*" and value[1:4] != "000-"])
    )
    return f"{name}{operator}{one if field.kind == 'time' else one.partition('-')[0]}"


rule_texts = st.lists(st.lists(term_texts(), min_size=1, max_size=3).map(",".join), max_size=3).map(
    ";".join
)
