"""Facts about the files around the code that must hold, and that nothing else would notice."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pathspec import GitIgnoreSpec

import flowlog_core
from flowlog_core.demo import azurite

ROOT = Path(__file__).resolve().parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DEPLOYED = {"host.json", "requirements.txt", "function_app.py", "flowlog_core"}
NOT_DEPLOYED = (
    "flowlog_core/__main__.py",
    "flowlog_core/analyze/",
    "flowlog_core/cli/",
    "flowlog_core/consume.py",
    "flowlog_core/demo/",
    "flowlog_core/doctor/",
    "flowlog_core/operate/",
    "flowlog_core/testing/",
)

# In pieces, so that this file does not hold what it forbids.
REGISTRIES = [
    "npm" + "js.",
    "yarn" + "pkg.",
    "py" + "pi.org",
    "python" + "hosted",
    "deb." + "debian",
]
MACHINE_PATHS = ["wo" + "rk", "ro" + "ot", "tm" + "p"]
FORBIDDEN = re.compile(
    "|".join(map(re.escape, REGISTRIES)) + rf"|(?<![\w.])/({'|'.join(MACHINE_PATHS)})/"
)


def read_json(name: str) -> Any:
    return json.loads((ROOT / name).read_text(encoding="utf-8"))


def requirements(name: str) -> list[Requirement]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith(("#", "-r "))]


def pins_for_this_python(name: str) -> dict[str, str]:
    """Package, its name normalized, -> the version that is pinned."""
    return {
        canonicalize_name(r.name): str(r.specifier).removeprefix("==")
        for r in requirements(name)
        if r.marker is None or r.marker.evaluate()
    }


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    """The repository's files, as paths from its root."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git repository: cannot tell its files from what lies around")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()]


@pytest.fixture(scope="module")
def funcignore() -> GitIgnoreSpec:
    return GitIgnoreSpec.from_lines((ROOT / ".funcignore").read_text().splitlines())


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_requirement_is_pinned_to_one_version(name: str) -> None:
    operators = {str(r): [s.operator for s in r.specifier] for r in requirements(name)}
    assert operators == {text: ["=="] for text in operators}


def test_what_is_installed_here_is_what_is_deployed() -> None:
    pins = pins_for_this_python("requirements.txt")
    assert {name: importlib.metadata.version(name) for name in pins} == pins


def test_what_the_pinned_packages_need_is_pinned_too() -> None:
    pins = pins_for_this_python("requirements.txt")
    needed = {
        canonicalize_name(r.name)
        for name in pins
        for r in map(Requirement, importlib.metadata.requires(name) or [])
        if r.marker is None or r.marker.evaluate({"extra": ""})
    }
    assert needed - pins.keys() == set()


def test_the_pins_are_within_the_bounds_of_the_package() -> None:
    pins = pins_for_this_python("requirements.txt")
    extras = PROJECT["optional-dependencies"]
    deployed = (*PROJECT["dependencies"], *extras["app"], *extras["telemetry"], *extras["traffic"])
    bounds = [Requirement(text) for text in deployed]
    outside = [str(b) for b in bounds if not b.specifier.contains(pins[canonicalize_name(b.name)])]
    assert outside == []


def test_the_host_is_told_the_bundle_with_the_blob_trigger() -> None:
    host = read_json("host.json")
    assert host["version"] == "2.0"
    assert host["extensionBundle"] == {
        "id": "Microsoft.Azure.Functions.ExtensionBundle",
        "version": "[4.*, 5.0.0)",
    }


def test_sample_settings_are_for_azurite_and_hold_no_key() -> None:
    storage = "UseDevelopmentStorage=true"
    assert read_json("local.settings.sample.json") == {
        "IsEncrypted": False,
        "Values": {
            "FUNCTIONS_WORKER_RUNTIME": "python",
            "AzureWebJobsStorage": storage,
            "FlowLogs": storage,
            "FLOWLOG_TRIGGER_SOURCE": "LogsAndContainerScan",
        },
    }


def test_azurite_is_the_version_that_the_code_names_and_its_lock_names_no_host() -> None:
    lock = read_json("tools/azurite/package-lock.json")["packages"]
    assert read_json("tools/azurite/package.json")["dependencies"] == {"azurite": azurite.VERSION}
    assert lock["node_modules/azurite"]["version"] == azurite.VERSION
    packages = {path: package for path, package in lock.items() if path}
    assert [path for path, package in packages.items() if "resolved" in package] == []
    assert [path for path, package in packages.items() if "integrity" not in package] == []


def test_only_the_app_is_deployed(tracked: list[str], funcignore: GitIgnoreSpec) -> None:
    """Something new at the top belongs either to the app or into .funcignore."""
    left = [name for name in tracked if not funcignore.match_file(name)]
    assert {name.split("/")[0] for name in left} <= DEPLOYED
    assert [name for name in left if name.startswith(NOT_DEPLOYED)] == []


def test_all_of_the_app_is_deployed(tracked: list[str], funcignore: GitIgnoreSpec) -> None:
    app = [n for n in tracked if n.split("/")[0] in DEPLOYED and not n.startswith(NOT_DEPLOYED)]
    assert [name for name in [*app, *DEPLOYED] if funcignore.match_file(name)] == []


def imported(path: Path) -> Iterator[str]:
    """The absolute names of modules that a file imports, with what it takes from them."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_what_is_deployed_imports_nothing_that_is_not(
    tracked: list[str], funcignore: GitIgnoreSpec
) -> None:
    left_behind = tuple(n.removesuffix(".py").replace("/", ".") for n in NOT_DEPLOYED)
    wrong = [
        f"{name} imports {module}"
        for name in tracked
        if name.endswith(".py") and not funcignore.match_file(name)
        for module in imported(ROOT / name)
        if f"{module}.".startswith(left_behind)
    ]
    assert wrong == []


def test_no_file_names_a_registry_or_a_path_of_one_machine(tracked: list[str]) -> None:
    found = [
        f"{name}:{number}: {match.group()}"
        for name in tracked
        for number, line in enumerate((ROOT / name).read_text("utf-8", "replace").splitlines(), 1)
        if (match := FORBIDDEN.search(line))
    ]
    assert found == []


def test_the_changelog_tells_of_this_version_which_is_named_once() -> None:
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] in ("Unreleased", PROJECT["version"])
    assert flowlog_core.__version__ == PROJECT["version"]
