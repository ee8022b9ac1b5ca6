"""`make package`: the zip that is deployed."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tools.package import AZURES_PYTHON, PACKAGES, package_files, packages_of, platforms

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = {"__main__.py", "consume.py", "analyze", "cli", "demo", "doctor", "operate", "testing"}
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


def test_packages_are_those_for_the_python_and_linux_of_azure() -> None:
    """Whatever this machine's are: pip is given the names, and derives none from another."""
    bicep = (ROOT / "infra/modules/function-app.bicep").read_text("utf-8")
    assert f"version: '{AZURES_PYTHON}'" in bicep
    # PEP 600, "Legacy manylinux tags": the glibc that each of them stands for.
    for legacy, tag in {"1": "_2_5", "2010": "_2_12", "2014": "_2_17"}.items():
        assert {f"manylinux{legacy}_x86_64", f"manylinux{tag}_x86_64"} <= set(platforms())
    assert platforms()[0] == "manylinux_2_28_x86_64"


def test_a_marker_is_judged_for_the_python_of_azure() -> None:
    text = "# those\na==1; python_version < '3.13'\na==2; python_version >= '3.13'\n\nb_c==3  # b\n"
    assert packages_of(text, "3.13") == ["a==2", "b_c==3"]
    assert packages_of(text, "3.12") == ["a==1", "b_c==3"]
    assert packages_of("w==1; sys_platform == 'win32'", "3.13") == []


def test_pip_is_asked_for_wheels_of_that_platform_and_builds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "requirements.txt").write_text("orjson==3.13.0\n")
    asked: list[list[str]] = []

    def run(command: list[str], **_: object) -> None:
        asked.append(command)
        for name in ("orjson/orjson.cpython-313-x86_64-linux-gnu.so", "bin/tool"):
            path = Path(command[command.index("--target") + 1]) / name
            path.parent.mkdir(parents=True)
            path.write_bytes(b"")

    monkeypatch.setattr(subprocess, "run", run)
    files = package_files(tmp_path, tmp_path / "packages", "3.13")
    assert list(files) == [f"{PACKAGES}/orjson/orjson.cpython-313-x86_64-linux-gnu.so"]
    [command] = asked
    assert {"--only-binary=:all:", "--no-deps", "orjson==3.13.0"} <= set(command)
    assert re.search("--python-version 3.13 .*--platform manylinux_2_28_x86_64", " ".join(command))
