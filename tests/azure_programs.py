"""What the stand-ins for `az` and `azd` do; imported by them, so it imports little."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path


def answer(folder: Path, program: str, words: Sequence[str]) -> tuple[int, str, str]:
    """Record a call in `folder`; the exit code, and what is printed on either stream."""
    with (folder / "calls").open("a") as calls:
        calls.write(json.dumps([program, *words]) + "\n")
    if words[0] == "rest":
        at = words.index("--uri-parameters") + 1
        query = [word for word in words[at:] if not word.startswith(("--", "json", "api-version"))]
        key = " ".join([words[2].upper(), words[4], *query])
        assert any(word.startswith("api-version=") for word in words) or "://" in words[4], words
    else:
        key = " ".join(words[:2])
    answers = folder / "answers"
    left = json.loads(answers.read_text())
    mine = left.get(key)
    if mine is None and key.startswith("DELETE "):
        mine = [[0, "", ""]]
    if mine is None and words[0] == "rest":
        said = json.dumps({"error": {"code": "ResourceNotFound", "message": key}})
        mine = [[3, "", f"ERROR: Not Found({said})\n"]]
    if mine is None:
        mine = [[1, "", f"ERROR: the stand-in has no answer to: {key}\n"]]
    code, out, err = mine.pop(0) if len(mine) > 1 else mine[0]
    answers.write_text(json.dumps(left))
    return code, out, err
