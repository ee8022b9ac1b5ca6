"""How long the worker takes to import the app: the cost of a cold start before its first event.

    python -m bench.starting

Imports function_app in fresh processes, with .venv-worker's newest Python if there is one, and
prints the shortest and the median time, then the packages that take most of it, each without
the packages that it imports. The first process, which compiles what is new, is not counted.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 9
SETTINGS = {
    "FlowLogs": "UseDevelopmentStorage=true",
    "AzureWebJobsStorage": "UseDevelopmentStorage=true",
}
TIMED = """
import time; start = time.perf_counter()
import function_app; print(time.perf_counter() - start)
"""
_IMPORT = re.compile(r"import time: +(\d+) \| +\d+ \| +(\S+)")


def run(python: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **SETTINGS},
        capture_output=True,
        text=True,
        check=True,
    )


def package_of(module: str) -> str:
    parts = module.split(".")
    return ".".join(parts[: 2 if parts[0].startswith("azure") else 1])


def main() -> None:
    prepared = sorted((ROOT / ".venv-worker").glob("*/bin/python"))
    python = (prepared or [Path(sys.executable)])[-1]
    times_s = [float(run(python, "-c", TIMED).stdout) for _ in range(1 + ROUNDS)][1:]
    version = run(python, "--version").stdout.strip()
    print(f"import function_app, {version}, {ROUNDS} processes")
    print(f"  shortest {min(times_s):.2f} s, median {median(times_s):.2f} s")
    own_us: Counter[str] = Counter()
    for own, module in _IMPORT.findall(run(python, "-X", "importtime", "-c", TIMED).stderr):
        own_us[package_of(module)] += int(own)
    for name, microseconds in own_us.most_common(5):
        print(f"  {microseconds / 1000:6.0f} ms  {name}")


if __name__ == "__main__":
    main()
