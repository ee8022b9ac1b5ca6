"""Where an entry ends by its brackets alone."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlog_core.parsing.unparsed import element_by_brackets, first_element

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
BEFORE = st.sampled_from([b"", b",", b'{"records":[', b'\xef\xbb\xbf{"records": [', b" ]},\n"])
AFTER = st.sampled_from([b"]}", b",", b',{"time":1', b""])


@given(BEFORE, st.dictionaries(st.text(max_size=9), VALUES), AFTER)
def test_any_object_is_found_as_it_was_written(before: bytes, value: object, after: bytes) -> None:
    raw = orjson.dumps(value)
    found = element_by_brackets(bytearray(before + raw + after))
    assert found == (len(before), len(before) + len(raw))


@pytest.mark.parametrize("cut", [b'{"a":[1', b'{"a":"}"', b'{"a":"\\"}', b"{", b"", b"x"])
def test_what_does_not_end_has_no_end(cut: bytes) -> None:
    assert element_by_brackets(bytearray(b"," + cut)) == (1, None)


def test_an_element_goes_on_in_the_bytes_that_follow() -> None:
    following = iter([b"2,", b"3]},{}]}", b"not taken"])
    assert first_element(b',{"a":[1,', following) == (1, b',{"a":[1,2,3]}')
    assert list(following) == [b"not taken"]


@pytest.mark.parametrize(
    ("data", "cut"), [(b',{"a":[[1 ]}', b',{"a":[[1'), (b" ]}", b" ]}"), (b"x]}", b"x")]
)
def test_an_element_without_an_end_is_cut_before_the_final_brackets(
    data: bytes, cut: bytes
) -> None:
    start, passed = first_element(data, [])
    assert (passed, start < len(passed)) == (cut, True)
