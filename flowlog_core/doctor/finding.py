"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "fault"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact about an installation.

    A fault keeps logs from being forwarded, a warning may; `ok` is for the reader's peace of mind.
    """

    level: Level
    what: str
    to_do: str = ""
    """Empty where there is nothing to do, or where `what` says it already."""
