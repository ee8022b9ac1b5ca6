"""Build the zip that is deployed: what .funcignore leaves, the same bytes for the same files.

Azure installs requirements.txt itself (remote build). `--with-dependencies` puts the packages in
instead, for a place without a way to the package index. They are those for this machine and for
the Python that `--python` names, so run it on Linux with the function app's version of Python.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from pathspec import GitIgnoreSpec

PROJECT = Path(__file__).resolve().parents[1]
PACKAGES = ".python_packages/lib/site-packages"  # where the worker looks for an app's packages


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


def package_files(root: Path, folder: Path, python: str) -> dict[str, Path]:
    """Name in the zip -> file of an installed requirement; installs them into `folder`."""
    pip = [python, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    # Byte code and scripts name this machine's paths, and neither is of use in Azure.
    options = ["--no-compile", "--target", str(folder), "-r", str(root / "requirements.txt")]
    subprocess.run([*pip, *options], check=True)
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
    parser.add_argument("--python", default=sys.executable, help="whose packages; this one's")
    options = parser.parse_args()
    files = app_files(PROJECT)
    for name in sorted(files):
        print(f"  {name}")
    with tempfile.TemporaryDirectory() as folder:
        if options.with_dependencies:
            packages = package_files(PROJECT, Path(folder), options.python)
            print(f"  {PACKAGES}/ ({len(packages)} files)")
            files |= packages
        write(options.output, files)
    print(f"{options.output}: {len(files)} files, {options.output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
