"""Build the distribution, and try it as somebody does who has nothing but pip.

Builds wheel and sdist, lets twine check them, installs each into a clean environment without
extras, and runs the first commands there. Prints what it did; exits with 1 at the first fault.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
NOT_SOURCE = (".*", "build", "node_modules", "__pycache__", "*.egg-info")

ENTRY = (
    '{"records":[{"time":"2018-11-13T12:00:35.3899262Z","systemId":"a","category":'
    '"NetworkSecurityGroupFlowEvent","resourceId":"/SUBSCRIPTIONS/A","operationName":'
    '"NetworkSecurityGroupFlowEvents","properties":{"Version":1,"flows":[{"rule":"Allow","flows":'
    '[{"mac":"000D3AF87856","flowTuples":["1542110377,203.0.113.5,10.5.16.4,35370,443,T,I,A"]}]}]}}]}'
)


def run(*command: str | Path, cwd: Path, exit_code: int = 0) -> str:
    """What a command prints on either stream. Exits if its exit code is another one."""
    done = subprocess.run(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode != exit_code:
        sys.exit(f"{' '.join(map(str, command))} exited with {done.returncode}:\n{done.stdout}")
    return done.stdout


def check(distribution: Path, folder: Path) -> None:
    """Install one distribution into an environment of its own, and use it."""
    environment = folder / f"{distribution.name}.env"
    venv.create(environment)
    tools = environment / "bin"
    pip = (sys.executable, "-m", "pip", "--python", tools / "python", "--disable-pip-version-check")
    run(*pip, "install", "-q", distribution, cwd=folder)
    log = folder / "PT1H.json"
    log.write_text(ENTRY, "utf-8")
    assert "parse" in run(tools / "flowlog", "--help", cwd=folder)
    assert '"src_ip":"203.0.113.5"' in run(tools / "flowlog", "parse", log, cwd=folder)
    said = run(tools / "flowlog", "run", "--help", cwd=folder, exit_code=2)
    assert said.endswith("pip install 'flowlog-azure[app]'\n"), said
    print(f"{distribution.name}: installs alone, parses a log, names the extra that `run` needs")


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        # From a copy: building writes into the source folder, which `make lint` may be reading.
        source = folder / "source"
        shutil.copytree(PROJECT, source, ignore=shutil.ignore_patterns(*NOT_SOURCE))
        # This environment has what building needs, and pip builds the sdist in one of its own.
        build = (sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, source)
        run(*build, cwd=folder)
        distributions = sorted(path for path in folder.iterdir() if path.is_file())
        print(run(sys.executable, "-m", "twine", "check", "--strict", *distributions, cwd=folder))
        for distribution in distributions:
            check(distribution, folder)


if __name__ == "__main__":
    main()
