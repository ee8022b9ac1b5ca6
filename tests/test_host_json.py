"""docs/host.md describes host.json as it is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """The settings of a JSON object by their dotted names, with their values as text."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{name}.{key}" if name else key)
    else:
        yield name, value if isinstance(value, str) else json.dumps(value)


def test_every_setting_of_host_json_is_explained_with_its_value() -> None:
    document = (ROOT / "docs" / "host.md").read_text(encoding="utf-8")
    table = document.split("## host.json")[1].split("Left out on purpose")[0]
    explained: list[tuple[str, str]] = []
    for names, value in re.findall(r"^\| (`.+?`) \| `(.+?)` \| .+ \|$", table, re.MULTILINE):
        explained += [(name, value) for name in re.findall(r"`(.+?)`", names)]
    assert explained == list(leaves(json.loads((ROOT / "host.json").read_text("utf-8"))))
