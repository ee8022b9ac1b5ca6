"""azd's hooks, run as azd runs them, with an `az` and an `azd` that answer as Azure would.

What the hooks are, and how azure.yaml names them; what they do is in the files beside this one.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tree_sitter_powershell
from azure_stand_in import HOOKS, ROOT, Azure
from tree_sitter import Language, Parser

SCRIPTS = ("preprovision", "postprovision", "postdeploy")


def test_azd_finds_the_hooks() -> None:
    """azd takes the language from the ending, `InferHookKind` in models.go of its package ext."""
    text = (ROOT / "azure.yaml").read_text()
    named = re.findall(r"run: (\S+)", text)
    assert [name for name in named if not (ROOT / name).is_file()] == []
    assert [name for name in named if name.endswith(".py")] == [
        f"infra/hooks/{script}.py" for script in SCRIPTS
    ]
    assert [n for n in named if n.endswith(".sh") and not os.access(ROOT / n, os.X_OK)] == []


def test_azd_is_new_enough_for_hooks_in_python_and_for_azd_down() -> None:
    """Python hooks: 1.23.15, in cli/azd/CHANGELOG.md of Azure/azure-dev (ae35809f)."""
    found = re.search(r'azd: ">= (\d+)\.(\d+)\.(\d+)"', (ROOT / "azure.yaml").read_text())
    assert found
    assert tuple(map(int, found.groups())) >= (1, 24, 1)


def test_azd_installs_nothing_before_a_hook() -> None:
    """It takes the first of these upwards: `DiscoverProjectFile` in its project_discovery.go."""
    first = next(
        folder / name
        for folder in (HOOKS, *HOOKS.parents)
        for name in ("pyproject.toml", "requirements.txt", "package.json")
        if (folder / name).exists()
    )
    assert first == HOOKS / "requirements.txt"
    lines = first.read_text().splitlines()
    assert [line for line in lines if line.strip() and not line.startswith("#")] == []


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_hook_needs_nothing_but_python(script: str, tmp_path: Path) -> None:
    """azd's virtual environment is empty: `-I -S` leaves out all that is installed here."""
    code = (
        "import runpy, sys; sys.path.insert(0, '')\n"
        f"runpy.run_path({str(HOOKS / script)!r} + '.py')"
    )
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_older_python_is_told_so(script: str) -> None:
    """Before anything is imported that it could not read."""
    code = (
        "import runpy, sys; sys.version_info = (3, 9, 2)\n"
        f"runpy.run_path({str(HOOKS / script)!r} + '.py')"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stderr.startswith("Flowlog: the hooks need Python 3.11 or newer; this is ")


@pytest.mark.parametrize("script", SCRIPTS)
def test_without_the_azure_cli_it_says_so(script: str, tmp_path: Path) -> None:
    azure = Azure(tmp_path)
    (tmp_path / "az").unlink()
    settings = {
        "FLOWLOG_TRIAL": "true",
        "AZURE_SUBSCRIPTION_ID": "sub",
        "AZURE_RESOURCE_GROUP": "rg",
        "FLOWLOG_FUNCTION_APP": "func-x",
        "FLOWLOG_STORAGE_ACCOUNT": "stx",
        "FLOWLOG_EVENT_SOURCES": "x",
        "PATH": str(tmp_path),
    }
    ran = azure.run(HOOKS / f"{script}.py", settings)
    assert (ran.returncode, ran.stdout, ran.stderr) == (
        1,
        "",
        "Flowlog: the Azure CLI, 'az', was not found. Install it "
        f"(https://aka.ms/installazurecli), then run 'azd hooks run {script}'.\n",
    )


@pytest.mark.parametrize("script", ["postprovision", "postdeploy"])
def test_everything_that_is_not_set_is_named_at_once(script: str, tmp_path: Path) -> None:
    azure = Azure(tmp_path)
    settings = {"AZURE_SUBSCRIPTION_ID": "sub", "FLOWLOG_STORAGE_ACCOUNT": "stx"}
    ran = azure.run(HOOKS / f"{script}.py", settings)
    assert (ran.returncode, azure.calls) == (1, [])
    assert ran.stderr == (
        "Flowlog: not set: AZURE_RESOURCE_GROUP, FLOWLOG_FUNCTION_APP, FLOWLOG_EVENT_SOURCES. "
        "'azd provision' sets them.\n"
    )


def test_who_is_signed_in_to_azd_alone_is_told_of_az_login(tmp_path: Path) -> None:
    azure = Azure(tmp_path)
    azure.answers("account show", (1, "ERROR: Please run 'az login' to setup account.\n"))
    ran = azure.run(
        HOOKS / "preprovision.py", {"FLOWLOG_TRIAL": "true", "AZURE_SUBSCRIPTION_ID": "sub"}
    )
    assert ran.returncode == 1
    assert ran.stderr == (
        "Flowlog: ERROR: Please run 'az login' to setup account.\n"
        "Flowlog: the Azure CLI cannot use subscription sub. Run 'az login', then "
        "'azd hooks run preprovision'.\n"
    )


def packed(folder: Path, machine: str, python: str) -> tuple[str, dict[str, str]]:
    """What `prepackage.sh` says in an app's folder, and the libraries that are there then.

    One was there before, which nobody knows the sources of, and other things of who works there.
    """
    system, processor = machine.split()
    uname = f'test "$1" = -s && echo {system} || echo {processor}'
    for name, script in {"uname": uname, "python3": python}.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    app = folder / "app"
    (app / "infra/hooks").mkdir(parents=True)
    (app / "flowlog_core").mkdir()
    (app / "flowlog_core/_tuple_writer.abi3.so").write_text("compiled before")
    for made_before in ("compiled", "lib.linux-x86_64", "temp.linux-x86_64", "flowlog.zip"):
        (app / "build" / made_before).mkdir(parents=True)
    shutil.copy(HOOKS / "prepackage.sh", app / "infra/hooks")
    ran = subprocess.run(
        ["sh", app / "infra/hooks/prepackage.sh"],
        env={"PATH": f"{folder}:{os.defpath}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stderr == ""
    assert {path.name for path in (app / "build").iterdir()} - {"compiled"} == {"flowlog.zip"}
    return ran.stdout, {path.name: path.read_text() for path in (app / "flowlog_core").iterdir()}


MAKES_IT = """
for last; do :; done
test "$1 $2 $last" = "-m pip ." && mkdir -p build/compiled/flowlog_core &&
echo > build/compiled/flowlog_core/_tuple_writer.abi3.so
"""
SLOWER = "Flowlog: The app will run all the same, and take several times as long for normalizing.\n"


def test_what_is_packed_was_compiled_before(tmp_path: Path) -> None:
    said, libraries = packed(tmp_path, "Linux x86_64", MAKES_IT)
    assert said == "Flowlog: compiled _tuple_writer.abi3.so.\n"
    assert libraries == {"_tuple_writer.abi3.so": "\n"}


@pytest.mark.parametrize(
    ("machine", "python", "reason"),
    [
        ("Darwin arm64", MAKES_IT, "Azure runs on Linux x86_64, this is Darwin arm64"),
        ("Linux aarch64", MAKES_IT, "Azure runs on Linux x86_64, this is Linux aarch64"),
        ("Linux x86_64", "echo no pip; exit 1", "pip says: no pip"),
        ("Linux x86_64", "exit 0", "a C compiler and the headers of Python are needed"),
    ],
)
def test_what_cannot_be_compiled_is_packed_without(
    tmp_path: Path, machine: str, python: str, reason: str
) -> None:
    said, libraries = packed(tmp_path, machine, python)
    assert said == f"Flowlog: not compiled: {reason}.\n{SLOWER}"
    assert libraries == {}


POWERSHELL = Parser(Language(tree_sitter_powershell.language()))


@pytest.mark.parametrize("script", sorted(HOOKS.glob("*.ps1")), ids=lambda path: path.stem)
def test_powershell_could_read_its_scripts(script: Path) -> None:
    text = script.read_bytes()
    assert not POWERSHELL.parse(text).root_node.has_error
    assert POWERSHELL.parse(text + b"if ($true) {").root_node.has_error
