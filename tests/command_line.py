"""Runs the command line in this process: the start of a Python costs as much as most tests."""

from __future__ import annotations

import io
import logging
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

from flowlog_core.cli import main


def flowlog(
    *arguments: str,
    stdin: bytes = b"",
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> tuple[int, str, str]:
    """Run the command: exit code, standard output, standard error.

    Streams, environment, signals and logging are the command's own, as in a process of its own.
    """
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FLOWLOG_")}
    out, err = _stream(), _stream()
    with (
        chdir(folder or Path.cwd()),
        patch.dict(os.environ, clean | dict(environment or {}), clear=True),
        patch("sys.stdin", _stream(stdin)),
        redirect_stdout(out),
        redirect_stderr(err),
        _signals_and_logging_left_as_they_are(),
    ):
        code = _exit_code(arguments)
    return code, _written(out), _written(err)


def _exit_code(arguments: Sequence[str]) -> int:
    try:
        return main(arguments)
    except SystemExit as left:  # of argparse
        return int(left.code or 0)


def _stream(content: bytes = b"") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(content), "utf-8", write_through=True)


def _written(stream: io.TextIOWrapper) -> str:
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode()


@contextmanager
def _signals_and_logging_left_as_they_are() -> Iterator[None]:
    root = logging.getLogger()
    loggers = (root, logging.getLogger("flowlog_core"), logging.getLogger("azure"))
    levels = {logger: logger.level for logger in loggers}
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with patch.object(root, "handlers", []):
        root.setLevel(logging.WARNING)
        try:
            yield
        finally:
            for logger, level in levels.items():
                logger.setLevel(level)
            for number, handler in handlers.items():
                signal.signal(number, handler)
