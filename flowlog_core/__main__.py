"""`python -m flowlog_core`, also installed as `flowlog`."""

from __future__ import annotations

import sys

from flowlog_core.cli import main

if __name__ == "__main__":
    sys.exit(main())
