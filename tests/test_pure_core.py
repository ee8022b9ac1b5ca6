from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

MODULES = """
blob config.connection_names observe.traffic parsing schemas shape.aggregate shape.fields
shape.keep_drop sinks.shards
"""


@pytest.mark.parametrize("module", MODULES.split())
def test_the_pure_core_imports_nothing_of_azure(module: str) -> None:
    """Code that only reads flow logs needs no SDK, and tests of these modules need no fakes."""
    code = (
        f"import sys, flowlog_core.{module}\n"
        "print(*(name for name in sys.modules if name.split('.')[0].startswith('azure')))"
    )
    root = Path(__file__).parents[1]
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False
    )
    assert (run.stderr, run.stdout.split(), run.returncode) == ("", [], 0)
