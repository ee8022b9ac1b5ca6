"""Send events to an app that has its code, after azd made its resources: see after.py."""

import sys
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 - azd takes the first Python that it finds
    sys.exit("Flowlog: the hooks need Python 3.11 or newer; this is " + sys.version.split()[0])

sys.path[0] = str(Path(__file__).resolve().parents[2])  # in the place of this folder

from infra.hooks.after import postprovision  # noqa: E402 - found by the line before
from infra.hooks.hook import run  # noqa: E402

if __name__ == "__main__":
    sys.exit(run("postprovision", postprovision))
