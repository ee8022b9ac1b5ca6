"""What is read from a CPU profile of Node.js, of one made by hand."""

from __future__ import annotations

from typing import Any

import pytest

from bench.azurite_profile import AREAS
from bench.node_profile import Shares, file_of, shares_of

MODULES = "/somewhere/node_modules"


def node(number: int, name: str, url: str, *children: int) -> dict[str, Any]:
    call = {"functionName": name, "scriptId": "0", "url": url, "lineNumber": 1, "columnNumber": 1}
    return {"id": number, "callFrame": call, "hitCount": 0, "children": list(children)}


PROFILE = {
    "nodes": [
        node(1, "(root)", "", 2, 3, 4, 6, 8),
        node(2, "(idle)", ""),
        node(3, "(garbage collector)", ""),
        node(4, "", f"file://{MODULES}/azurite/dist/src/table/handlers/TableHandler.js", 5),
        node(5, "$eq", f"{MODULES}/lokijs/src/lokijs.js"),
        node(6, "writevGeneric", "node:internal/stream_base_commons", 7),
        node(7, "writev", ""),
        node(8, "apart", f"{MODULES}/azurite/node_modules/@some/one/index.js"),
    ],
    "startTime": 1000,
    "endTime": 2000,
    "samples": [8, 5, 2, 5, 4, 7, 6, 3, 8, 5],
    "timeDeltas": [100, 100, 100, 200, 50, 40, 10, 60, 40, 300],
}


def test_busy_time_is_divided_within_the_part_that_is_asked_for() -> None:
    assert shares_of(PROFILE, AREAS, 1200, 2000) == Shares(
        0.8333333333333334,  # 100 of 600 µs idle; the first sample and the last are outside
        {
            "database (LokiJS)": 0.6,
            "(garbage collector)": 0.12,
            "Azurite's tables": 0.1,
            "HTTP: Node.js": 0.1,
            "other": 0.08,
        },
        {
            ("$eq", "lokijs/src/lokijs.js"): 0.6,
            ("(garbage collector)", ""): 0.12,
            ("(anonymous)", "azurite/dist/src/table/handlers/TableHandler.js"): 0.1,
            ("writev", "node:internal/stream_base_commons"): 0.08,
            ("apart", "@some/one/index.js"): 0.08,
            ("writevGeneric", "node:internal/stream_base_commons"): 0.02,
        },
    )


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("node:internal/crypto/random", "node:internal/crypto/random"),
        (f"file://{MODULES}/lokijs/src/lokijs.js", "lokijs/src/lokijs.js"),
        ("/somewhere/else/azurite.js", "azurite.js"),
        ("data:text/javascript,import'/somewhere'", "data:"),
        ("", ""),
    ],
)
def test_a_file_is_named_without_the_folders_of_the_machine(url: str, file: str) -> None:
    assert file_of(url) == file
