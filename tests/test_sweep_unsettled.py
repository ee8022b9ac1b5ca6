"""The search for claims that ran out: in a large table, one sweep goes on where another stopped."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import pytest

from flowlog_core.checkpoints.checkpoint import Checkpoint, CheckpointKey, Failure
from flowlog_core.errors import Conflict, Refused, Unavailable
from flowlog_core.sweep.cursor import Container, Cursor, StoredCursor
from flowlog_core.sweep.unsettled import SEARCH, unsettled_pages
from flowlog_core.testing.memory import EPOCH, MemoryCheckpoints, MemoryCursors

NOW = EPOCH + timedelta(days=1)
FAILED = Checkpoint("", failure=Failure(1, EPOCH, "busy"))


class World:
    """A table of nine failed blobs, three a page, and the cursors."""

    def __init__(self) -> None:
        self.checkpoints, self.cursors = MemoryCheckpoints(), MemoryCursors()
        self.checkpoints.rows_a_page = 3
        for number in range(9):
            key = CheckpointKey("account|logs|resource", f"row {number}")
            self.checkpoints.create(key, replace(FAILED, blob=str(number)))
        self.found: list[str] = []

    def search(self, *, pages: int = 99, begun: int = 99) -> str:
        """Search for so long, and until so many blobs were begun; which were given to it."""
        self.found = []
        calls = 0

        search = unsettled_pages(self.checkpoints, self.cursors, NOW, lambda: calls >= pages)
        with closing(search):
            for page in search:
                calls += 1
                begun_here = [one.blob for one in page][: begun - len(self.found)]
                self.found += begun_here
                if len(begun_here) < len(page):
                    break
        return "".join(self.found)


def test_a_search_that_comes_to_the_end_begins_anew_and_keeps_nothing() -> None:
    world = World()
    assert [world.search(), world.search()] == ["012345678", "012345678"]
    assert world.cursors.calls["put"] == 0


def test_a_search_goes_on_where_the_last_one_had_to_end() -> None:
    world = World()
    assert [world.search(pages=1) for _ in range(5)] == ["012", "345", "678", "012", "345"]
    assert world.search() == "678"
    assert world.search() == "012345678"


def test_a_page_that_was_not_gone_through_comes_again() -> None:
    world = World()
    assert world.search(begun=4) == "0123"
    assert world.search(begun=2) == "34"
    assert world.search() == "345678"


def test_a_place_that_the_service_refuses_is_forgotten() -> None:
    world = World()
    world.search(pages=2)
    unsettled = world.checkpoints.unsettled

    def refuse(now: object, after: str = "") -> object:
        raise Refused(f"{now}: no such place: {after}")

    world.checkpoints.unsettled = refuse  # type: ignore[assignment,method-assign]
    with pytest.raises(Refused):
        world.search()
    world.checkpoints.unsettled = unsettled  # type: ignore[method-assign]
    assert world.search() == "012345678"


def test_a_fault_on_the_way_moves_the_place_to_where_it_happened() -> None:
    world = World()
    unsettled = world.checkpoints.unsettled

    def busy(now: object, after: str = "") -> object:
        pages = unsettled(NOW, after)
        yield next(pages)
        raise Unavailable(f"{now}: busy")

    world.checkpoints.unsettled = busy  # type: ignore[assignment,method-assign]
    with pytest.raises(Unavailable):
        world.search()
    assert world.found == ["0", "1", "2"]
    world.checkpoints.unsettled = unsettled  # type: ignore[method-assign]
    assert world.search() == "345678"


def test_another_search_at_the_same_time_disturbs_nothing() -> None:
    world = World()
    put = world.cursors.put

    def put_late(container: Container, cursor: Cursor, etag: str) -> StoredCursor:
        assert (container, cursor.done, etag) == (SEARCH, "3", "")
        raise Conflict("another was faster")

    world.cursors.put = put_late  # type: ignore[method-assign]
    assert world.search(pages=1) == "012"
    world.cursors.put = put  # type: ignore[method-assign]
    assert world.search(pages=1) == "012"
