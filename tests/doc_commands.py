"""The commands that the documentation shows, for the tests that run them.

A block ```console``` holds a command after `$ ` and its output. `python tests/doc_commands.py`
writes the outputs anew; look at the difference before you commit it.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from flowlog_core.cli import main

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT.parent / "shared/samples"
_BLOCK = re.compile(r"^```console\n\$ (.*)\n((?:(?!```).*\n)*)```$", re.MULTILINE)


class Shown(NamedTuple):
    """A command and the output that a page shows for it."""

    page: str
    line: int
    command: str
    output: str


def shown_in(page: str) -> list[Shown]:
    """The console blocks of a page, named from the root of the repository."""
    text = (ROOT / page).read_text("utf-8")
    return [
        Shown(page, text.count("\n", 0, found.start()) + 2, found[1], found[2])
        for found in _BLOCK.finditer(text)
    ]


@contextlib.contextmanager
def at_the_samples() -> Iterator[Path]:
    """In a folder of its own where `samples/` is the captures."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="flowlog-docs-") as folder:
        Path(folder, "samples").symlink_to(SAMPLES, target_is_directory=True)
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)


def output_of(command: str) -> str:
    """What `flowlog …` prints, with what it says on standard error behind it."""
    program, *arguments = shlex.split(command)
    assert program == "flowlog"
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        code = main(arguments)
    assert code == 0, error.getvalue()
    return out.getvalue() + error.getvalue()


def write_outputs(page: str) -> None:
    """Put the output of each command into the page."""
    path = ROOT / page
    with at_the_samples():
        text = _BLOCK.sub(
            lambda found: f"```console\n$ {found[1]}\n{output_of(found[1])}```",
            path.read_text("utf-8"),
        )
    path.write_text(text, "utf-8")


if __name__ == "__main__":
    for name in sys.argv[1:] or ("docs/cookbook.md", "docs/analyze.md"):
        write_outputs(name)
