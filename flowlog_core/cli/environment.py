"""What the commands that work on storage accounts share: their settings and their log."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from flowlog_core.config.settings import Settings
from flowlog_core.errors import SettingsError


def add_settings_argument(parser: argparse.ArgumentParser) -> None:
    """Declare `--settings`."""
    parser.add_argument(
        "--settings",
        metavar="FILE",
        help="a local.settings.json; its Values count where the environment says nothing",
    )


def environment_of(options: argparse.Namespace) -> dict[str, str]:
    """The environment, and behind it what `--settings` names.

    Raises `OSError` or `ValueError` if the file cannot be read.
    """
    if not options.settings:
        return dict(os.environ)
    return {**_values(Path(options.settings)), **os.environ}


def settings_of(options: argparse.Namespace) -> Settings | None:
    """The settings; None, and every fault on standard error, if they cannot be used."""
    try:
        return Settings.from_environment(environment_of(options))
    except (SettingsError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return None


def _values(file: Path) -> dict[str, str]:
    try:
        content = json.loads(file.read_text("utf-8-sig"))  # some editors begin a file with a mark
    except ValueError as error:
        raise ValueError(f"{file} is no local.settings.json: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("Values"), dict):
        fault = f"{file} is no local.settings.json: it has no object named Values"
        raise ValueError(fault)  # noqa: TRY004 - the content is wrong, not an argument's type
    return {str(name): str(value) for name, value in content["Values"].items()}


class JsonLines(logging.Formatter):
    """A log record as one JSON object a line: time, level, logger, message, then its fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's line. `fields` are what `LogObserver` says of a blob."""
        told: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=False, default=str)


def log_to_stderr(level: int = logging.INFO, *, as_json: bool = False) -> None:
    """Flowlog's own log, one line an event; of the SDK only warnings."""
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    handler.setFormatter(JsonLines() if as_json else text)
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("flowlog_core").setLevel(level)
