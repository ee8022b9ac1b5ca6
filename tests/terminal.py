"""Runs a program in a terminal, types and waits for what appears."""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

# pytest's process has threads, so a process of its own makes the terminal.
_SPAWN = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"


class Typist:
    """Types into a program that runs in a terminal, and waits for what appears."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._keys, self._screen = process, process.stdin, process.stdout
        self.seen = ""

    def type(self, keys: str) -> None:
        self._keys.write(keys.encode())
        self._keys.flush()

    def wait_for(self, text: str, within_s: float = 10) -> None:
        """Until `text` appears in what is written from now on."""
        start, until = len(self.seen), time.monotonic() + within_s
        while text not in self.seen[start:]:
            ready, _, _ = select.select([self._screen], [], [], max(0, until - time.monotonic()))
            written = os.read(self._screen.fileno(), 65536) if ready else b""
            assert written, f"no {text!r} in {self.seen[start:]!r}"
            self.seen += re.sub(r"\x1b\[[0-9;?>]*[a-zA-Z]", "", written.decode(errors="replace"))

    def exit_code(self) -> int:
        """Of the program, once it has ended."""
        return self._process.wait(10)


@contextmanager
def in_a_terminal(
    command: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> Iterator[Typist]:
    process = subprocess.Popen(
        [sys.executable, "-c", _SPAWN, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=folder,
        env={"TERM": "xterm", "LANG": "C.UTF-8", **environment},
    )
    try:
        yield Typist(process)
    finally:
        process.kill()
        process.communicate()
