"""Build the zip that is deployed: what .funcignore leaves, the same bytes for the same files.

Azure installs requirements.txt itself (remote build). `--with-dependencies` puts the packages in
instead, for a place without a way to the package index. They are those for the function app's
Linux and its version of Python, whatever this machine is.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from pathspec import GitIgnoreSpec

PROJECT = Path(__file__).resolve().parents[1]
PACKAGES = ".python_packages/lib/site-packages"  # where the worker looks for an app's packages

AZURES_PYTHON = "3.13"
"""Of the function app, as infra/modules/function-app.bicep asks for it."""
GLIBC = 28
"""The minor version of glibc 2 that packages may ask for. Azure's image has a newer one."""


def left_by(ignored: GitIgnoreSpec, folder: Path, root: Path) -> Iterator[Path]:
    """The files below `folder` that are not ignored; ignored folders are not looked into."""
    for path in folder.iterdir():
        name = path.relative_to(root).as_posix()
        if path.is_dir():
            if not ignored.match_file(f"{name}/"):
                yield from left_by(ignored, path, root)
        elif not ignored.match_file(name):
            yield path


def app_files(root: Path) -> dict[str, Path]:
    """Name in the zip -> file of the app."""
    ignored = GitIgnoreSpec.from_lines((root / ".funcignore").read_text("utf-8").splitlines())
    return {path.relative_to(root).as_posix(): path for path in left_by(ignored, root, root)}


def packages_of(requirements: str, python: str) -> list[str]:
    """The lines of a requirements.txt that hold on Linux with this version of Python.

    pip itself would judge the markers by the Python that it runs on.
    """
    there = {"python_version": python, "python_full_version": f"{python}.0"}
    there |= {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"}
    lines = (line.partition("#")[0].strip() for line in requirements.splitlines())
    asked = [Requirement(line) for line in lines if line]
    holding = [one for one in asked if one.marker is None or one.marker.evaluate(there)]
    return [f"{one.name}{one.specifier}" for one in holding]


def platforms() -> list[str]:
    """What pip calls the platforms whose wheels run in Azure; it derives none from another."""
    older = {5: "manylinux1", 12: "manylinux2010", 17: "manylinux2014"}
    names = []
    for minor in range(GLIBC, 4, -1):
        names += [f"manylinux_2_{minor}_x86_64"]
        names += [f"{older[minor]}_x86_64"] if minor in older else []
    return names


def package_files(root: Path, folder: Path, python: str) -> dict[str, Path]:
    """Name in the zip -> file of a requirement; installs them into `folder`.

    Raises `CalledProcessError` if one of them has no wheel for Azure's platform.
    """
    options = ["--target", str(folder), "--python-version", python, "--implementation", "cp"]
    for platform in platforms():
        options += ["--platform", platform]
    # Nothing is built here, as that would be for this machine; requirements.txt names everything.
    options += ["--only-binary=:all:", "--no-deps"]
    # pip would hold the packages against the Python that it runs on; they are pinned anyway.
    options += ["--ignore-requires-python"]
    # Byte code and scripts name this machine's paths, and neither is of use in Azure.
    options += ["--no-compile"]
    pip = [sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    wanted = packages_of((root / "requirements.txt").read_text("utf-8"), python)
    subprocess.run([*pip, *options, *wanted], check=True)
    files = (path for path in folder.rglob("*") if path.is_file())
    named = {path.relative_to(folder): path for path in files}
    return {f"{PACKAGES}/{n.as_posix()}": path for n, path in named.items() if n.parts[0] != "bin"}


def write(output: Path, files: dict[str, Path]) -> None:
    """Write the zip: sorted by name, with one time and one mode for all."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(output, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name)  # dated 1 January 1980, the first day a zip knows
            entry.create_system, entry.external_attr = 3, 0o100644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name].read_bytes())


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the zip that is deployed.")
    parser.add_argument("--output", type=Path, default=PROJECT / "build" / "flowlog.zip")
    parser.add_argument("--with-dependencies", action="store_true", help="no remote build needed")
    parser.add_argument("--python-version", default=AZURES_PYTHON, help="of the function app")
    options = parser.parse_args()
    files = app_files(PROJECT)
    for name in sorted(files):
        print(f"  {name}")
    with tempfile.TemporaryDirectory() as folder:
        if options.with_dependencies:
            packages = package_files(PROJECT, Path(folder), options.python_version)
            print(f"  {PACKAGES}/ ({len(packages)} files)")
            files |= packages
        write(options.output, files)
    print(f"{options.output}: {len(files)} files, {options.output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
