from __future__ import annotations

import json
import re
from collections.abc import Iterable
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flowlog_core.parsing.framing import Damaged, Entry, Framer

HEAD = b'{"records":['
TAIL = b"]}"
BOM = b"\xef\xbb\xbf"
CAPTURES = Path(__file__).parents[2] / "shared" / "samples"

Item = Entry | Damaged


def frame(
    blob: bytes,
    cuts: Iterable[int] = (),
    *,
    offset: int = 0,
    final: bool = True,
    unparsed: str = "",
    max_entry_bytes: int = 1 << 20,
) -> list[Item]:
    """What a Framer finds in `blob` from `offset` on, cut into chunks at `cuts`.

    Holds every item, and the Framer as the item is yielded, against the blob.
    """
    before = blob[max(0, offset - 256) : offset]
    framer = Framer(offset, before, unparsed=unparsed, max_entry_bytes=max_entry_bytes)
    items: list[Item] = []

    def take(found: Iterable[Item]) -> None:
        for item in found:
            assert framer.offset == item.end > item.start >= (items[-1].end if items else offset)
            assert item.raw == blob[item.start : item.end]
            assert framer.before == blob[max(0, item.end - 256) : item.end]
            items.append(item)

    edges = [offset, *sorted(cut for cut in set(cuts) if offset < cut < len(blob)), len(blob)]
    for start, end in pairwise(edges):
        take(framer.feed(blob[start:end]))
        assert framer.pending_bytes <= max_entry_bytes + 128 + end - start
    take(framer.end(final=final))
    return items


def entries_in(items: Iterable[Item]) -> list[bytes]:
    return [item.raw for item in items if isinstance(item, Entry)]


def damage_in(items: Iterable[Item]) -> list[bytes]:
    return [item.raw for item in items if isinstance(item, Damaged)]


def parser_message(raw: bytes) -> str:
    """What orjson, whose wording varies with its version, says against `raw`."""
    with pytest.raises(orjson.JSONDecodeError) as raised:
        orjson.loads(raw)
    return str(raised.value)


# --- What is framed: entries as Azure writes them, and all that may go wrong with them

texts = st.one_of(
    st.text(st.sampled_from('{}[]"\\,: x\n\u00e9\U0001f600'), max_size=8),
    st.sampled_from(["", "2024-08-13T11:02:49.3826380Z", '{"time":"', "]}", '{"records":[', "\\"]),
)
spaces = st.text(st.sampled_from(" \t\r\n"), max_size=3).map(str.encode)


@st.composite
def entry_values(draw: st.DrawFn) -> dict[str, Any]:
    flows = draw(st.lists(st.fixed_dictionaries({"rule": texts, "flowTuples": st.lists(texts)})))
    nsg: dict[str, Any] = {
        "time": draw(texts),
        "systemId": draw(texts),
        "category": "NetworkSecurityGroupFlowEvent",
        "properties": {"Version": draw(st.integers(1, 2)), "flows": flows},
    }
    vnet: dict[str, Any] = {
        "time": draw(texts),
        "category": "FlowLogFlowEvent",
        "flowLogVersion": 4,
        "flowRecords": {"flows": [{"aclID": draw(texts), "flowGroups": flows}]},
    }
    value = draw(st.sampled_from([nsg, vnet]))
    return dict(draw(st.permutations(list(value.items()))))


@st.composite
def entries(draw: st.DrawFn) -> bytes:
    """The bytes of one valid entry."""
    text = json.dumps(
        draw(entry_values()),
        ensure_ascii=draw(st.booleans()),
        indent=draw(st.sampled_from([None, 1])),
        separators=draw(st.sampled_from([(",", ":"), (" , ", " : ")])),
    )
    return text.encode()


heads = st.sampled_from(
    [
        HEAD,
        BOM + HEAD,
        b' \n{ "records" :\t[\r\n',
        b'{"version":-1.5e3,"a":"\\"{[","b" : null , "records":[',
    ]
)
tails = st.sampled_from([TAIL, b" \n] } \n"])
cuts = st.lists(st.integers(0, 2000)) | st.just(list(range(2000)))


@st.composite
def documents(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """A whole blob and the entries in it."""
    raws = draw(st.lists(entries(), max_size=4))
    separators = [draw(spaces) + b"," + draw(spaces) for _ in raws[1:]] + [draw(spaces)]
    body = b"".join(raw + after for raw, after in zip(raws, separators, strict=False))
    return draw(heads) + body + draw(tails), raws


# Pieces of which the reader's own patterns are made, in every wrong order.
PIECES = [
    *(b'{"time":"t"', b'{"category":"c",', b'"properties":{}', b'"category":"c"', b'{ "time":[['),
    *(b'{"time":1,"category":"c","properties":{"a":[1]}}', b'{"category":"}","flowRecords":[]}'),
    *(b'{"flowTuples":["a","b"]}', b'{"flowTuples":["', b'"flowTuples":[]', b'","', b'"]}'),
    *(b'{"a":"{"}', b"{}", b'{"x":[', b'{"x":{"y":[', b'{"a":{', b"{a}", b'"category":"c'),
    *(HEAD, TAIL, BOM, b'{"a":1,', b'"records":[', b"null", b"1", b"NaN", b"\\u0061", b"\x00"),
    *(b"{", b"}", b"[", b"]", b'"', b"\\", b'\\"', b",", b":", b" ", b"\n", b"\xff", b"\xef"),
]
hostile = st.lists(st.sampled_from(PIECES) | st.binary(max_size=2), max_size=14).map(b"".join)


# --- Valid blobs


@given(documents(), cuts)
def test_every_entry_is_found_where_it_stands(
    document: tuple[bytes, list[bytes]], cuts: list[int]
) -> None:
    blob, raws = document
    items = frame(blob, cuts)
    assert entries_in(items) == raws
    assert [item.value for item in items if isinstance(item, Entry)] == [*map(json.loads, raws)]
    assert frame(blob, cuts, final=False) == items


@pytest.mark.skipif(not CAPTURES.is_dir(), reason="the folder of captures is not there")
@pytest.mark.parametrize("chunk_bytes", [1, 1000, 1 << 20])
def test_captures_are_framed_without_damage(chunk_bytes: int) -> None:
    captures = sorted(CAPTURES.glob("*.json"))
    assert captures
    for path in captures:
        blob = path.read_bytes()
        items = frame(blob, range(0, len(blob), chunk_bytes))
        values = [item.value for item in items if isinstance(item, Entry)]
        assert values == json.loads(blob)["records"]
        assert damage_in(items) == []


@pytest.mark.parametrize("final", [False, True])
@pytest.mark.parametrize("blob", [b"", b" \n", BOM, HEAD, HEAD + TAIL, BOM + HEAD + b"\n" + TAIL])
def test_a_blob_without_entries_has_no_items(blob: bytes, final: bool) -> None:
    assert frame(blob, range(len(blob)), final=final) == []


def test_concatenated_documents_are_read_as_one() -> None:
    document = HEAD + b'{"a":1},{"b":2}' + TAIL
    assert entries_in(frame(document + b"\n" + document)) == [b'{"a":1}', b'{"b":2}'] * 2


def test_an_object_of_any_shape_is_an_entry_and_of_equal_keys_the_last_counts() -> None:
    items = frame(HEAD + b'{},{"a":{"b":"}"}},{"c":1,"c":2}' + TAIL)
    assert items == [
        Entry(12, 14, b"{}", {}),
        Entry(15, 30, b'{"a":{"b":"}"}}', {"a": {"b": "}"}}),
        Entry(31, 44, b'{"c":1,"c":2}', {"c": 2}),
    ]


def test_nesting_is_limited_by_the_parser_alone() -> None:
    deep = b'{"a":' * 500 + b"[" * 500 + b"]" * 500 + b"}" * 500
    for step in (1, 1000, len(deep)):
        assert entries_in(frame(deep, range(0, len(deep), step))) == [deep]
    too_deep = b'{"a":' * 1100 + b"1" + b"}" * 1100
    (item,) = frame(HEAD + too_deep + TAIL)
    assert isinstance(item, Damaged)
    assert item.raw == too_deep
    assert item.reason == f"not valid JSON: {parser_message(too_deep)}"


# --- Reading on


@given(st.lists(st.one_of(entries(), hostile), max_size=4), st.data())
def test_a_growing_blob_yields_what_it_yields_when_read_once(
    elements: list[bytes], data: st.DataObject
) -> None:
    """The tail is committed anew behind each append, and never taken for an element's end."""
    offset, items = 0, list[Item]()
    for count in range(len(elements) + 1):
        blob = HEAD + b",".join(elements[:count]) + TAIL
        final = count == len(elements)
        found = frame(blob, data.draw(cuts), offset=offset, final=final)
        items += found
        offset = found[-1].end if found else offset
    assert items == frame(blob)


@given(st.lists(entries(), min_size=1, max_size=5))
def test_each_appended_entry_is_found_once_and_at_once(raws: list[bytes]) -> None:
    offset = 0
    for count in range(1, len(raws) + 1):
        blob = HEAD + b",".join(raws[:count]) + TAIL
        (item,) = frame(blob, offset=offset, final=False)
        assert item.raw == raws[count - 1]
        offset = item.end


def test_an_entry_cut_short_waits_and_does_not_take_the_tail_for_its_end() -> None:
    for cut_short in (b'{"a":[', b'{"a":{"b":[', b'{"a":1', b'{"a":"b', b"x", b'{"a":[x,', b"[{"):
        blob = HEAD + b'{"e":1},' + cut_short + TAIL
        for step in (1, len(blob)):
            pending = Framer()
            found = [i for at in range(0, len(blob), step) for i in pending.feed(blob[at:][:step])]
            assert entries_in([*found, *pending.end()]) == [b'{"e":1}']
            assert pending.offset == 19
            assert pending.pending_bytes == len(cut_short + TAIL)
        assert all(item.end < len(blob) - 1 for item in frame(blob) if isinstance(item, Damaged))


def test_an_unfinished_entry_is_damage_once_nothing_will_follow() -> None:
    blob = HEAD + b'{"e":1},{"a":"b", \n] } '
    assert frame(blob) == [
        Entry(12, 19, b'{"e":1}', {"e": 1}),
        Damaged(20, 28, b'{"a":"b"', "the blob ends before the entry does"),
    ]


def test_offset_and_before_stand_behind_the_item_just_yielded_and_the_rest_comes_later() -> None:
    framer = Framer()
    found = framer.feed(HEAD + b'{"a":1},{"b":2},{"c"')
    assert (framer.offset, framer.before, next(found).end) == (0, b"", 19)
    assert (framer.offset, framer.before) == (19, HEAD + b'{"a":1}')
    assert [item.raw for item in framer.feed(b":3}" + TAIL)] == [b'{"b":2}', b'{"c":3}']


# --- Damage


@given(hostile, entries(), hostile, cuts, st.sampled_from([0, 7, 1 << 20]))
@example(b"\\", b'{"time":1,"category":"","properties":{}}', b"", [], 0)
def test_a_valid_entry_is_found_whatever_surrounds_it(
    left: bytes, raw: bytes, right: bytes, cuts: list[int], spare_bytes: int
) -> None:
    items = frame(left + raw + right, cuts, max_entry_bytes=len(raw) + spare_bytes)
    assert raw in entries_in(items)


@given(st.data())
def test_damage_is_set_aside_whole_and_its_neighbours_are_found(data: st.DataObject) -> None:
    first, broken, last = (data.draw(entries()) for _ in range(3))
    start = data.draw(st.integers(0, len(broken) - 1))
    end = data.draw(st.integers(start, len(broken)))
    junk = data.draw(st.sampled_from([b"", b"\x00" * 9, b"\xff\xfe", b'"', b"\\", b"x", b'{"']))
    broken = broken[:start] + junk + broken[end:]
    items = frame(HEAD + b",".join([first, broken, last]) + TAIL, data.draw(cuts))
    assert entries_in(items)[0] == first
    assert entries_in(items)[-1] == last
    covered = b"".join(item.raw for item in items[1:-1])
    structure = b" \t\r\n,]}"
    assert covered.translate(None, structure) == broken.translate(None, structure)


@given(hostile, cuts, st.sampled_from([1, 2, 5, 20, 60, 1 << 20]))
@example(BOM + b"{}", [1, 2], 20)
def test_items_depend_on_the_bytes_alone(blob: bytes, cuts: list[int], limit: int) -> None:
    """Neither on chunks, nor on where an earlier reader stopped."""
    items = frame(blob, max_entry_bytes=limit)
    assert frame(blob, cuts, max_entry_bytes=limit) == items
    for index, item in enumerate(items, start=1):
        assert frame(blob, cuts, offset=item.end, max_entry_bytes=limit) == items[index:]
    assert all(len(item.raw) <= limit for item in items) or limit == 1 << 20


@given(hostile, tails, cuts, st.sampled_from([1, 20, 1 << 20]))
def test_no_damage_includes_the_final_tail(
    left: bytes, tail: bytes, cuts: list[int], limit: int
) -> None:
    blob = HEAD + left + tail
    tail_start = len(HEAD + left) + tail.index(b"]")
    for final in (False, True):
        found = frame(blob, cuts, final=final, max_entry_bytes=limit)
        assert all(item.end <= tail_start for item in found if isinstance(item, Damaged))


@given(hostile)
def test_between_items_there_is_nothing_but_structure(blob: bytes) -> None:
    edges = [0]
    for item in frame(blob):
        edges += [item.start, item.end]
    edges.append(len(blob))
    between = [blob[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True)]
    between[0] = between[0].removeprefix(BOM)
    head = rb'\{\s*("[^"]*"\s*:\s*("[^"]*"|[^\s",{}[\]]+)\s*,\s*)*"records"\s*:\s*\['
    without_heads = [re.sub(head, b"", gap) for gap in between]
    assert [gap.strip(b" \t\r\n,]}") for gap in without_heads] == [b""] * len(between)


@pytest.mark.parametrize(
    "broken",
    [b'{"a":x}', b'{"a":NaN}', b'{"a":"\xff"}', b'{"a":"\\ud800"}', b'{"a":"\x00"}', b'{"a" 1}'],
)
def test_an_object_that_ends_but_is_not_json_is_damage_in_the_parsers_words(broken: bytes) -> None:
    end = 12 + len(broken)
    assert frame(HEAD + broken + b" ,{}" + TAIL) == [
        Damaged(12, end, broken, f"not valid JSON: {parser_message(broken)}"),
        Entry(end + 2, end + 4, b"{}", {}),
    ]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (b'{"a":"b}', "not closed before the next entry"),
        (b'{"a":1]', "not closed before the next entry"),
        (b'{"time":1,"category":"c","properties":{', "not closed before the next entry"),
        (b'{"a":1],{"b":2}', "not closed before the next entry"),
        (b'[1,null,"x"', "not an entry"),
        (b"\x00\x00", "not an entry"),
    ],
)
def test_damage_without_an_end_reaches_to_the_next_entry(broken: bytes, reason: str) -> None:
    neighbour = b'{"time":1,"category":"c","properties":{}}'
    end = 12 + len(broken)
    assert frame(HEAD + broken + b" ,\n" + neighbour + TAIL) == [
        Damaged(12, end, broken, reason),
        Entry(end + 3, end + 3 + len(neighbour), neighbour, json.loads(neighbour)),
    ]


@pytest.mark.parametrize("inner", [b'{"category":"c"}', b'{"time":1,"properties":{}}'])
def test_an_object_that_only_begins_like_an_entry_is_part_of_the_one_around_it(
    inner: bytes,
) -> None:
    whole = b'{"time":1,"category":"c","properties":' + inner + b"}"
    for step in (1, len(whole)):
        assert entries_in(frame(whole, range(0, len(whole), step))) == [whole]


def test_what_can_no_longer_be_an_entry_is_not_taken_for_a_neighbours_beginning() -> None:
    """With its strings and structure swapped, the `{"time":{]` in here opens, but cannot close."""
    broken = b'{"a":"{"time":{]"}'
    assert [item.raw for item in frame(HEAD + broken + b",{}" + TAIL)] == [broken, b"{}"]


def test_an_entry_within_what_looks_like_one_is_an_entry() -> None:
    """No format nests entries: where one shows within another, the outer one lost its end."""
    neighbour = b'{"time":1,"category":"c","properties":{}}'
    whole = b'{"time":1,"x":[' + neighbour + b"]}"
    for step in (1, len(whole)):
        items = frame(whole, range(0, len(whole), step))
        assert [(type(item), item.raw) for item in items] == [
            (Damaged, b'{"time":1,"x":['),
            (Entry, neighbour),
        ]


# --- Size


def test_what_is_too_large_is_damaged_piece_by_piece_and_the_next_entry_found() -> None:
    neighbour = b'{"time":1,"category":"c","properties":{}}'
    large = b'{"time":"' + b"x" * 1000 + b'"}'
    blob = HEAD + large + b"," + neighbour + TAIL
    for step in (1, 50, len(blob)):
        items = frame(blob, range(0, len(blob), step), max_entry_bytes=100)
        assert b"".join(damage_in(items)) == large
        assert entries_in(items) == [neighbour]
        assert [item.reason for item in items[:2] if isinstance(item, Damaged)] == [
            "larger than 100 bytes"
        ] * 2


def test_a_head_longer_than_an_entry_may_be_is_damage_in_whatever_chunks() -> None:
    blob = b'{"a":"' + b"x" * 200 + b'","records":[{"b":1}]}'
    expected = frame(blob, [], max_entry_bytes=50)
    assert len(expected) == 5
    for cut in range(1, len(blob)):
        assert frame(blob, [cut], max_entry_bytes=50) == expected


def test_where_memory_is_short_an_entry_is_not_taken_for_damage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The parser says so in words alone. The entry comes out of the next Framer."""
    parser = find_spec("orjson.orjson")
    assert parser is not None
    assert b"Not enough memory" in Path(str(parser.origin)).read_bytes()
    loads = orjson.loads

    def short(raw: bytes) -> Any:
        if len(raw) > 1000:
            raise orjson.JSONDecodeError("Not enough memory to allocate buffer", "", 0)
        return loads(raw)

    small, large = b'{"time":1}', b'{"time":"\\n' + b"x" * 2000 + b'"}'
    blob = HEAD + small + b"," + large + TAIL
    framer = Framer()
    with monkeypatch.context() as patch:
        patch.setattr(orjson, "loads", short)
        items = framer.feed(blob)
        assert next(items).raw == small
        with pytest.raises(MemoryError, match="Not enough memory"):
            next(items)
    again = Framer(framer.offset, framer.before)
    assert [item.raw for item in again.feed(blob[framer.offset :])] == [large]


def test_an_entry_of_just_the_largest_size_is_an_entry() -> None:
    raw = b'{"a":"' + b"x" * 92 + b'"}'
    assert entries_in(frame(raw, range(100), max_entry_bytes=100)) == [raw]
    assert entries_in(frame(raw, range(100), max_entry_bytes=99)) == []


@given(documents(), cuts, st.booleans())
def test_the_first_entry_is_set_aside_without_a_look_into_it(
    document: tuple[bytes, list[bytes]], at: list[int], final: bool
) -> None:
    blob, raws = document
    expected = frame(blob)
    if raws:
        start, end, raw, _ = expected[0]
        expected[0] = Damaged(start, end, raw, "why")
    assert frame(blob, at, final=final, unparsed="why") == expected


def test_what_is_set_aside_is_never_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    def die(raw: bytes) -> Any:
        raise AssertionError(raw)

    monkeypatch.setattr(orjson, "loads", die)
    raw = b'{"time":{"records":[{"flows":[{}]}]}}'
    assert damage_in(frame(HEAD + raw + TAIL, unparsed="why")) == [raw]


@pytest.mark.parametrize(
    ("blob", "raws"),
    [
        (b',{"a":[[1 ]}', [b'{"a":[[1']),
        (b'x,{"time":1}]}', [b"x", b'{"time":1}']),
        (b'{"time":[{"a":"]}', [b'{"time":[{"a":"']),
        (b'{"time":"\n', [b'{"time":"']),
        (b" ]}", []),
        (HEAD, []),
        (b"", []),
    ],
    ids=repr,
)
def test_what_is_set_aside_ends_before_an_entry_or_the_final_brackets(
    blob: bytes, raws: list[bytes]
) -> None:
    for cut in range(len(blob)):
        items = frame(blob, [cut], final=False, unparsed="why")
        assert [item.raw for item in items] == raws
        assert [isinstance(item, Damaged) for item in items] == [at == 0 for at in range(len(raws))]


@pytest.mark.parametrize("end", [b"", b"]}", b',{"time":1}]}'], ids=["no-end", "tail", "entry"])
def test_of_what_is_too_large_only_a_piece_is_set_aside_at_once(end: bytes) -> None:
    large = b'{"time":[' + b"12," * 200
    blob = HEAD + large + end
    for cut in range(1, len(blob), 7):
        items = frame(blob, [cut], max_entry_bytes=100, unparsed="why")
        assert items[0] == Damaged(12, 110, blob[12:110], "why")
        assert {item.reason for item in items[1:] if isinstance(item, Damaged)} <= {
            "larger than 100 bytes",
            "not an entry",
        }


def test_a_limit_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="must be positive, not 0"):
        Framer(max_entry_bytes=0)


@pytest.mark.parametrize(
    "bomb",
    [
        pytest.param(b"{" * 200_000, id="braces"),
        pytest.param(b"[" * 200_000, id="brackets"),
        pytest.param(b'"' * 200_000, id="quotes"),
        pytest.param(b"\\" * 200_000, id="backslashes"),
        pytest.param(b'{"time":' * 100_000, id="nested-starts"),
        pytest.param(b'{"time":' * 100_000 + b"1" + b"}" * 100_000, id="nested-and-closed"),
        pytest.param(b'{"time":1,"category":"x",' * 100_000, id="starts"),
        pytest.param(b'{"time":"x,"category":"{"time":1}",' * 25_000, id="quotes-lost"),
        pytest.param(b"x" + b" {" * 200_000, id="white-space"),
        pytest.param(b'{"a":1,' * 100_000, id="heads"),
        pytest.param(b'{"a":"},' * 50_000, id="strings-inside-out"),
        pytest.param(b'{"flowTuples":["a","]},' * 25_000, id="tuples-inside-out"),
        pytest.param(b'{"flowTuples":["' + b'","' * 100_000, id="tuples-without-end"),
    ],
)
def test_hostile_input_takes_linear_time_and_hides_no_entry(bomb: bytes) -> None:
    """With quadratic work any of these would take a minute."""
    neighbour = b'{"time":1,"category":"c","properties":{}}'
    items = frame(HEAD + bomb + neighbour + TAIL, range(0, len(bomb), 1 << 16))
    assert entries_in(items) == [neighbour]
    assert items[-1].raw == neighbour


def test_many_small_items_take_linear_time() -> None:
    """A brace in a string fools the quick guess, which must not start over for each entry."""
    assert entries_in(frame(b'{"{":1},' * 20_000)) == [b'{"{":1}'] * 20_000
    broken = b'{"time":1,{"time":1,"category":"","properties":1},'
    assert damage_in(frame(broken * 10_000)) == [b'{"time":1'] * 10_000
