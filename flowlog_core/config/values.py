"""What a setting is, and how its text is read. Readers raise ValueError with what to write."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from flowlog_core.config.connection_names import is_connection_name
from flowlog_core.source.events import POISON_SUFFIX


class Row(NamedTuple):
    """One setting, as the table of docs/settings.md shows it."""

    field: str
    """Of `Settings`."""
    default: str
    meaning: str
    parse: Callable[[str], Any]
    """Raises `ValueError` with a sentence that says what to write."""

    @property
    def name(self) -> str:
        """The name of the setting."""
        return f"FLOWLOG_{self.field.upper()}"


def setting(default: str, meaning: str, parse: Callable[[str], Any]) -> Any:
    """A field of `Settings`, and how the setting of its name is read: see `Row`."""
    return field(metadata={"default": default, "meaning": meaning, "parse": parse})


def one_of(*choices: str) -> Callable[[str], str]:
    """One of some words, in any letter case."""

    def parse(text: str) -> str:
        for choice in choices:
            if text.lower() == choice.lower():
                return choice
        raise ValueError(f"Write {', '.join(choices[:-1])} or {choices[-1]}")

    return parse


def switch(text: str) -> bool:
    """`true` or `false`."""
    return one_of("true", "false")(text) == "true"


def named(pattern: str, rule: str) -> Callable[[str], str]:
    """A text that matches a pattern; `rule` says what to write."""

    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text, re.ASCII):
            raise ValueError(rule)
        return text

    return parse


def whole_number(minimum: int, maximum: int, unit: str) -> Callable[[str], int]:
    """A whole number in decimal digits."""

    def parse(text: str) -> int:
        if not re.fullmatch("[0-9]{1,9}", text) or not minimum <= int(text) <= maximum:
            raise ValueError(f"Write a whole number of {unit} from {minimum} to {maximum}")
        return int(text)

    return parse


def sweep_minutes(text: str) -> int:
    """A divisor of 60: `*/N` in the timer's schedule starts again with every hour."""
    choices = [minutes for minutes in range(1, 31) if 60 % minutes == 0]
    if text not in map(str, choices):
        raise ValueError(
            f"Write {', '.join(map(str, choices[:-1]))} or {choices[-1]}, which divide an hour"
        )
    return int(text)


def connection_name(text: str) -> str:
    """The name of a connection."""
    if not is_connection_name(text):
        raise ValueError("Write the name of a connection setting: letters, digits and _")
    return text


def connection_names(text: str) -> tuple[str, ...]:
    """Names of connections, each once."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        connection_name(name)
    if not names:
        raise ValueError("Write one or more connection names, separated by commas")
    return names


def since(text: str) -> datetime | None:
    """The beginning of a UTC day or hour; None for no text."""
    if not text:
        return None
    for form in ("%Y-%m-%d", "%Y-%m-%dT%H"):
        with suppress(ValueError):
            return datetime.strptime(text, form).replace(tzinfo=UTC)
    raise ValueError("Write a UTC date or hour, such as 2026-01-31 or 2026-01-31T09")


def https(text: str) -> str:
    """The address of a data collection endpoint, without a path."""
    if not re.fullmatch(r"https://[^/?#@\s]+/?", text):
        raise ValueError("Write https://NAME.REGION.ingest.monitor.azure.com")
    return text.rstrip("/")


def or_empty(parse: Callable[[str], str]) -> Callable[[str], str]:
    """Nothing, or what `parse` reads."""
    return lambda text: parse(text) if text else ""


MAX_NAME_CHARACTERS = 63


def _name(max_characters: int, why: str = "") -> Callable[[str], str]:
    return named(
        f"(?=.{{3,{max_characters}}}$)[a-z0-9]+(-[a-z0-9]+)*",
        f"Write 3 to {max_characters} lower-case letters, digits and single hyphens{why}",
    )


container = _name(MAX_NAME_CHARACTERS)
event_queue = _name(
    MAX_NAME_CHARACTERS - len(POISON_SUFFIX),
    f": the host appends {POISON_SUFFIX} for the queue of events that failed too often",
)
table = named(
    "(?!(?i:tables)$)[A-Za-z][A-Za-z0-9]{2,62}",
    "Write 3 to 63 letters and digits, a letter first, and not the word tables",
)

event_hub = named(
    "(?=.{1,256}$)[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?",
    "Write 1 to 256 letters, digits, full stops, hyphens and underscores, a letter or digit at "
    "both ends",
)
rule_id = named("dcr-[0-9A-Za-z]+", "Write dcr- and the letters and digits behind it")
