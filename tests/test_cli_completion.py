"""Completion in the shells themselves: what the Tab key adds in a terminal, installed as told."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
from terminal import in_a_terminal

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
    environment = {"HOME": str(tmp_path), "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    with in_a_terminal([shell, "-i"], tmp_path, environment) as typist:
        typist.wait_for("ready> ")
        for typed, expected in ASKED:
            typist.type(f"{typed}\t")
            # The shell echoes what is typed, then adds what is missing of the word, or writes it.
            written = typed.rsplit(" ", 1)[-1]
            typist.wait_for(expected if shell == "zsh" else expected.removeprefix(written))
            typist.type("\x15")
        typist.type("exit\r")
        typist.exit_code()
