"""What a query's result looks like on standard output."""

from __future__ import annotations

import io
import json

import pyarrow as pa
import pytest
from test_cli import STEERING

from flowlog_core.cli.results import write_result


@pytest.mark.parametrize("kind", ["csv", "ndjson", "table"])
def test_no_form_of_a_result_steers_a_terminal(kind: str) -> None:
    """As of records, see `test_cli`."""
    out = io.StringIO()
    rule = f"a{STEERING}b é"
    write_result(pa.table({"rule": [rule], "tuples": [3]}), kind, out)
    shown = out.getvalue().replace("\n", "", 2)  # the ends of header and row
    assert not set(shown) & set(STEERING)
    assert "b é" in shown
    if kind == "ndjson":
        assert json.loads(out.getvalue()) == {"rule": rule, "tuples": 3}
