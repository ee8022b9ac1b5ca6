"""What a process remembers of its releases: claims need no read, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from flowlog_core.checkpoints.checkpoint import Answer, Checkpoint, Progress, checkpoint_key
from flowlog_core.checkpoints.claim import Claim, take_or_ring
from flowlog_core.checkpoints.released import Released
from flowlog_core.testing.memory import EPOCH, ManualClock, MemoryCheckpoints, some_blob

KEY = checkpoint_key(some_blob())
OWNED_FOR_S = 180.0


class World:
    """A store whose time goes on while a process's own clock may stand still."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = MemoryCheckpoints(self.clock)
        self.own = ManualClock()
        self.released = Released()
        self._owners = iter(range(1000))

    def pass_s(self, seconds: float, *, frozen: bool = False) -> None:
        self.clock.sleep(seconds)
        if not frozen:
            self.own.sleep(seconds)

    def take(self, released: Released | None = None) -> Claim | None:
        owner = f"worker-{next(self._owners)}"
        return take_or_ring(
            self.store, KEY, "blob", owner, OWNED_FOR_S, self.own, released or self.released
        )

    def forward(self, offset: int, released: Released | None = None) -> dict[str, int]:
        """One event: claim, commit and release; the calls that it took."""
        self.store.calls.clear()
        claim = self.take(released)
        assert claim is not None
        assert claim.finish(replace(claim.progress, offset=offset))
        return dict(self.store.calls)

    @property
    def offset(self) -> int:
        stored = self.store.get(KEY).checkpoint
        assert stored is not None
        return stored.progress.offset


@pytest.fixture
def world() -> World:
    return World()


def test_the_second_event_of_a_blob_costs_no_read(world: World) -> None:
    assert world.forward(100) == {"get": 1, "create": 1, "replace": 1}
    assert world.forward(200) == {"replace": 2}
    assert world.forward(300) == {"replace": 2}
    assert world.offset == 300


def test_after_another_process_it_is_read_and_nothing_is_lost(world: World) -> None:
    world.forward(100)
    world.forward(200, Released())
    assert world.forward(300) == {"replace": 3, "get": 1}  # 412, then as ever
    assert world.offset == 300


def test_after_the_checkpoint_was_removed_it_is_made_anew(world: World) -> None:
    world.forward(100)
    world.store.remove(KEY, world.store.get(KEY).etag)
    assert world.forward(50) == {"replace": 2, "get": 1, "create": 1}  # 404
    assert world.offset == 50


def test_a_live_claim_of_another_process_is_rung(world: World) -> None:
    world.forward(100)
    other = world.take(Released())
    assert other is not None
    other.look()
    assert world.take() is None
    assert not other.finish(Progress(offset=200))  # it was told that there is more


def test_a_machine_that_was_frozen_believes_in_nothing(world: World) -> None:
    """By its own clock the claim is new; by the service's it has run out, or nearly so."""
    world.forward(100)
    released_at = world.store.get(KEY).server_time
    world.pass_s(OWNED_FOR_S - 5, frozen=True)
    claim = world.take()
    assert claim is not None
    stored = world.store.get(KEY).checkpoint
    assert stored is not None
    assert stored.owned_until == released_at + timedelta(seconds=OWNED_FOR_S)
    world.store.calls.clear()
    claim.keep()  # renewed before anything is sent
    assert world.store.calls == {"replace": 1}
    stored = world.store.get(KEY).checkpoint
    assert stored is not None
    assert stored.owned_until == released_at + timedelta(seconds=2 * OWNED_FOR_S - 5)


def test_what_was_released_long_ago_is_read(world: World) -> None:
    world.forward(100)
    world.pass_s(899)
    assert world.forward(200) == {"replace": 2}
    world.pass_s(901)
    assert world.forward(300) == {"get": 1, "replace": 2}


def seen(number: int) -> Answer:
    return Answer(Checkpoint("blob", Progress(number)), f"etag-{number}", EPOCH)


def never_read() -> Answer:
    raise AssertionError("it was remembered, and yet read")


def test_only_so_many_are_remembered_the_newest_ones() -> None:
    released = Released(max_entries=2)
    keys = [checkpoint_key(some_blob(hour)) for hour in range(3)]
    for number, key in enumerate((keys[0], keys[1], keys[0], keys[2])):
        released.remember(key, seen(number))
    assert released.first_look(keys[0], 0, never_read) == (seen(2), True)
    assert released.first_look(keys[2], 0, never_read) == (seen(3), True)
    assert released.first_look(keys[1], 0, lambda: seen(9)) == (seen(9), False)


def test_it_is_given_out_once() -> None:
    """Of two events at once, one claims from memory; the other reads, and rings."""
    released = Released()
    released.remember(KEY, seen(1))
    assert released.first_look(KEY, 0, never_read) == (seen(1), True)
    assert released.first_look(KEY, 0, lambda: seen(2)) == (seen(2), False)


def test_nothing_is_claimed_from_memory_while_fewer_than_half_of_100_held() -> None:
    released = Released()
    for _ in range(50):
        released.held(False)
    released.remember(KEY, seen(1))
    assert released.first_look(KEY, 0, never_read) == (seen(1), True)
    released.held(False)  # 51 of the last 100
    released.remember(KEY, seen(2))
    assert released.first_look(KEY, 0, lambda: seen(3)) == (seen(3), False)


def test_what_would_have_held_brings_the_trust_back() -> None:
    released = Released(judged_by=2)
    for _ in range(2):
        released.held(False)
    released.remember(KEY, seen(1))
    assert released.first_look(KEY, 0, lambda: seen(1)) == (seen(1), False)  # it would have
    released.remember(KEY, seen(1))
    assert released.first_look(KEY, 0, never_read) == (seen(1), True)
