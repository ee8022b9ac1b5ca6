"""`python -m flowlog_core`, also installed as `flowlog`."""

from __future__ import annotations

import sys

_INTERRUPTED = 130


def main() -> int:
    """Run the command line. Ctrl-C ends it quietly while its modules are imported too."""
    try:
        from flowlog_core.cli import main as run_command  # noqa: PLC0415 - half a second
    except KeyboardInterrupt:
        return _INTERRUPTED
    return run_command()


if __name__ == "__main__":
    sys.exit(main())
