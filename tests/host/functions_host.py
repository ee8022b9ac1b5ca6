"""Drives `functions-host`: Microsoft's blob, queue and timer triggers before the app's worker.

    with running_host(python, app, settings) as host:
        host.post("nsg_FlowLogs", [blob_created(...)])
        host.wait_for(r"INVOKED \\d+ nsg_FlowLogs")

The program, its settings and the form of its log are described in ../shared/tools/README.md.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

PROGRAM = Path(__file__).parents[3] / "shared/tools/functions-host"
WORKER_HOST = Path(__file__).parents[1] / "worker_host.py"
START_WITHIN_S = 90.0
"""Importing the app and starting .NET, on a machine that runs other tests at the same time."""
WITHIN_S = 60.0
"""For anything else: long, as tests of other files may use the same processors."""
KEY = "key"

needs_functions_host = pytest.mark.skipif(
    not os.access(PROGRAM, os.X_OK), reason="needs ../shared/tools/functions-host, not found here"
)


class Counts(NamedTuple):
    """Invocations as the host counts them since it started: now, at most at a time, in all."""

    running: int
    most: int
    calls: int


class Answer(NamedTuple):
    """What the webhook answered."""

    status: int
    body: str


class Host:
    """One instance of the app. Make it with `running_host`.

    Attributes:
        lines: its log since it was made, also across restarts, without the times.
        host_id: part of the name of the queue that holds its events.
    """

    def __init__(
        self, python: Path, app: Path, settings: Mapping[str, str], host_id: str = ""
    ) -> None:
        self.host_id = host_id or f"host{uuid.uuid4().hex[:12]}"
        self.lines: list[str] = []
        self._command = [str(part) for part in (PROGRAM, app, python, WORKER_HOST)]
        self._port = _free_port()
        self._settings = dict(settings)
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._is_over = False
        self._news = threading.Condition()
        self._worker_pids: list[int] = []

    @property
    def event_queue(self) -> str:
        """The queue in the host's account that holds events until their function has run."""
        return f"azure-webjobs-blobtrigger-{self.host_id}"

    @property
    def worker_pid(self) -> int:
        """The process that runs the app now."""
        return self._worker_pids[-1]

    def start(self, **changed: str) -> None:
        """Start it, with these settings beside its own; it listens and takes events on return."""
        assert self._process is None, "it runs already"
        before = len(self.lines)
        environment = {
            "HOME": tempfile.gettempdir(),  # the program unpacks a little there, once
            "PATH": os.environ["PATH"],
            "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1",
            "DOTNET_TieredPGO": "0",  # measures itself, which pays off only after minutes
            "HOST_PORT": str(self._port),
            "HOST_ID": self.host_id,
            "HOST_CODE": KEY,
        }
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment | self._settings | changed,
            start_new_session=True,  # so that its workers can be ended with it
        )
        self._is_over = False
        self._reader = threading.Thread(target=self._read, args=(self._process,))
        self._reader.start()
        self.wait_for("Application started", START_WITHIN_S, since=before)

    def stop(self) -> int:
        """Let it end what runs, as a scale-in does; its exit code.

        That is 0, or -6: now and then the program aborts at its very end, when all is done.
        """
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self.wait_for_end()

    def kill(self) -> None:
        """End it and its worker at once, as the loss of a machine does."""
        if self._process is None:
            return
        _end_group(self._process)
        self._ended()

    def wait_for_end(self, within_s: float = WITHIN_S) -> int:
        """Its exit code, once it has stopped by itself: 0 after "Host is shutting down"."""
        assert self._process is not None
        try:
            code = self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the host still runs after {within_s} s:\n{self}") from None
        _end_group(self._process)
        self._ended()
        return code

    def restart(self, **changed: str) -> None:
        """Start it again, as Azure does with a host that stopped."""
        self.kill()
        self.start(**changed)

    def kill_worker(self) -> None:
        """End the app's process at once; the host starts another."""
        os.kill(self.worker_pid, signal.SIGKILL)

    def post(
        self,
        function: str,
        events: Sequence[Mapping[str, Any]],
        *,
        kind: str = "Notification",
        key: str = KEY,
    ) -> Answer:
        """Hand events to the webhook of the blob extension, as Event Grid does. 202: queued.

        Without a `function`, the address names none.
        """
        query = f"functionName=Host.Functions.{function}&" * bool(function) + f"code={key}"
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}/runtime/webhooks/blobs?{query}",
            json.dumps(list(events)).encode(),
            {"aeg-event-type": kind, "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return Answer(answer.status, answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.read().decode())

    def counts(self) -> Counts:
        """How many invocations run, ran at most at a time, and were begun."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/counts", timeout=30) as answer:
            return Counts(**json.loads(answer.read()))

    def found(self, pattern: str, since: int = 0) -> list[str]:
        """The lines of its log in which `pattern` is found, from line `since` on."""
        return [line for line in self.lines[since:] if re.search(pattern, line)]

    def wait_for(
        self, pattern: str, within_s: float = WITHIN_S, *, times: int = 1, since: int = 0
    ) -> list[str]:
        """Wait until so many lines from `since` on match, and return all that do."""
        deadline, looked_at, found = time.monotonic() + within_s, since, list[str]()
        with self._news:
            while True:
                found += self.found(pattern, looked_at)
                looked_at = len(self.lines)
                left_s = deadline - time.monotonic()
                if len(found) >= times:
                    return found
                if self._is_over or left_s <= 0:
                    break
                self._news.wait(left_s)
        why = "the host ended" if self._is_over else f"{within_s} s went by"
        raise AssertionError(f"{len(found)} of {times} lines {pattern!r}, and {why}:\n{self}")

    def __str__(self) -> str:
        told = [
            line[:300]
            for line in self.lines
            if not re.search("QueueListener|Azure.Identity|AspNetCore", line)
        ]
        return "\n".join(told[-60:])

    def _ended(self) -> None:
        assert self._process is not None
        assert self._reader is not None
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for raw in process.stdout:
            line = re.sub(r"^\d\d:\d\d:\d\d\.\d{3} ", "", raw.decode(errors="replace").rstrip())
            with self._news:
                self.lines.append(line)
                if started := re.search(r"worker process (\d+) started", line):
                    self._worker_pids.append(int(started[1]))
                self._news.notify_all()
        with self._news:
            self._is_over = True
            self._news.notify_all()


@contextmanager
def running_host(
    python: Path, app: Path, settings: Mapping[str, str], host_id: str = ""
) -> Iterator[Host]:
    """An instance of the app with these settings and no others, started; ended on leaving.

    `python` has the app's requirements and Microsoft's worker; `app` is the unpacked zip. Hosts
    of the same `host_id` share their events, as the instances of one app do.
    """
    host = Host(python, app, settings, host_id)
    try:
        host.start()
        yield host
    finally:
        host.kill()


def wait_until(condition: Callable[[], bool], *hosts: Host, within_s: float = WITHIN_S) -> None:
    """Wait until something outside of the logs is so; else fail with what the hosts said."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "\n\n".join(map(str, hosts))
        time.sleep(0.05)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port
