"""azd's hooks, run as azd runs them, with an `az` and an `azd` that answer as Azure would.

What the hooks are, and how azure.yaml names them; what they do is in the files beside this one.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from azure_stand_in import HOOKS, ROOT, Azure

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
    ran = azure.run_alone(HOOKS / f"{script}.py", settings)
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
    ran = azure.run_alone(HOOKS / f"{script}.py", settings)
    assert (ran.returncode, azure.calls) == (1, [])
    assert ran.stderr == (
        "Flowlog: not set: AZURE_RESOURCE_GROUP, FLOWLOG_FUNCTION_APP, FLOWLOG_EVENT_SOURCES. "
        "'azd provision' sets them.\n"
    )


def test_who_is_signed_in_to_azd_alone_is_told_of_az_login(tmp_path: Path) -> None:
    azure = Azure(tmp_path)
    azure.answers("account show", (1, "ERROR: Please run 'az login' to setup account.\n"))
    ran = azure.run_alone(
        HOOKS / "preprovision.py", {"FLOWLOG_TRIAL": "true", "AZURE_SUBSCRIPTION_ID": "sub"}
    )
    assert ran.returncode == 1
    assert ran.stderr == (
        "Flowlog: ERROR: Please run 'az login' to setup account.\n"
        "Flowlog: the Azure CLI cannot use subscription sub. Run 'az login', then "
        "'azd hooks run preprovision'.\n"
    )
