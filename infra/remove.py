"""List what Flowlog put into the resource groups of log accounts, then remove it.

    python infra/remove.py                    # lists, for all accounts; deletes nothing
    python infra/remove.py --yes              # lists, then deletes
    python infra/remove.py --account eastus   # for one account, by its name or resource id

`azd down` leaves those groups alone. This finds what is in them before it, and after it as long as
the azd environment is there. It asks azd for its values and calls the Azure CLI, `az`.
"""

import sys
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 - `python` may be any
    sys.exit("Flowlog: this needs Python 3.11 or newer; this is " + sys.version.split()[0])

sys.path[0] = str(Path(__file__).resolve().parents[1])  # in the place of this folder

from infra.hooks.leftovers import main  # noqa: E402 - found by the line before

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
