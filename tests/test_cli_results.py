"""What a query's result looks like on standard output."""

from __future__ import annotations

import errno
import io
import json
import os
import sys

import pyarrow as pa
import pytest
from pyarrow import parquet
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


def test_parquet_leaves_standard_output_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others write to it and flush it afterwards."""
    binary = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(binary))
    table = pa.table({"rule": ["a", "b"], "tuples": [3, 4]})
    write_result(table, "parquet", sys.stdout)
    sys.stdout.flush()
    assert parquet.read_table(io.BytesIO(binary.getvalue())).equals(table)


class _FullDisk(io.BytesIO):
    def write(self, _: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_parquet_leaves_standard_output_open_after_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    full = _FullDisk()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(full))
    with pytest.raises(OSError, match="No space left on device"):
        write_result(pa.table({"tuples": [3]}), "parquet", sys.stdout)
    assert not full.closed
