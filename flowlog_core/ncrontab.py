"""Schedules of timers as the Functions host reads them: NCRONTAB, of six fields, seconds first.

Microsoft's page "Timer trigger for Azure Functions" tells what a field may be: `*`, a number, a
range such as 1-5, a list of those, each with a step behind it such as */5; for months and weekdays
also their names or the beginnings of these. NCrontab, with which the host reads them, turns round a
range that ends before it begins: 22-4 would be 4-22, by day instead of by night. That is refused.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class _Field(NamedTuple):
    name: str
    least: int
    most: int
    names: tuple[str, ...] = ()
    """Of the numbers from `least` on."""


_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_FIELDS = (
    *(_Field("second", 0, 59), _Field("minute", 0, 59), _Field("hour", 0, 23)),
    *(_Field("day", 1, 31), _Field("month", 1, 12, _MONTHS), _Field("weekday", 0, 6, _DAYS)),
)
_PART = re.compile(r"(?:\*|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/[0-9]*[1-9][0-9]*)?", re.ASCII)


def read_schedule(text: str) -> str:
    """The schedule with single spaces between its fields.

    Raises `ValueError`, saying what to write.
    """
    written = text.split()
    if len(written) != len(_FIELDS):
        raise ValueError("Write six fields: second minute hour day month weekday")
    for field, said in zip(_FIELDS, written, strict=True):
        if not all(_is_part(part, field) for part in said.split(",")):
            names = f" or names such as {field.names[0][:3]}" if field.names else ""
            raise ValueError(
                f"Write * or numbers from {field.least} to {field.most}{names} for the "
                f"{field.name}, with , - and / as in */5; '{said}' is not that"
            )
    return " ".join(written)


def _is_part(part: str, field: _Field) -> bool:
    match = _PART.fullmatch(part)
    if match is None:
        return False
    ends = [_number(end, field) for end in match.group("first", "last") if end]
    if not all(field.least <= end <= field.most for end in ends):
        return False
    if ends != sorted(ends):
        raise ValueError(
            f"Write {match['first']}-{_said(field.most, field)},{_said(field.least, field)}-"
            f"{match['last']} instead of '{part}', which the host would turn round"
        )
    return True


def _said(number: int, field: _Field) -> str:
    return field.names[number - field.least][:3] if field.names else str(number)


def _number(text: str, field: _Field) -> int:
    """What a number or name stands for; -1 where it is neither."""
    if text.isdecimal():
        return int(text[:9])
    known = [name.startswith(text.lower()) for name in field.names]
    return known.index(True) + field.least if True in known else -1
