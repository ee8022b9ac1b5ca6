"""Azurite, Microsoft's storage emulator, as a process of our own: for the demo and the tests."""

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

# Port 0 lets the system choose, so that no two Azurites ever want the same. The API versions that
# Azurite knows lag behind the SDK's, hence the skipped check.
_OPTIONS = [
    "--inMemoryPersistence",
    "--skipApiVersionCheck",
    "--silent",
    "--disableTelemetry",
    "--blobPort=0",
    "--queuePort=0",
    "--tablePort=0",
]

# Azurite's input is a pipe from this process. However this process ends, the pipe closes with it,
# and then Azurite, told so by these few words of JavaScript, goes too.
_EXIT_WITH_PARENT = (
    "--import=data:text/javascript,process.stdin.on('close',()=>process.exit()).resume()"
)

_LISTENING = re.compile(
    r"^Azurite (Blob|Queue|Table) service is successfully listening at (\S+)\n", re.MULTILINE
)


class AzuriteError(FlowlogError):
    """Azurite is not there, or did not start; the text says what to do, or what Azurite said."""


@dataclass(frozen=True, slots=True)
class Azurite:
    """A running Azurite. Its URLs end in the account's name, as the SDK's clients expect."""

    blob_url: str
    queue_url: str
    table_url: str
    pid: int

    @property
    def connection_string(self) -> str:
        """For `from_connection_string` of all three kinds of client."""
        return (
            f"DefaultEndpointsProtocol={self.blob_url.partition(':')[0]};"
            f"AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY};"
            f"BlobEndpoint={self.blob_url};QueueEndpoint={self.queue_url};"
            f"TableEndpoint={self.table_url};"
        )


def find_azurite(environ: Mapping[str, str] = os.environ, project: Path = PROJECT) -> Path:
    """Where Azurite is: what FLOWLOG_AZURITE names, else this project's own, else on the PATH.

    Raises:
        AzuriteError: it is in none of these places.
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
    """Start an Azurite of its own on free ports of 127.0.0.1, and end it on leaving.

    `options` are passed to Azurite beside our own, such as those for TLS and identities.

    It begins empty and keeps everything in memory (blobs and messages together at most half of the
    machine's, Azurite's default), so nothing remains of it. It also ends when this process is
    killed. All three services answer once the block begins.

    Raises:
        AzuriteError: not found, ended at once, or not ready after `start_within_s` seconds.
    """
    program = (executable or find_azurite()).absolute()
    node_options = f"{os.environ.get('NODE_OPTIONS', '')} {_EXIT_WITH_PARENT}".strip()
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(  # noqa: S603 - the program is the user's own choice, without a shell
            [program, *_OPTIONS, *options],
            cwd=tempfile.gettempdir(),  # should it ever write a file, then not in the user's folder
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "NODE_OPTIONS": node_options},
            # A Ctrl-C at the terminal is for us: whoever is using Azurite may tidy up first.
            start_new_session=True,
        ) as process,
    ):
        try:
            yield _wait_until_ready(process, log.fileno(), start_within_s)
        finally:
            # The group, as the program may be a wrapper; at once, as there is nothing to save.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _wait_until_ready(process: subprocess.Popen[bytes], log: int, start_within_s: float) -> Azurite:
    """Read from Azurite's output where each service listens; it says so once it does."""
    give_up_at = time.monotonic() + start_within_s
    while True:
        ended = process.poll() is not None  # looked at first, so that the last words are read
        # pread, since Azurite writes where the position of the shared file is.
        text = os.pread(log, 1 << 16, 0).decode(errors="replace")
        urls = {service: f"{url}/{ACCOUNT}" for service, url in _LISTENING.findall(text)}
        if len(urls) == 3:
            return Azurite(urls["Blob"], urls["Queue"], urls["Table"], process.pid)
        if ended:
            raise AzuriteError(f"Azurite ended at once (exit {process.returncode}):\n{text}")
        if time.monotonic() >= give_up_at:
            raise AzuriteError(f"Azurite was not ready after {start_within_s:g} s:\n{text}")
        time.sleep(0.02)
