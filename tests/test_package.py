"""`make package`: the zip that is deployed."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = {"__main__.py", "analyze", "cli", "demo", "doctor", "testing"}
SUFFIXES_LEFT_OUT = {".pyc", ".pyi", ".c", ".h"}


def package(output: Path) -> str:
    """Build it; what was printed."""
    command = [sys.executable, str(ROOT / "tools/package.py"), "--output", str(output)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def expected() -> list[str]:
    """Found without .funcignore: the app's files at the top, and its package but for some parts."""
    core = ROOT / "flowlog_core"
    names = ["function_app.py", "host.json", "requirements.txt"]
    for path in core.rglob("*"):
        parts = path.relative_to(core).parts
        if path.is_file() and parts[0] not in LEFT_OUT and path.suffix not in SUFFIXES_LEFT_OUT:
            names.append(path.relative_to(ROOT).as_posix())
    return sorted(names)


def test_it_holds_the_app_and_nothing_else(tmp_path: Path) -> None:
    package(tmp_path / "app.zip")
    with zipfile.ZipFile(tmp_path / "app.zip") as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    assert list(held) == expected()
    assert held == {name: (ROOT / name).read_bytes() for name in expected()}


def test_it_tells_what_it_holds_and_how_large_it_is(tmp_path: Path) -> None:
    output = tmp_path / "new folder" / "app.zip"
    *names, last = package(output).splitlines()
    assert [name.strip() for name in names] == expected()
    assert last == f"{output}: {len(names)} files, {output.stat().st_size:,} bytes"


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    """Whatever their times: the zip names one day and one mode for all."""
    for name in ("one.zip", "two.zip"):
        package(tmp_path / name)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        stamps = {(entry.date_time, entry.external_attr >> 16) for entry in archive.infolist()}
    assert stamps == {((1980, 1, 1, 0, 0, 0), 0o100644)}
