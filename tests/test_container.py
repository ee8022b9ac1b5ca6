"""The Dockerfile, as far as it can be checked without Docker: what it copies and what it runs."""

from __future__ import annotations

import json
import re
from pathlib import Path

from pathspec import GitIgnoreSpec

from flowlog_core.cli import whole_parser

ROOT = Path(__file__).resolve().parents[1]
# Instructions, their continued lines joined; comments left out.
INSTRUCTIONS = [
    (line.split(maxsplit=1)[0], line.split(maxsplit=1)[1])
    for line in re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text("utf-8")).splitlines()
    if line and not line.startswith("#")
]


def said(instruction: str) -> list[str]:
    return [text for name, text in INSTRUCTIONS if name == instruction]


def test_what_is_copied_exists_and_is_sent_to_docker() -> None:
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    # Docker's patterns begin at the root, as Git's do after a slash.
    ignored = GitIgnoreSpec.from_lines(re.sub(r"^(!?)", r"\1/", line) for line in lines)
    copied = [
        path
        for text in said("COPY")
        if not text.startswith("--from=")
        for path in text.split()[:-1]
    ]
    assert {"requirements.txt", "pyproject.toml", "flowlog_core"} <= set(copied)
    assert [path for path in copied if not (ROOT / path).exists()] == []
    files = [
        each.relative_to(ROOT).as_posix()
        for path in copied
        for each in ([ROOT / path] if (ROOT / path).is_file() else (ROOT / path).rglob("*.py"))
    ]
    assert [path for path in files if ignored.match_file(path)] == []


def test_the_files_that_the_package_needs_are_copied() -> None:
    """Setuptools reads them when it builds."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    needed = re.findall(r'^(?:readme = |license-files = \[)"([^"]+)"', text, re.MULTILINE)
    assert needed == ["README.md", "LICENSE"]
    assert set(needed) <= set(" ".join(said("COPY")).split())


def test_it_runs_a_command_that_exists_as_a_user_who_is_not_root() -> None:
    assert json.loads(said("ENTRYPOINT")[0]) == ["flowlog"]
    options = whole_parser().parse_args(json.loads(said("CMD")[0]))
    assert options.command == "run"
    user, group = map(int, said("USER")[0].split(":"))
    assert min(user, group) > 0
    (health,) = said("HEALTHCHECK")
    assert str(options.heartbeat) in health


def test_both_stages_have_the_same_python() -> None:
    """The second takes the first one's environment over."""
    assert {text.split()[0] for text in said("FROM")} == {"python:3.13-slim"}
