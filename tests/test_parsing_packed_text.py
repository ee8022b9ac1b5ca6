"""Texts that are kept compressed read like those that are not."""

from __future__ import annotations

import tracemalloc

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlog_core.parsing import ParsedEntry, packed_text, read
from flowlog_core.parsing.entry import normalize
from flowlog_core.parsing.packed_text import PackedText
from flowlog_core.parsing.recovery import MAX_KEPT_BYTES

TEXTS = st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"])))


@given(TEXTS, st.integers(1, 30), st.integers(-9, 9), st.integers(-9, 9))
def test_it_reads_like_a_list(texts: list[str], block: int, start: int, stop: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed_text, "_BLOCK_CHARACTERS", block)
        packed = PackedText()
        packed.extend(texts[:2])
        packed.extend(texts[2:])
    assert len(packed) == len(texts)
    assert list(packed) == texts
    assert packed[start:stop] == texts[start:stop]
    assert [packed[at] for at in range(-len(texts), len(texts))] == texts * 2
    with pytest.raises(IndexError):
        packed[len(texts)]


def test_records_of_a_large_entry_are_packed_and_are_the_same() -> None:
    raw = (
        b'{"time":"t","category":"FlowLogFlowEvent","flowLogVersion":4,"flowLogResourceID":"%b",'
        b'"flowRecords":{"flows":[{"aclID":"a","flowGroups":[{"rule":"r","flowTuples":[%b]}]}]}}'
    )
    tuples = (
        b'"17672255%05d,10.0.1.4,203.0.113.60,%d,443,6,O,B,NX,0,0,0,0"' % (at, at)
        for at in range(5000)
    )
    entry = raw % (b"/S" * 200, b",".join(tuples))
    assert len(entry) > MAX_KEPT_BYTES
    tracemalloc.start()
    (item,) = read([entry], str)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(item, ParsedEntry)
    expected = normalize(orjson.loads(entry), "0.").lines
    assert len(expected) == 5000
    assert list(item.lines) == list(expected)
    assert isinstance(item.lines, PackedText)
    assert item.lines[100:4000] == expected[100:4000]
    assert held < 1_500_000 < 5000 * len(expected[0])
