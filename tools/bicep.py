"""Microsoft's Bicep compiler, wherever it is: `python tools/bicep.py build infra/main.bicep`.

Every argument goes to the compiler. `check FILE...` is ours: it lints each file and fails on
anything that the compiler says, warnings too. Ends with `NOT_FOUND` where there is no compiler.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOT_FOUND = 3
MISSING = (
    "no Bicep compiler: neither 'bicep' on the PATH, nor the one of 'az bicep install' or of azd, "
    "nor ../shared/tools/bicep"
)


def find() -> Path | None:
    """The compiler; `az` and `azd` keep one of their own beside their settings."""
    home = Path.home()
    azure = Path(os.environ.get("AZURE_CONFIG_DIR") or home / ".azure")
    azd = Path(os.environ.get("AZD_CONFIG_DIR") or home / ".azd")
    name = "bicep.exe" if os.name == "nt" else "bicep"
    found = shutil.which("bicep")
    places = [azure / "bin" / name, azd / "bin" / name, ROOT.parent / "shared/tools" / name]
    return Path(found) if found else next((one for one in places if one.is_file()), None)


def environment() -> dict[str, str]:
    """The compiler unpacks itself into HOME, and does without the ICU library if it may."""
    changed = {"DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1", **os.environ}
    if not Path.home().is_dir():
        changed["HOME"] = tempfile.gettempdir()
    return changed


def check(compiler: Path, files: list[str]) -> int:
    """Lint; 1 if there is any finding."""
    worst = 0
    for file in files:
        ran = subprocess.run(
            [compiler, "lint", file], env=environment(), capture_output=True, text=True, check=False
        )
        said = ran.stdout + ran.stderr
        print(said, end="", file=sys.stderr)
        worst |= bool(ran.returncode or said.strip())
    return worst


def main(arguments: list[str]) -> int:
    """Run the compiler; returns its exit code."""
    compiler = find()
    if compiler is None:
        print(MISSING, file=sys.stderr)
        return NOT_FOUND
    if arguments[:1] == ["check"]:
        return check(compiler, arguments[1:])
    return subprocess.run([compiler, *arguments], env=environment(), check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
