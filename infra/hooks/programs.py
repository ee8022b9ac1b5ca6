"""Runs `az` and `azd`."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


def run(
    command: Sequence[str], environment: Mapping[str, str], folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """What a program printed, and its exit code."""
    return subprocess.run(  # noqa: S603 - a list of arguments, and no shell
        command,
        env=dict(environment),
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
