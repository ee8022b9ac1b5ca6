"""Completion in the shells themselves: what the Tab key adds in a terminal, installed as told."""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from flowlog_core.cli import completion, main

BASH_COMPLETION = Path("/usr/share/bash-completion/bash_completion")
"""Where Debian, Fedora and Alpine have it; without it the script is read directly."""

ASKED = (
    ("flowlog agg", "aggregate"),
    ("flowlog status --wat", "--watch"),
    ("flowlog flows --output nd", "ndjson"),
    ("flowlog dead-letters --max 3 redr", "redrive"),
    ("flowlog replay --to ev", "eventhub"),
    ("flowlog replay --to some-f", "some-file.ndjson"),
)


class Typist:
    """Types into a shell that runs in a terminal, and waits for what appears."""

    def __init__(self, keys: IO[bytes], screen: IO[bytes]) -> None:
        self._keys, self._screen = keys, screen
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


@contextmanager
def in_a_terminal(shell: str, home: Path) -> Iterator[Typist]:
    environment = {
        "HOME": str(home),
        "PATH": f"{home / 'bin'}:{os.environ['PATH']}",
        "TERM": "xterm",
        "LANG": "C.UTF-8",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", "import pty, sys; pty.spawn(sys.argv[1:])", shell, "-i"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=home,
        env=environment,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    typist = Typist(process.stdin, process.stdout)
    try:
        yield typist
        typist.type("\x15exit\r")
        process.wait(10)
    finally:
        process.kill()
        process.communicate()


def installed(shell: str, script: str, home: Path) -> None:
    """As `flowlog completion --help` says."""
    told = completion.__doc__ or ""
    (place,) = re.findall(rf"flowlog completion {shell} > ~/(\S+)", told)
    assert f"mkdir -p ~/{Path(place).parent}\n" in told
    (home / place).parent.mkdir(parents=True)
    (home / place).write_text(script)
    if shell == "bash":
        loaded = BASH_COMPLETION if BASH_COMPLETION.exists() else home / place
        (home / ".bashrc").write_text(f"PS1='ready> '\n. {loaded}\n")
    elif shell == "zsh":
        assert "fpath+=~/.zfunc" in told
        assert "autoload -Uz compinit && compinit" in told.replace("\n", " ")
        # Also where somebody else owns zsh's own functions, as in some containers (-u).
        lines = "PS1='ready> '\nfpath+=~/.zfunc\nautoload -Uz compinit && compinit -u\n"
        (home / ".zshrc").write_text(lines)
    else:
        prompt = "function fish_prompt; echo -n 'ready> '; end\nset -g fish_greeting\n"
        (home / ".config/fish/config.fish").write_text(prompt)
    (home / "bin").mkdir()
    (home / "bin/flowlog").symlink_to("/bin/true")  # fish completes only what there is
    (home / "some-file.ndjson").touch()


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_the_tab_key_completes_in_a_terminal(
    shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    assert main(["completion", shell]) == 0
    installed(shell, capsys.readouterr().out, tmp_path)
    with in_a_terminal(shell, tmp_path) as typist:
        typist.wait_for("ready> ")
        for typed, expected in ASKED:
            typist.type(f"{typed}\t")
            # The shell echoes what is typed, then adds what is missing of the word, or writes it.
            written = typed.rsplit(" ", 1)[-1]
            typist.wait_for(expected if shell == "zsh" else expected.removeprefix(written))
            typist.type("\x15")
