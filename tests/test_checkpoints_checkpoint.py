"""Checkpoint keys, the digest of the bytes before the offset, and the owner of a claim."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from flowlog_core.blob import BlobRef, LogBlob
from flowlog_core.checkpoints.checkpoint import (
    Checkpoint,
    CheckpointKey,
    checkpoint_key,
    seam_of,
    table_key,
)
from flowlog_core.testing.memory import some_blob

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LEGAL_KEY = re.compile(r"[^/\\#?%\x00-\x1f\x7f-\x9f]*")


def renamed(name: str) -> BlobRef:
    log = LogBlob.parse(name)
    assert log is not None
    return BlobRef("exampleaccount", "logs", log)


def test_a_checkpoint_key_is_readable_and_sorts_by_hour() -> None:
    assert checkpoint_key(some_blob(hour=7)) == CheckpointKey(
        "exampleaccount|insights-logs-example|SUBSCRIPTIONS|00000000-0000-0000-0000-000000000000"
        "|RESOURCEGROUPS|EXAMPLE|PROVIDERS|MICROSOFT.NETWORK|NETWORKSECURITYGROUPS|EXAMPLE-NSG",
        "2026-01-01T07Z|000D3AF87856|4097e1fb971b",
    )
    rows = [checkpoint_key(some_blob(hour=hour)).row for hour in range(24)]
    assert rows == sorted(rows)


def test_a_blob_can_be_read_back_from_its_words() -> None:
    assert BlobRef.parse(str(some_blob())) == some_blob()
    assert BlobRef.parse("the sweep") is None


def test_names_that_differ_in_letter_case_alone_have_checkpoints_of_their_own() -> None:
    name = some_blob().name
    keys = {checkpoint_key(renamed(n)) for n in (name, name.replace("resourceId", "RESOURCEID"))}
    assert len(keys) == 2


@given(st.text(max_size=1200))
def test_every_text_becomes_a_legal_table_key(text: str) -> None:
    key = table_key(text)
    assert LEGAL_KEY.fullmatch(key)
    assert len(key.encode("utf-16-le")) <= 1024


@given(
    st.text(alphabet="ab/|!2f\\#\x00é", max_size=8), st.text(alphabet="ab/!2f\\#\x00é", max_size=8)
)
def test_texts_without_a_bar_never_share_a_table_key(one: str, other: str) -> None:
    one = one.replace("|", "")
    assert (table_key(one) == table_key(other)) == (one == other)


def test_long_texts_with_the_same_beginning_have_different_keys() -> None:
    assert table_key("x" * 600 + "1") != table_key("x" * 600 + "2")


def test_the_seam_is_of_the_last_256_bytes_and_empty_where_there_are_none() -> None:
    assert seam_of(b"") == ""
    assert seam_of(b"other" + b"x" * 256) == seam_of(b"x" * 256)
    assert seam_of(b"x" * 255) != seam_of(b"x" * 256)
    assert seam_of(b"other" + b"x" * 64, 64) == seam_of(b"x" * 64) != seam_of(b"x" * 65)


def test_a_claim_is_anothers_only_while_it_lasts() -> None:
    held = Checkpoint("blob", owner="a", owned_until=NOW)
    before, after = NOW - timedelta(seconds=1), NOW + timedelta(seconds=1)
    assert [held.owned_by_another("b", when) for when in (before, NOW, after)] == [
        True,
        False,
        False,
    ]
    assert not held.owned_by_another("a", before)
    assert not Checkpoint("blob").owned_by_another("b", before)
