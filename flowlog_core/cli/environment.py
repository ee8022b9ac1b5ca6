"""What the commands that work on storage accounts share: their settings and their log."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from pathlib import Path

from flowlog_core.errors import SettingsError
from flowlog_core.settings import Settings


def add_settings_argument(parser: argparse.ArgumentParser) -> None:
    """Declare `--settings`."""
    parser.add_argument(
        "--settings",
        metavar="FILE",
        help="a local.settings.json; its Values count where the environment says nothing",
    )


def settings_of(options: argparse.Namespace) -> Settings | None:
    """The settings; None, and every fault on standard error, if they cannot be used."""
    environment = dict(os.environ)
    try:
        if options.settings:
            environment = {**_values(Path(options.settings)), **environment}
        return Settings.from_environment(environment)
    except (SettingsError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return None


def _values(file: Path) -> dict[str, str]:
    content = json.loads(file.read_text())
    if not isinstance(content, dict) or not isinstance(content.get("Values"), dict):
        fault = f"{file} is no local.settings.json: it has no object named Values"
        raise ValueError(fault)  # noqa: TRY004 - the content is wrong, not an argument's type
    return {str(name): str(value) for name, value in content["Values"].items()}


def log_to_stderr(level: int = logging.INFO) -> None:
    """Flowlog's own log, one line an event; of the SDK only warnings."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s"
    )
    logging.getLogger("flowlog_core").setLevel(level)
