"""Schedules: what the host reads as it is meant passes, all else is refused in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlog_core.ncrontab import read_schedule

# As in Microsoft's examples of timer triggers.
GOOD = [
    "0 */5 * * * *",
    "0 0 * * * *",
    "0 0 */2 * * *",
    "0 0 9-17 * * *",
    "0 30 9 * * *",
    "0 30 9 * * 1-5",
    "0 30 9 * Jan Mon",
    "5,8,10 0-30/5 * 1,15 1-6,DEC tuesday-Sat",
    "59 59 23 31 12 6",
    "0 */120 */005 * * Mo",
]


@pytest.mark.parametrize("text", GOOD)
def test_a_schedule_stays_as_it_is(text: str) -> None:
    assert read_schedule(f"  {text.replace(' ', '   ')} ") == text


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "Write six fields: second minute hour day month weekday"),
        ("*/5 * * * *", "Write six fields: second minute hour day month weekday"),
        ("60 * * * * *", "numbers from 0 to 59 for the second, with , - and / as in"),
        ("0 */5 24 * * *", "numbers from 0 to 23 for the hour"),
        ("0 0 0 0 * *", "numbers from 1 to 31 for the day"),
        ("0 0 0 * 13 *", "numbers from 1 to 12 or names such as jan for the month"),
        ("0 0 0 * * 7", "numbers from 0 to 6 or names such as sun for the weekday"),
        ("0 0 0 * * moo", "'moo' is not that"),
        ("0 0 jan * * *", "'jan' is not that"),
        ("x x x x x x", "'x' is not that"),
        ("0 0 22-4 * * *", "^Write 22-23,0-4 instead of '22-4', which the host would turn round$"),
        ("0 0 0 * * FRI-Mo", "^Write FRI-sat,sun-Mo instead of 'FRI-Mo', which the host would"),
        ("0 */0 * * * *", "[*]/0' is not that"),
        ("0 1,,2 * * * *", "'1,,2' is not that"),
        ("0 -5 * * * *", "'-5' is not that"),
        ("0 *-5 * * * *", "is not that"),
        ("0 99999999999999999999 * * * *", "is not that"),
    ],
)
def test_what_is_no_schedule_is_refused(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        read_schedule(text)


@given(st.text(st.sampled_from("0159*/,- jansu\u0665"), max_size=24))
def test_nothing_but_a_refusal_comes_of_any_text(text: str) -> None:
    try:
        read = read_schedule(text)
    except ValueError:
        return
    assert read.split() == text.split()
