"""Rules over columns give the answers that they give for each record."""

from __future__ import annotations

from made_records import *  # noqa: F403 - looked at below
