"""Who is known to be gone: only a process of this machine that certainly ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import ROOT

from flowlog_core.checkpoints import owner as module
from flowlog_core.checkpoints.owner import Owners

pytestmark = pytest.mark.skipif(os.name != "posix", reason="there is no flock on this system")

_PROCESS = """
import subprocess, sys, time
from pathlib import Path
from flowlog_core.checkpoints.owner import Owners
owners = Owners(Path(sys.argv[1]))
print(owners.new(), flush=True)
{then}
"""


@contextmanager
def process(
    folder: Path, then: str = "sys.stdin.read()"
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Another process, its owner id, and what it does after it told that."""
    code = _PROCESS.format(then=then)
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as started:
        assert started.stdout is not None
        try:
            yield started.stdout.readline().strip(), started
        finally:
            started.kill()


def killed(started: subprocess.Popen[str]) -> None:
    started.send_signal(signal.SIGKILL)
    started.wait()


def files(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_no_owner_id_comes_twice_and_one_file_is_the_processs(tmp_path: Path) -> None:
    owners = Owners(tmp_path)
    assert files(tmp_path) == []  # nothing is done before the first id
    ids = {owners.new() for _ in range(100)}
    assert len(ids) == 100
    assert {one.partition(".")[0] for one in ids} == set(files(tmp_path))
    owners.close()
    assert files(tmp_path) == []


def test_a_process_is_gone_once_it_was_killed_and_not_before(tmp_path: Path) -> None:
    mine = Owners(tmp_path)
    with process(tmp_path) as (owner, other):
        assert not mine.is_gone(owner)
        assert not mine.is_gone(mine.new())
        killed(other)
        assert mine.is_gone(owner)
        assert mine.is_gone(owner)  # asking leaves it as it is
        assert not mine.is_gone(mine.new())


def test_many_who_ask_at_once_about_a_dead_process_all_find_it_gone(tmp_path: Path) -> None:
    """With exclusive locks they would take each other for the owner."""
    with process(tmp_path) as (owner, other):
        killed(other)
        ready, found = threading.Barrier(16), list[bool]()

        def ask() -> None:
            asking = Owners(tmp_path)
            ready.wait()
            found.extend(asking.is_gone(owner) for _ in range(200))

        asking = [threading.Thread(target=ask) for _ in range(16)]
        for one in asking:
            one.start()
        for one in asking:
            one.join()
        assert found == [True] * 3200


def test_a_process_that_ends_by_itself_removes_its_file(tmp_path: Path) -> None:
    with process(tmp_path, then="") as (owner, other):
        assert other.wait() == 0
        assert files(tmp_path) == []
        assert not Owners(tmp_path).is_gone(owner)  # nothing tells any more: the claim runs out


def test_files_of_dead_processes_go_when_another_ends_an_hour_later(tmp_path: Path) -> None:
    """Not at once, since workers that take over its blobs may still have to ask."""
    mine = Owners(tmp_path)
    with process(tmp_path) as (_, alive), process(tmp_path) as (owner, dead):
        killed(dead)
        for hours, left in ((0, 2), (0.9, 2), (1.1, 1)):
            for file in files(tmp_path):
                os.utime(tmp_path / file, (time.time() - hours * 3600,) * 2)
            mine.new()
            mine.close()
            assert len(files(tmp_path)) == left
            assert mine.is_gone(owner) == (left == 2)
        killed(alive)


@pytest.mark.parametrize(
    "then",
    [
        "subprocess.Popen(['sleep', '60'], close_fds=False)",
        "import os\nif os.fork() == 0: time.sleep(60)",
    ],
    ids=["another program", "a fork"],
)
def test_a_child_that_outlives_its_parent_does_not_keep_it_alive(tmp_path: Path, then: str) -> None:
    with process(tmp_path, then=f"{then}\nsys.stdin.read()") as (owner, parent):
        assert parent.stdin is not None
        killed(parent)
        # A fork lets go of the file as its first act, which may come after the parent's death.
        until = time.monotonic() + 10
        while not Owners(tmp_path).is_gone(owner) and time.monotonic() < until:
            time.sleep(0.05)
        assert Owners(tmp_path).is_gone(owner)


def test_a_forked_child_has_ids_of_its_own(tmp_path: Path) -> None:
    then = (
        "import os\n"
        "pid = os.fork()\n"
        "if pid: os.waitpid(pid, 0)\n"
        "print(owners.new(), flush=True)\n"
        "if pid: sys.stdin.read()\n"
        "else: os._exit(0)"
    )
    with process(tmp_path, then) as (first, parent):
        assert parent.stdout is not None
        of_child = parent.stdout.readline().strip()
        of_parent = parent.stdout.readline().strip()
        mine = Owners(tmp_path)
        assert mine.is_gone(of_child)
        assert not mine.is_gone(of_parent)
        assert first.partition(".")[0] == of_parent.partition(".")[0] != of_child.partition(".")[0]


def test_the_process_of_another_machine_counts_as_alive(tmp_path: Path) -> None:
    """A lock that it holds may not show here, where the folder is a network share."""
    with process(tmp_path) as (owner, other):
        killed(other)
        assert Owners(tmp_path).is_gone(owner)
        assert not Owners(tmp_path, machine="another").is_gone(owner)


@pytest.mark.parametrize(
    "owner",
    [
        "",
        "9c1e",
        "flowlog-owner-1f0c9b7d-5b0e1f7788aa9900.9c1e0000000000000000000000000000",
        "../../etc/passwd",
    ],
)
def test_an_id_that_names_no_file_here_counts_as_alive(tmp_path: Path, owner: str) -> None:
    assert not Owners(tmp_path, machine="this").is_gone(owner)


def without_fcntl(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "fcntl", None)
    return folder


def no_folder(folder: Path, _: pytest.MonkeyPatch) -> Path:
    return folder / "missing"


@pytest.mark.parametrize("broken", [without_fcntl, no_folder])
def test_where_nothing_can_be_locked_ids_still_differ_and_everyone_counts_as_alive(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    broken: Callable[[Path, pytest.MonkeyPatch], Path],
) -> None:
    owners = Owners(broken(tmp_path, monkeypatch))
    first, second = owners.new(), owners.new()
    assert first != second
    assert not owners.is_gone(first)
    assert files(tmp_path) == []
    owners.close()
