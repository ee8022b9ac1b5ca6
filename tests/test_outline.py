"""An outline stands for its entry: valid where that is, and good for the same records."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from test_compiled import needs_compiler

from flowlog_core.compiled import outline
from flowlog_core.framing import Entry, Framer
from flowlog_core.normalize import Normalized, UnreadableEntry, normalize
from flowlog_core.outline import Outline

pytestmark = needs_compiler

PREFIX = "0123456789abcdef01234567.0.12."
TUPLE = "1525186745,192.168.1.4,10.0.0.4,55960,3389,T,I,A"
RAW = (
    b'{"time":"2018","category":"NetworkSecurityGroupFlowEvent","properties":{"Version":1,"flows":['
    b'{"rule":"r","flows":[{"mac":"m","flowTuples":["%b","%b"]},{"flowTuples":[]}]}]}}'
) % (TUPLE.encode(), TUPLE.encode())


def outlined(raw: bytes, limit: int | None = None) -> tuple[int, bytes | None]:
    assert outline is not None
    return outline(bytearray(raw), 0, len(raw) if limit is None else limit)


def filled_in(value: Any, raw: bytes) -> Any:
    """`value` with the tuples that it says are in `raw`."""
    if isinstance(value, list):
        return [filled_in(one, raw) for one in value]
    if not isinstance(value, dict):
        return value
    whole = {key: filled_in(one, raw) for key, one in value.items()}
    if "flowTuples" in value:
        start, count = value["flowTuples"]
        end = start
        for _ in range(count):
            end = raw.index(b'"', end + 1) + 1
            assert raw[end : end + 1] in b",]"
            end += raw[end : end + 1] == b","
        whole["flowTuples"] = json.loads(b"[" + raw[start:end] + b"]")
    return whole


def normalized(entry: object, *, compiled: bool = True) -> Normalized | str:
    try:
        return normalize(entry, PREFIX, compiled=compiled)
    except UnreadableEntry as error:
        return error.reason


def test_tuples_are_left_where_they_are() -> None:
    start = RAW.index(TUPLE.encode()) - 1
    end = RAW.index(b"]", start)
    empty = RAW.index(b"[]") + 1
    text = RAW[:start] + f"{start},2".encode() + RAW[end:]
    assert outlined(RAW + b",{}") == (len(RAW), text.replace(b"[]", f"[{empty},0]".encode()))


@pytest.mark.parametrize("limit", [1, 2, 30, 100, len(RAW) - 1])
def test_what_ends_later_was_read_to_its_limit(limit: int) -> None:
    assert outlined(RAW, limit) == (limit, None)
    assert outlined(RAW[:limit]) == (limit, None)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":"\\\\"}',
        b'{"flow\\u0054uples":[1]}',
        b'{"flowTuples":["\\""]}',
        b'{"flowTuples":["\xc3\xa9"]}',
        b'{"flowTuples":["\x1f"]}',
        b'{"flowTuples": ["a"]}',
        b'{"flowTuples":[ "a"]}',
        b'{"flowTuples":["a" ]}',
        b'{"flowTuples":["a", "b"]}',
        b'{"flowTuples":["a",5]}',
        b'{"flowTuples":["a",]}',
        b'{"flowTuples":["a"}',
        b'{"flowTuples":5}',
        b'{"x":"flowTuples"}',
        b'{"flowTuples":[["a"]]}',
        b'{"records":[{}]}',
        b'{"a":' + b"[" * 64 + b"]" * 64 + b"}",
    ],
)
def test_what_is_not_plain_is_left_to_python(raw: bytes) -> None:
    end, text = outlined(raw)
    assert text is None
    assert 0 < end <= len(raw)


@pytest.mark.parametrize("arguments", [(), (b"{}", 0), ("{}", 0, 2), (b"{}", "0", 2), ([], 0, 2)])
def test_it_takes_bytes_a_place_and_a_limit(arguments: tuple[Any, ...]) -> None:
    assert outline is not None
    with pytest.raises(TypeError):
        outline(*arguments)


@pytest.mark.parametrize(
    ("raw", "at", "limit"),
    [
        *[(b"", 0, 0), (b"", 0, 1), (b"{}", 0, 0), (b"{}", 0, -1), (b"[]", 0, 2), (b"{}", 1, 1)],
        *[(b"{}", 2, 2), (b"{}", -2, 2), (b"{}", 2**62, 2), (b"{}", -(2**62), 2)],
    ],
)
def test_it_begins_with_an_object(raw: bytes, at: int, limit: int) -> None:
    assert outline is not None
    with pytest.raises(ValueError, match="no object begins there"):
        outline(raw, at, limit)


@given(st.binary(max_size=40), st.integers(0, 400))
def test_it_reads_alike_wherever_the_object_stands(before: bytes, limit: int) -> None:
    assert outline is not None
    found = outline(RAW, 0, limit + 1)
    assert outline(before + RAW, len(before), limit + 1) == found
    assert outline(bytearray(before + RAW), len(before), limit + 1) == found


tuples = st.lists(
    st.sampled_from([TUPLE, TUPLE[:-1] + "D", "?", "", "]", "[", "{", "}", ",", "],[", "{}"])
    | st.text(st.characters(max_codepoint=0x2FF), max_size=4),
    max_size=4,
)
groups = st.lists(
    st.fixed_dictionaries(
        {"mac": st.sampled_from(["m", None, "é"]), "flowTuples": tuples},
        optional={"flowTuples ": tuples, "more": st.fixed_dictionaries({"flowTuples": tuples})},
    )
    | st.sampled_from([{}, {"flowTuples": None}, {"flowTuples": 0}, 5]),
    max_size=3,
)
entries = st.fixed_dictionaries(
    {
        "category": st.sampled_from(["NetworkSecurityGroupFlowEvent"] * 3 + ["x"]),
        "properties": st.fixed_dictionaries(
            {
                "Version": st.sampled_from([1, 1, 1, 2, 3]),
                "flows": st.lists(st.fixed_dictionaries({"rule": st.just("r"), "flows": groups})),
            }
        ),
    },
    optional={"flowTuples": tuples, "time": st.none() | st.text(max_size=2)},
)


@given(entries, st.booleans(), st.sampled_from([(",", ":"), (", ", ":"), (",", ": ")]))
def test_an_outline_makes_the_records_that_its_entry_makes(
    value: dict[str, Any], is_ascii: bool, separators: tuple[str, str]
) -> None:
    raw = json.dumps(value, ensure_ascii=is_ascii, separators=separators).encode()
    end, text = outlined(raw)
    if text is None:
        return
    assert end == len(raw)
    assert filled_in(orjson.loads(text), raw) == value
    one = Outline(raw, orjson.loads(text))
    assert one.whole() == value
    expected = normalized(value, compiled=False)
    assert normalized(one) == normalized(one, compiled=False) == expected


PIECES = [
    *(b'"flowTuples":[', b'"flowTuples":["a"]', b'"flowTuples":["a","b"]', b'"flowTuples":[]'),
    *(b'["', b'"]', b'","', b"]", b"[", b"{", b"}", b",", b":", b'"', b"\\", b"1", b"a", b"null"),
    *(
        b" ",
        b"\n",
        b"\x00",
        b"\x7f",
        b"\xc3\xa9",
        b"\xff",
        b'"a":',
        b'{"a":{',
        b"}}",
        b'"flowTuples"',
    ),
]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join), st.binary(max_size=3))
@example(b'"flowTuples":["a","]}', b"")
@example(b'"a":"b"flowTuples":["c"]}', b"")
@example(b'"a":{"flowTuples":["b"]],"c":1}', b"")
def test_an_outline_is_valid_just_where_its_object_is(inside: bytes, behind: bytes) -> None:
    raw = b"{" + inside + behind
    end, text = outlined(raw)
    if text is None:
        return
    try:
        value = orjson.loads(raw[:end])
    except orjson.JSONDecodeError:
        with pytest.raises(orjson.JSONDecodeError):
            orjson.loads(text)
    else:
        assert filled_in(orjson.loads(text), raw) == value


def test_a_frame_holds_an_outline_where_the_entry_is_plain() -> None:
    escaped = RAW.replace(b'"r"', b'"\\u0072"')
    found = list(Framer().feed(b'{"records":[' + RAW + b"," + escaped + b"]}"))
    kinds = [(type(item.parsed), item.raw) for item in found if isinstance(item, Entry)]
    assert kinds == [(Outline, RAW), (dict, escaped)]
    one, other = (item for item in found if isinstance(item, Entry))
    assert one.value == other.value == orjson.loads(RAW)
    assert normalized(one.parsed) == normalized(other.parsed)
