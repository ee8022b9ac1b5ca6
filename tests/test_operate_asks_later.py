"""An account that gives no answer does not hold up the others."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from flowlog_core.errors import NotFound, Unavailable
from flowlog_core.operate.asks_later import AsksLater
from flowlog_core.source.listing import Page
from flowlog_core.testing.memory import ManualClock

SINCE = datetime(2026, 1, 1, tzinfo=UTC)


class Accounts:
    """Notes what is asked. The account `dead` fails after 6 s, `gone` has no container."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.asked: list[tuple[str, str, str, str, bool, datetime | None]] = []

    def page(
        self,
        account: str,
        container: str,
        prefix: str,
        *,
        marker: str = "",
        by_folder: bool,
        since: datetime | None = None,
    ) -> Page:
        self.asked.append((account, container, prefix, marker, by_folder, since))
        if account == "dead":
            self.clock.sleep(6)
            raise Unavailable("connection refused")
        if account == "gone":
            raise NotFound("no such container")
        return Page([], marker="next")


def test_it_is_left_alone_for_five_times_as_long_as_it_took_to_give_no_answer() -> None:
    clock = ManualClock()
    accounts = Accounts(clock)
    lister = AsksLater(accounts, clock)

    def asks(account: str, container: str = "nsg") -> bool:
        before = len(accounts.asked)
        with pytest.raises(Unavailable, match="connection refused"):
            lister.page(account, container, "", by_folder=True)
        return len(accounts.asked) > before

    assert asks("dead")
    assert not asks("dead")
    assert not asks("dead", "vnet")  # it is the account that gives no answer
    clock.sleep(29)
    assert not asks("dead")
    clock.sleep(1)
    assert asks("dead")


def test_others_are_asked_as_ever() -> None:
    clock = ManualClock()
    accounts = Accounts(clock)
    lister = AsksLater(accounts, clock)
    with pytest.raises(Unavailable):
        lister.page("dead", "nsg", "", by_folder=True)
    accounts.asked.clear()
    for _ in range(2):
        page = lister.page("west", "nsg", "a/", marker="m", by_folder=False, since=SINCE)
        assert page == Page([], marker="next")
        with pytest.raises(NotFound):
            lister.page("gone", "nsg", "", by_folder=True)
    of_west = ("west", "nsg", "a/", "m", False, SINCE)
    assert accounts.asked == [of_west, ("gone", "nsg", "", "", True, None)] * 2
