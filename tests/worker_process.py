"""Drives `worker_host.py`: the app in Microsoft's Python worker, as a process of its own."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

HOST = Path(__file__).with_name("worker_host.py")
PYTHONS = sorted((Path(__file__).resolve().parents[1] / ".venv-worker").glob("*/bin/python"))
"""Each has the app's requirements and Microsoft's worker library (`make setup`)."""
ANSWER_WITHIN_S = 60


class Worker:
    """A running worker.

    `logs` holds the log records so far (logger, level, message), `function_ids` the id of each
    function by its name, once they are loaded.
    """

    def __init__(self, process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
        self._process = process
        self._errors = errors
        self._answers: dict[int, Future[dict[str, Any]]] = {}
        self.function_ids: dict[str, str] = {}
        self.logs: list[dict[str, str]] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def ask(self, do: str, **fields: Any) -> Future[dict[str, Any]]:
        """Send a command; its answer comes when it is there."""
        number = len(self._answers)
        answer = self._answers[number] = Future()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"id": number, "do": do, **fields}).encode() + b"\n")
        self._process.stdin.flush()
        return answer

    def now(self, do: str, **fields: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        return self.ask(do, **fields).result(ANSWER_WITHIN_S)

    def load(self) -> Worker:
        """Import the app and load all of its functions, as the host does before any event."""
        for answer in (self.now("init"), index := self.now("index")):
            assert answer["ok"], answer["error"]
        self.function_ids = {each["name"]: each["function_id"] for each in index["functions"]}
        for function_id in self.function_ids.values():
            assert self.now("load", function_id=function_id)["ok"]
        return self

    def messages(self, logger: str, since: int = 0) -> list[str]:
        """What was logged by the loggers whose names begin so, from record `since` on."""
        told = self.logs[since:]
        return [each["message"] for each in told if each["logger"].startswith(logger)]

    def stop(self) -> int:
        """Send no more; the exit code once all was answered."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._reader.join(ANSWER_WITHIN_S)
        return self._process.wait(ANSWER_WITHIN_S)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            if "log" in told:
                self.logs.append(told["log"])
            else:
                self._answers[told["id"]].set_result(told)
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace")
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(RuntimeError(f"the worker ended without an answer:\n{said}"))


@contextmanager
def running_worker(python: Path, app: Path, environment: Mapping[str, str]) -> Iterator[Worker]:
    """A worker in the folder `app` with these environment variables and no others."""
    with (
        TemporaryFile() as errors,
        subprocess.Popen(
            [python, "-I", HOST, app],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
        ) as process,
    ):
        worker = Worker(process, errors)
        try:
            yield worker
            assert worker.stop() == 0
        finally:
            process.kill()
