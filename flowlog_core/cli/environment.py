"""Settings and logging of the commands that use storage accounts."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from flowlog_core.cli.output import harmless_json
from flowlog_core.cli.terminal import printable
from flowlog_core.config.settings import Settings
from flowlog_core.errors import SettingsError
from flowlog_core.service import Service
from flowlog_core.storage.clients import Clients


def add_settings_argument(parser: argparse.ArgumentParser) -> None:
    """Declare `--settings`."""
    parser.add_argument(
        "--settings",
        metavar="FILE",
        help="a local.settings.json; environment variables override its Values",
    )


def environment_of(options: argparse.Namespace) -> dict[str, str]:
    """The environment variables, which override the file of `--settings`.

    Raises `ValueError` if the file cannot be read.
    """
    if not options.settings:
        return dict(os.environ)
    return {**_values(Path(options.settings)), **os.environ}


def settings_of(options: argparse.Namespace) -> Settings | None:
    """The settings. If they are invalid, prints every fault on standard error, returns None."""
    try:
        return Settings.from_environment(environment_of(options))
    except (SettingsError, ValueError) as error:
        print(error, file=sys.stderr)
        return None


def service_of(settings: Settings, clients: Clients | None = None) -> Service | None:
    """The service, for a command that tells errors in the user's words: the SDK logs none.

    None, with the reason on standard error, if the SDK refuses a connection string.
    """
    logging.getLogger("azure").setLevel(logging.CRITICAL)
    try:
        return Service(settings, clients)
    except ValueError as error:  # it quotes no secret
        print(f"A connection cannot be used: {error}", file=sys.stderr)
        return None


def _values(file: Path) -> dict[str, str]:
    try:
        content = json.loads(file.read_text("utf-8-sig"))  # some editors write a byte order mark
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise ValueError(f"{file} is not a local.settings.json: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("Values"), dict):
        fault = f"{file} is not a local.settings.json: it has no object named Values"
        raise ValueError(fault)  # noqa: TRY004 - the content is wrong, not an argument's type
    return {str(name): str(value) for name, value in content["Values"].items()}


class TextLines(logging.Formatter):
    """Time, level and message in one line, whatever the message quotes."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - as its base has it
        """The line, to which the base class adds a traceback in lines of its own."""
        return printable(super().formatMessage(record))


class JsonLines(logging.Formatter):
    """One JSON object per line: time, level, logger, message, then the record's fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's line. `LogObserver` sets the attribute `fields`."""
        told: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return harmless_json(json.dumps(told, ensure_ascii=False, default=str))


def log_to_stderr(
    options: argparse.Namespace, *, as_json: bool = False, default: int = logging.INFO
) -> None:
    """Log Flowlog's own lines to standard error, and only warnings of the SDK.

    With `--quiet` only warnings, with `--verbose` all there is.
    """
    level = default
    if options.quiet or options.verbose:
        level = logging.WARNING if options.quiet else logging.DEBUG
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if as_json else TextLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("flowlog_core").setLevel(level)
