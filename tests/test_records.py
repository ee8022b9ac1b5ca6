from __future__ import annotations

import string

from hypothesis import given
from hypothesis import strategies as st

from flowlog_core.records import FIELDS, Source, entry_id, message_id, record_id

SOURCE = Source("account", "insights-logs-flowlogflowevent", "a/b/PT1H.json", 3)
sources = st.builds(Source, st.text(), st.text(), st.text(), st.integers(0, 9))


def test_the_ids_are_golden() -> None:
    """Ids are stored by those who receive records: they may never change."""
    assert SOURCE.digest == "1ac97302da9547d356eed5bf"
    assert record_id(SOURCE, 12, 0) == "1ac97302da9547d356eed5bf.3.12.0"
    assert entry_id(SOURCE, 12) == "1ac97302da9547d356eed5bf.3.12"
    assert message_id(entry_id(SOURCE, 12), 0) == "1ac97302da9547d356eed5bf.3.12.p0"


def test_the_fields_are_those_of_the_documented_record() -> None:
    assert FIELDS == (
        *("id", "time", "log_time", "category", "version"),
        *("resource_id", "target_resource_id", "mac", "rule", "acl_id"),
        *("src_ip", "src_port", "dst_ip", "dst_port", "protocol", "protocol_number"),
        *("direction", "action", "state", "encryption"),
        *("packets_src_to_dst", "bytes_src_to_dst", "packets_dst_to_src", "bytes_dst_to_src"),
    )


@given(sources)
def test_a_digest_is_24_hexadecimal_digits(source: Source) -> None:
    assert len(source.digest) == 24
    assert set(source.digest) <= set(string.hexdigits.lower())


@given(sources, st.integers(0, 9))
def test_the_digest_stands_for_the_blob_whatever_its_generation(
    source: Source, generation: int
) -> None:
    other = Source(source.account, source.container, source.blob, generation)
    assert other.digest == source.digest


@given(st.text('a\0/,"\\', max_size=9), st.data())
def test_names_that_join_to_the_same_text_stay_apart(text: str, data: st.DataObject) -> None:
    def split() -> Source:
        first, second = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
        return Source(text[:first], text[first:second], text[second:], 0)

    one, other = split(), split()
    assert (one.digest == other.digest) == (one == other)


positions = st.tuples(sources, st.integers(0), st.integers(0))


@given(positions, positions)
def test_two_positions_never_share_an_id(
    one: tuple[Source, int, int], other: tuple[Source, int, int]
) -> None:
    messages = [message_id(entry_id(source, at), part) for source, at, part in (one, other)]
    assert (record_id(*one) == record_id(*other)) == (one == other)
    assert (messages[0] == messages[1]) == (one == other)
    assert record_id(*one) != messages[1]
