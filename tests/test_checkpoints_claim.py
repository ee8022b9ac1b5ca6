"""Claiming, ringing, renewing, committing, releasing: one rule in each test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from flowlog_core.checkpoints.checkpoint import (
    Answer,
    Checkpoint,
    CheckpointKey,
    Failure,
    Progress,
    Refusal,
    checkpoint_key,
)
from flowlog_core.checkpoints.claim import TAKEN_OVER, Claim, take_or_ring
from flowlog_core.errors import (
    ClaimLost,
    Contention,
    ItemRefused,
    NotAllowed,
    NotFound,
    Refused,
    Unavailable,
)
from flowlog_core.testing.memory import EPOCH, ManualClock, MemoryCheckpoints, some_blob

KEY = checkpoint_key(some_blob())
OWNED_FOR_S = 180.0
WHY = Unavailable("why")
SOME = Progress(offset=100, seam="ab", entries=1, records=2)
MORE = Progress(offset=200, seam="cd", entries=2, records=4)


@dataclass
class Store(MemoryCheckpoints):
    """The in-memory store, with something done before or after a chosen call."""

    interfere: dict[str, list[Callable[[], object]]] = field(default_factory=dict)
    lose_answers_of: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        MemoryCheckpoints.__init__(self, ManualClock())

    def replace(self, key: CheckpointKey, checkpoint: Checkpoint, etag: str) -> Answer:
        for action in self.interfere.pop("replace", []):
            action()
        answer = super().replace(key, checkpoint, etag)
        if "replace" in self.lose_answers_of:
            self.lose_answers_of.remove("replace")
            # The SDK tries again by itself, and its second try meets the first one's version.
            super().replace(key, checkpoint, etag)
        return answer

    def stored(self) -> Checkpoint:
        found = self.get(KEY).checkpoint
        assert found is not None
        return found


@pytest.fixture
def store() -> Store:
    return Store()


def take(store: Store, owner: str) -> Claim | None:
    return take_or_ring(store, KEY, "blob", owner, OWNED_FOR_S, store.clock)


def taken(store: Store, owner: str) -> Claim:
    claim = take(store, owner)
    assert claim is not None
    return claim


def test_the_first_worker_takes_the_blob_for_so_long(store: Store) -> None:
    claim = taken(store, "a")
    stored = store.stored()
    assert claim.progress == Progress()
    assert stored.owner == "a"
    assert stored.owned_until is not None
    assert (stored.owned_until - store.get(KEY).server_time).total_seconds() == OWNED_FOR_S
    assert store.calls == {"get": 3, "create": 1}  # one of the gets is ours, two the test's


def test_the_second_worker_rings_and_leaves(store: Store) -> None:
    taken(store, "a")
    assert take(store, "b") is None
    assert (store.stored().owner, store.stored().rings) == ("a", 1)


def test_a_ring_never_prolongs_a_claim(store: Store) -> None:
    taken(store, "a")
    until = store.stored().owned_until
    store.clock.sleep(100)
    take(store, "b")
    assert store.stored().owned_until == until


def test_a_claim_that_ran_out_can_be_taken_over(store: Store) -> None:
    claim = taken(store, "a")
    claim.commit(SOME)
    store.clock.sleep(OWNED_FOR_S + 1)
    assert taken(store, "b").progress == SOME
    with pytest.raises(ClaimLost):
        claim.commit(MORE)
    assert store.stored().progress == SOME


def test_finishing_stores_progress_and_lets_go_in_one_write(store: Store) -> None:
    claim = taken(store, "a")
    claim.look()
    assert claim.finish(SOME) is True
    assert store.stored() == Checkpoint("blob", SOME)
    assert store.calls["replace"] == 1


def test_a_ring_since_the_look_keeps_the_worker_from_leaving(store: Store) -> None:
    claim = taken(store, "a")
    claim.look()
    take(store, "b")
    assert claim.finish(SOME) is False
    assert (store.stored().owner, store.stored().progress) == ("a", SOME)
    claim.look()
    assert claim.finish(SOME) is True


def test_a_ring_between_reading_and_writing_is_noticed(store: Store) -> None:
    claim = taken(store, "a")
    claim.look()
    store.interfere["replace"] = [lambda: take(store, "b")]
    assert claim.finish(SOME) is False
    assert (store.stored().owner, store.stored().rings) == ("a", 1)


def test_a_ring_that_finds_the_owner_gone_takes_the_blob(store: Store) -> None:
    owner = taken(store, "a")
    store.interfere["replace"] = [lambda: owner.finish(SOME)]
    assert taken(store, "b").progress == SOME


def test_a_ring_is_not_repeated_when_another_rang_meanwhile(store: Store) -> None:
    taken(store, "a")
    store.interfere["replace"] = [lambda: take(store, "b")]
    assert take(store, "c") is None
    assert store.stored().rings == 1  # b's ring came after c began, so it speaks for c as well


def test_a_ring_is_repeated_when_the_owner_has_only_committed(store: Store) -> None:
    owner = taken(store, "a")
    store.interfere["replace"] = [lambda: owner.commit(SOME)]
    assert take(store, "b") is None
    assert (store.stored().rings, store.stored().progress) == (1, SOME)


def test_keeping_costs_nothing_until_the_last_third(store: Store) -> None:
    claim = taken(store, "a")
    until = store.stored().owned_until
    store.clock.sleep(OWNED_FOR_S * 2 / 3 - 2)
    claim.keep()
    assert store.stored().owned_until == until
    store.clock.sleep(2)
    claim.keep()
    assert store.stored().owned_until != until


def test_a_claim_that_ran_out_untaken_is_won_again_by_keeping_it(store: Store) -> None:
    claim = taken(store, "a")
    store.clock.sleep(OWNED_FOR_S * 3)
    claim.keep()
    assert take(store, "b") is None


@dataclass
class SlowAnswers(Store):
    """Each write is answered so many seconds after it took effect."""

    answers_after_s: list[float] = field(default_factory=list)
    then: Callable[[], object] = lambda: None

    def replace(self, key: CheckpointKey, checkpoint: Checkpoint, etag: str) -> Answer:
        answer = super().replace(key, checkpoint, etag)
        if self.answers_after_s:
            self.clock.sleep(self.answers_after_s.pop(0))
            self.then()
        return answer


def test_a_renewal_whose_answer_comes_after_its_end_is_repeated_before_sending() -> None:
    store = SlowAnswers()
    claim = taken(store, "a")
    store.clock.sleep(OWNED_FOR_S)
    store.answers_after_s = [OWNED_FOR_S + 1, 0]
    claim.keep()
    assert store.answers_after_s == []
    assert store.stored().owned_by_another("b", store.get(KEY).server_time)


def test_a_renewal_whose_answer_comes_after_another_has_taken_the_blob_is_no_renewal() -> None:
    store = SlowAnswers()
    claim = taken(store, "a")
    store.clock.sleep(OWNED_FOR_S)
    store.answers_after_s = [OWNED_FOR_S + 1]
    store.then = lambda: take(store, "b")
    with pytest.raises(ClaimLost):
        claim.keep()


def test_a_claim_shorter_than_its_renewal_takes_ends_in_contention() -> None:
    store = SlowAnswers()
    claim = taken(store, "a")
    store.answers_after_s = [OWNED_FOR_S] * 1000
    store.clock.sleep(OWNED_FOR_S)
    with pytest.raises(Contention):
        claim.keep()


def test_a_worker_whose_claim_was_taken_may_send_nothing_more(store: Store) -> None:
    claim = taken(store, "a")
    store.clock.sleep(OWNED_FOR_S + 1)
    assert taken(store, "b").finish(SOME) is True
    with pytest.raises(ClaimLost):
        claim.keep()


@pytest.mark.parametrize("act", ["commit", "finish", "keep"])
def test_an_owners_write_whose_answer_got_lost_is_recognised(store: Store, act: str) -> None:
    claim = taken(store, "a")
    claim.look()
    store.clock.sleep(OWNED_FOR_S * 2 / 3)
    store.lose_answers_of.append("replace")
    if act == "commit":
        claim.commit(SOME)
    elif act == "finish":
        assert claim.finish(SOME) is True
    else:
        claim.keep()
    assert store.stored().progress == (Progress() if act == "keep" else SOME)
    assert store.stored().owner == ("" if act == "finish" else "a")


def test_a_claim_whose_answer_got_lost_is_ours_all_the_same(store: Store) -> None:
    taken(store, "a").finish(SOME)
    store.lose_answers_of.append("replace")
    assert taken(store, "b").progress == SOME


def test_abandoning_lets_go_and_moves_nothing(store: Store) -> None:
    claim = taken(store, "a")
    claim.commit(SOME)
    take(store, "b")
    claim.abandon(WHY)
    assert (store.stored().owner, store.stored().progress) == ("", SOME)


def test_failures_are_counted_until_it_goes_well(store: Store) -> None:
    for attempts in (1, 2):
        at = store.get(KEY).server_time
        assert taken(store, "a").abandon(WHY) == Failure(attempts, at, "why")
        assert store.stored().failure == Failure(attempts, at, "why")
        store.clock.sleep(60)
    assert taken(store, "b").finish(SOME) is True
    assert store.stored().failure is None


def test_tries_within_a_minute_count_as_one_failure(store: Store) -> None:
    """The host repeats a failed call five times within seconds, for each of several events."""
    for _ in range(15):
        taken(store, "a").abandon(WHY)
        store.clock.sleep(3)
    assert store.stored().failure == Failure(
        1, store.get(KEY).server_time - timedelta(seconds=3), "why"
    )


@pytest.mark.parametrize(
    ("error", "is_refused"),
    [
        (Refused("413 RequestBodyTooLarge"), True),
        (Unavailable("503"), False),
        (NotAllowed("403"), False),
        (NotFound("404"), False),
        (Contention("again"), False),
        (ZeroDivisionError("a fault of ours"), False),
    ],
)
def test_a_failure_says_whether_the_item_itself_was_refused(
    store: Store, error: Exception, is_refused: bool
) -> None:
    at = store.get(KEY).server_time
    taken(store, "a").abandon(error)
    assert store.stored().failure == Failure(1, at, str(error), is_refused)


def test_refusals_of_an_entry_count_if_they_are_ten_minutes_apart(store: Store) -> None:
    """And whatever else fails between them. The third is one too many."""
    refused = ItemRefused("too large", "ab.0.100")
    counts = []
    for minutes in (0, 5, 4, 2, 9, 1):
        store.clock.sleep(60 * minutes)
        claim = taken(store, "a")
        gives_up = claim.gives_up(refused)
        claim.abandon(refused)
        assert claim.gives_up(refused) == gives_up  # however often it is asked
        failure = store.stored().failure
        assert failure is not None
        assert failure.is_refused
        assert failure.refusal is not None
        counts.append((failure.refusal.count, gives_up))
        taken(store, "b").abandon(Unavailable("busy"))
    assert counts == [(1, False), (1, False), (1, False), (2, False), (2, False), (3, True)]


def test_refusals_survive_a_worker_that_ends(store: Store) -> None:
    refused = ItemRefused("too large", "ab.0.100")
    taken(store, "a").abandon(refused)
    taken(store, "b")
    store.clock.sleep(OWNED_FOR_S + 1)
    assert taken(store, "c").refusal == Refusal("ab.0.100", 1, EPOCH + timedelta(seconds=1000))


@pytest.mark.parametrize("error", [Refused("400"), NotAllowed("403"), Unavailable("503")])
def test_no_other_error_is_a_refusal_of_an_entry(store: Store, error: Exception) -> None:
    for _ in range(5):
        taken(store, "a").abandon(error)
        store.clock.sleep(1000)
    assert taken(store, "a").refusal is None


def test_a_refusal_counts_as_long_as_its_entry_is_ahead(store: Store) -> None:
    refused = ItemRefused("too large", "ab.0.100")
    taken(store, "a").abandon(refused)
    claim = taken(store, "a")
    claim.commit(replace(SOME, offset=100))
    assert claim.refusal is not None
    claim.commit(replace(SOME, offset=101))
    assert claim.refusal is None
    claim.abandon(Unavailable("busy"))
    failure = store.stored().failure
    assert failure is not None
    assert failure.refusal is None


def test_the_entry_refused_last_is_the_one_that_counts(store: Store) -> None:
    for name in ("ab.0.100", "ab.0.12"):
        taken(store, "a").abandon(ItemRefused("too large", name))
        store.clock.sleep(1000)
    refusal = taken(store, "a").refusal
    assert refusal is not None
    assert (refusal.entry_id, refusal.count) == ("ab.0.12", 1)


def test_a_refusal_in_an_earlier_generation_is_none_of_this_one(store: Store) -> None:
    taken(store, "a").abandon(ItemRefused("too large", "ab.0.100"))
    claim = taken(store, "a")
    claim.commit(Progress(generation=1))
    assert claim.refusal is None


def test_abandoning_after_a_commit_with_a_lost_answer_never_moves_the_offset_back(
    store: Store,
) -> None:
    claim = taken(store, "a")
    landed = replace(store.stored(), progress=SOME)
    store.replace(KEY, landed, store.get(KEY).etag)  # our own commit, whose answer never came
    claim.abandon(WHY)
    assert (store.stored().owner, store.stored().progress) == ("", SOME)


def test_abandoning_what_another_has_taken_leaves_it_alone(store: Store) -> None:
    claim = taken(store, "a")
    store.clock.sleep(OWNED_FOR_S + 1)
    taken(store, "b")
    claim.abandon(WHY)
    assert store.stored().owner == "b"


def test_endless_conflicts_end_in_contention(store: Store) -> None:
    claim = taken(store, "a")

    def meddle() -> None:
        store.interfere["replace"] = []
        take_or_ring(store, KEY, "blob", "b", OWNED_FOR_S, store.clock)
        store.interfere["replace"] = [meddle]

    store.interfere["replace"] = [meddle]
    began_s = store.clock.monotonic()
    with pytest.raises(Contention):
        claim.commit(SOME)
    # Not one write right after the other, and not until the claim has run out.
    assert 1 < store.clock.monotonic() - began_s < OWNED_FOR_S


def test_an_owner_trusts_its_claim_one_second_less_than_the_others(store: Store) -> None:
    """The service's Date has whole seconds, so the owner may have got it up to one second old."""
    store.clock.now_s = 1000.999
    claim = taken(store, "a")
    calls = store.calls["replace"]
    store.clock.now_s = 1000.999 + OWNED_FOR_S * 2 / 3 - 1.01
    claim.keep()
    assert store.calls["replace"] == calls
    store.clock.now_s += 0.02
    claim.keep()
    assert store.calls["replace"] == calls + 1


def test_an_unreachable_store_is_not_taken_for_anything_else(store: Store) -> None:
    def fail() -> None:
        store.interfere["replace"] = [fail]
        raise Unavailable("no answer")

    taken(store, "a").finish(SOME)
    store.interfere["replace"] = [fail]
    with pytest.raises(Unavailable):
        take(store, "b")
    assert store.stored().owner == ""


def test_a_claim_that_timed_out_and_was_written_is_found_and_not_left_to_nobody() -> None:
    """Else the host's retry, with an owner name of its own, would be turned away by it."""

    class TimesOutOnce(Store):
        def replace(self, key: CheckpointKey, checkpoint: Checkpoint, etag: str) -> Answer:
            answer = super().replace(key, checkpoint, etag)
            if self.calls["replace"] == 2:
                raise Unavailable("time-out")
            return answer

    store = TimesOutOnce()
    taken(store, "a").finish(SOME)
    claim = taken(store, "b")
    assert (store.stored().owner, claim.progress) == ("b", SOME)
    assert claim.finish(MORE) is True


def taken_from(
    store: Store, dead: set[str], owner: str, *, always_take_over: bool = False
) -> Claim | None:
    return take_or_ring(
        store,
        KEY,
        "blob",
        owner,
        OWNED_FOR_S,
        store.clock,
        is_gone=dead.__contains__,
        always_take_over=always_take_over,
    )


def test_a_claim_of_a_process_that_is_gone_is_taken_over_at_once(store: Store) -> None:
    taken(store, "a").commit(SOME)
    assert taken_from(store, set(), "b") is None
    rings = store.stored().rings
    claim = taken_from(store, {"a"}, "c")
    assert claim is not None
    at = store.get(KEY).server_time
    assert store.stored() == Checkpoint(
        "blob",
        SOME,
        "c",
        at + timedelta(seconds=OWNED_FOR_S),
        rings,
        Failure(1, at, TAKEN_OVER),
        deaths=1,
        taken_over_at=at,
    )


def test_what_a_dead_process_still_wrote_is_seen_and_never_overwritten(store: Store) -> None:
    """Its commit lands between the look and the takeover, which then meets another ETag."""
    dead = taken(store, "a")
    store.interfere["replace"] = [lambda: dead.commit(SOME)]
    claim = taken_from(store, {"a"}, "b")
    assert claim is not None
    assert claim.progress == SOME


def test_what_a_dead_process_wrote_after_the_takeover_changes_nothing(store: Store) -> None:
    dead = taken(store, "a")
    claim = taken_from(store, {"a"}, "b")
    assert claim is not None
    with pytest.raises(ClaimLost):
        dead.commit(SOME)
    assert claim.progress == Progress()


def test_a_blob_that_was_released_by_the_dead_process_is_no_takeover(store: Store) -> None:
    dead = taken(store, "a")
    store.interfere["replace"] = [lambda: dead.finish(SOME)]
    claim = taken_from(store, {"a"}, "b")
    assert claim is not None
    assert (claim.deaths, store.stored().taken_over_at, store.stored().failure) == (0, None, None)


def test_who_is_asked_about_is_the_owner_of_the_read_whose_etag_is_sent(store: Store) -> None:
    """A dead one, and in the meantime another has taken the blob and lives."""
    taken(store, "dead")

    def another_takes_it() -> None:
        assert taken_from(store, {"dead"}, "alive") is not None

    store.interfere["replace"] = [another_takes_it]
    assert taken_from(store, {"dead"}, "c") is None
    assert store.stored().owner == "alive"


@pytest.mark.parametrize("runs_out", [False, True])
def test_an_event_takes_a_blob_over_once_in_ten_minutes_and_the_sweep_always(
    store: Store, runs_out: bool
) -> None:
    def dies() -> set[str]:
        if not runs_out:
            return {"a", "b", "c", "d"}
        store.clock.sleep(OWNED_FOR_S + 1)
        return set()

    taken(store, "a")
    assert taken_from(store, dies(), "b") is not None
    assert taken_from(store, dies(), "c") is None
    assert (store.stored().owner, store.stored().rings) == ("b", 1)
    assert taken_from(store, dies(), "c", always_take_over=True) is not None
    assert taken_from(store, dies(), "d") is None
    store.clock.sleep(600)
    assert taken_from(store, dies(), "d") is not None


def test_takeovers_are_attempts(store: Store) -> None:
    taken(store, "a")
    for attempts, owner in ((1, "b"), (2, "c"), (3, "d")):
        store.clock.sleep(OWNED_FOR_S + 60)
        assert taken_from(store, set(), owner, always_take_over=True) is not None
        assert store.stored().failure == Failure(attempts, store.get(KEY).server_time, TAKEN_OVER)


def test_deaths_count_as_long_as_the_offset_stands_and_only_where_they_are_certain(
    store: Store,
) -> None:
    taken(store, "a").commit(SOME)
    for deaths, owner in ((1, "b"), (2, "c")):
        claim = taken_from(store, {"a", "b", "c"}, owner, always_take_over=True)
        assert claim is not None
        claim.keep()
        claim.commit(replace(SOME, pending_bytes=deaths))  # the offset stays
        assert claim.deaths == store.stored().deaths == deaths
    store.clock.sleep(OWNED_FOR_S + 1)
    claim = taken_from(store, set(), "d", always_take_over=True)
    assert claim is not None
    assert claim.deaths == 2
    claim.commit(MORE)
    assert (store.stored().deaths, store.stored().taken_over_at is None) == (0, False)
    claim.look()
    assert claim.finish(MORE)
    assert store.stored() == Checkpoint("blob", MORE)
