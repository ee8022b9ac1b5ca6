"""Runs Azurite, Microsoft's storage emulator, as a child process, for the demo and the tests."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from flowlog_core.errors import FlowlogError

VERSION = "3.35.0"

ACCOUNT = "devstoreaccount1"
# Not a secret: the same in every Azurite, and published. Source: learn.microsoft.com,
# "Connect to Azurite with SDKs and tools", well-known storage account and key.
ACCOUNT_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

PROJECT = Path(__file__).resolve().parents[2]

# With port 0 the system chooses, so that no two Azurites use the same port. The SDK uses newer API
# versions than Azurite knows, so the check is skipped.
_OPTIONS = [
    "--inMemoryPersistence",
    "--skipApiVersionCheck",
    "--silent",
    "--disableTelemetry",
    "--blobPort=0",
    "--queuePort=0",
    "--tablePort=0",
]

# Azurite's input is a pipe from this process. The pipe closes when this process ends, even if it is
# killed. This JavaScript then ends Azurite.
_EXIT_WITH_PARENT = (
    "--import=data:text/javascript,process.stdin.on('close',()=>process.exit()).resume()"
)

_LISTENING = re.compile(
    r"^Azurite (Blob|Queue|Table) service is successfully listening at (\S+)\n", re.MULTILINE
)


class AzuriteError(FlowlogError):
    """Azurite is not installed or did not start; the text says what to do, or quotes Azurite."""


@dataclass(frozen=True, slots=True)
class Azurite:
    """A running Azurite. Its URLs end in the account's name, as the SDK's clients expect."""

    blob_url: str
    queue_url: str
    table_url: str
    pid: int

    @property
    def connection_string(self) -> str:
        """The connection string for blob, queue and table clients."""
        return (
            f"DefaultEndpointsProtocol={self.blob_url.partition(':')[0]};"
            f"AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY};"
            f"BlobEndpoint={self.blob_url};QueueEndpoint={self.queue_url};"
            f"TableEndpoint={self.table_url};"
        )


def find_azurite(environ: Mapping[str, str] = os.environ, project: Path = PROJECT) -> Path:
    """Find Azurite: FLOWLOG_AZURITE, else this project's own, else the one on the PATH.

    Raises:
        AzuriteError: there is none.
    """
    if named := environ.get("FLOWLOG_AZURITE"):
        if found := shutil.which(named, path=environ.get("PATH", "")):
            return Path(found).resolve()
        raise AzuriteError(f"FLOWLOG_AZURITE is {named!r}, and that is not a program that can run.")
    own = project / "tools" / "azurite" / "node_modules" / ".bin" / "azurite"
    if own.exists():
        return own
    if found := shutil.which("azurite", path=environ.get("PATH", "")):
        return Path(found).resolve()
    raise AzuriteError(
        "Azurite, the storage emulator, is not installed. In Flowlog's folder run `make setup`; "
        f"elsewhere `npm install -g azurite@{VERSION}`, or set FLOWLOG_AZURITE to the program."
    )


@contextmanager
def running_azurite(
    executable: Path | None = None, *, options: Sequence[str] = (), start_within_s: float = 30.0
) -> Iterator[Azurite]:
    """Start an Azurite on free ports of 127.0.0.1, and end it on leaving the block.

    `options` are passed to Azurite too, for example those for TLS and identities.

    It starts empty and keeps everything in memory (at most half of the machine's, Azurite's
    default), so it leaves nothing behind. It also ends when this process is killed. All three
    services answer when the block begins.

    Raises:
        AzuriteError: not found, ended at once, or was not ready after `start_within_s` seconds.
    """
    program = (executable or find_azurite()).absolute()
    node_options = f"{os.environ.get('NODE_OPTIONS', '')} {_EXIT_WITH_PARENT}".strip()
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(  # noqa: S603 - the program is the user's own choice, without a shell
            [program, *_OPTIONS, *options],
            cwd=tempfile.gettempdir(),  # so that any file it writes is not in the user's folder
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "NODE_OPTIONS": node_options},
            # Ctrl-C at the terminal must not end Azurite while this process still uses it.
            start_new_session=True,
        ) as process,
    ):
        try:
            yield _wait_until_ready(process, log.fileno(), start_within_s)
        finally:
            # The whole group, because the program may be a wrapper. It has nothing to save.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _wait_until_ready(process: subprocess.Popen[bytes], log: int, start_within_s: float) -> Azurite:
    """Read the address of each service from Azurite's output, once it listens."""
    give_up_at = time.monotonic() + start_within_s
    while True:
        ended = process.poll() is not None  # checked first, so that its last output is read
        # pread, because Azurite writes at the shared position of the file.
        text = os.pread(log, 1 << 16, 0).decode(errors="replace")
        urls = {service: f"{url}/{ACCOUNT}" for service, url in _LISTENING.findall(text)}
        if len(urls) == 3:
            return Azurite(urls["Blob"], urls["Queue"], urls["Table"], process.pid)
        if ended:
            raise AzuriteError(f"Azurite ended at once (exit {process.returncode}):\n{text}")
        if time.monotonic() >= give_up_at:
            raise AzuriteError(f"Azurite was not ready after {start_within_s:g} s:\n{text}")
        time.sleep(0.02)
