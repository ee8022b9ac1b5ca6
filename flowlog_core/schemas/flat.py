"""An event of any schema as the flat row that a table holds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

_NOT_IN_A_NAME = re.compile(r"[^0-9A-Za-z_]")


def row_of(event: Mapping[str, Any]) -> dict[str, Any]:
    """Nested names joined with `_`, lists as JSON text; nulls and empty objects are left out.

    What the name of a table's property may not hold becomes `_` too: `@timestamp` is
    `_timestamp`. Raises ValueError where two members come to one name.
    """
    row: dict[str, Any] = {}
    for name, value in _members("", event):
        if name in row:
            raise ValueError(f"two members would be called {name}")
        row[name] = value
    return row


def _members(before: str, event: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in event.items():
        name = before + _NOT_IN_A_NAME.sub("_", key)
        if isinstance(value, Mapping):
            yield from _members(f"{name}_", value)
        elif isinstance(value, list | tuple):
            yield name, orjson.dumps(value).decode()
        elif value is not None:
            yield name, value
