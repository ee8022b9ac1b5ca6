"""Print a script that completes commands, options and their values in bash, zsh or fish.

New shells use it. Print it again after each update of Flowlog. bash needs the package
bash-completion. In zsh, put fpath+=~/.zfunc above compinit in ~/.zshrc; without compinit there,
put it at the end, followed by autoload -Uz compinit && compinit.

Create the folder if it does not exist:
  mkdir -p ~/.local/share/bash-completion/completions
  mkdir -p ~/.zfunc
  mkdir -p ~/.config/fish/completions

Examples:
  flowlog completion bash > ~/.local/share/bash-completion/completions/flowlog
  flowlog completion zsh > ~/.zfunc/_flowlog
  flowlog completion fish > ~/.config/fish/completions/flowlog.fish
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from flowlog_core.cli.options import SINK_OR_FILE, SINKS

SHELLS = ("bash", "zsh", "fish")

_SINKS = " ".join(SINKS)
_SINK_OR_FILE = {
    "bash": "_flowlog_sink_or_file",
    "zsh": f"{{compadd {_SINKS}; _files}}",
    "fish": f"(string split ' ' '{_SINKS}'; __fish_complete_path (commandline -ct))",
    "preamble": {
        "bash": f"""
_flowlog_sink_or_file() {{
  compgen -W "{_SINKS}" -- "$1"
  compgen -f -- "$1"
}}"""
    },
}
"""What `flowlog replay --to` takes, as shtab has it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `flowlog completion`."""
    parser.add_argument("shell", choices=SHELLS, metavar="|".join(SHELLS), help="the shell")


def run(options: argparse.Namespace) -> int:
    """Print the script. Returns the exit code."""
    try:
        import shtab  # noqa: PLC0415 - of the extra `cli`
    except ImportError:
        print(
            "flowlog completion needs shtab. Run: pip install 'flowlog-azure[cli]'", file=sys.stderr
        )
        return 2
    from flowlog_core.cli import whole_parser  # noqa: PLC0415 - imports every command

    parser = whole_parser()
    files = {"FILE": shtab.FILE, "SOURCE": shtab.FILE, "DIR": shtab.DIRECTORY}
    _complete_names(parser, {**files, SINK_OR_FILE: _SINK_OR_FILE})
    print(shtab.complete(parser, options.shell))
    return 0


def _complete_names(parser: argparse.ArgumentParser, by_metavar: Mapping[str, Any]) -> None:
    """Let the shell complete the names of files where an option's metavar says that it is one."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                _complete_names(command, by_metavar)
        elif isinstance(action.metavar, str) and action.metavar in by_metavar:
            action.complete = by_metavar[action.metavar]  # type: ignore[attr-defined]  # shtab's
