"""Damaged documents: those in seeds.txt and a few hundred others; faults are detected."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowlog_core.parsing.framing import Damaged, Entry, Framer
from fuzz.fuzz_documents import ENTRIES, fuzz_document
from fuzz.fuzz_oracle import BrokenPromiseError, check

KEPT = [
    int(line.partition("#")[0])
    for line in (Path(__file__).parent / "seeds.txt").read_text(encoding="utf-8").splitlines()
    if line.partition("#")[0].strip()
]


@pytest.mark.parametrize("seed", KEPT)
def test_a_kept_seed_breaks_no_promise(seed: int) -> None:
    check(fuzz_document(seed), seed)


@given(st.integers(min_value=0))
# A failing seed is printed: add it to seeds.txt. `python -m bench.fuzz` tries millions.
@settings(max_examples=300, database=None)
def test_a_random_document_breaks_no_promise(seed: int) -> None:
    check(fuzz_document(seed), seed)


def test_a_seed_gives_the_same_document_each_time() -> None:
    documents = [fuzz_document(seed) for seed in range(500)]
    assert documents == [fuzz_document(seed) for seed in range(500)]
    assert len({document.blob for document in documents}) > 450


def test_untouched_entries_stand_where_it_is_said() -> None:
    count = 0
    for seed in range(500):
        document = fuzz_document(seed)
        for start, index in document.untouched:
            count += 1
            assert document.blob.startswith(ENTRIES[index], start)
    assert count > 500


Items = Iterator[Entry | Damaged]


class ForgetsDamage(Framer):
    """Yields the entries and nothing else."""

    def feed(self, data: bytes) -> Items:
        return (item for item in super().feed(data) if isinstance(item, Entry))


class LosesWhatFollowsDamage(Framer):
    """Skips an entry behind damage."""

    def feed(self, data: bytes) -> Items:
        after_damage = False
        for item in super().feed(data):
            if not after_damage:
                yield item
            after_damage = isinstance(item, Damaged)


class NeverWaits(Framer):
    """Takes what is committed now for all there will be."""

    def end(self, *, final: bool = False) -> Items:  # noqa: ARG002 - that is the fault
        return super().end(final=True)


class EndsWithEachChunk(Framer):
    """Takes a chunk for all there is."""

    def feed(self, data: bytes) -> Items:
        yield from super().feed(data)
        yield from self.end(final=True)


class RaisesOnDamage(Framer):
    """Has an input that it does not bear."""

    def feed(self, data: bytes) -> Items:
        for item in super().feed(data):
            if isinstance(item, Damaged):
                raise TypeError(item.reason)
            yield item


@pytest.mark.parametrize(
    ("faulty", "error", "promise"),
    [
        (ForgetsDamage, BrokenPromiseError, "the offset is not behind the last item"),
        (LosesWhatFollowsDamage, BrokenPromiseError, "is in no item"),
        (NeverWaits, BrokenPromiseError, "the items depend on how the blob grew"),
        (EndsWithEachChunk, BrokenPromiseError, "the items depend on the chunks"),
        (RaisesOnDamage, TypeError, "not an entry"),
    ],
)
def test_a_faulty_reader_is_caught(
    faulty: type[Framer], error: type[Exception], promise: str
) -> None:
    caught = [found for seed in range(300) if (found := failure_of(seed, faulty))]
    assert {type(one) for one in caught} == {error}
    assert any(promise in str(one) for one in caught)


def failure_of(seed: int, faulty: type[Framer]) -> Exception | None:
    try:
        check(fuzz_document(seed), seed, faulty)
    except Exception as error:  # noqa: BLE001 - the fuzzer catches all, too
        return error
    return None
