"""Owner ids that tell whether the process behind them is still running.

Each process keeps a file in the machine's temporary folder locked for as long as it lives; the
kernel ends the lock with the process, however that ends. An owner id is the file's name, a dot and
an id of the one call that owns the claim. If the file is unlocked, no thread of that process will
ever send anything again.

    flowlog-owner-1f0c9b7d-5b0e1f7788aa9900     .     9c1e…
                  machine  process                    call

Anything unclear counts as alive: no such file here, a file of another machine, a system without
`flock`, an error. The claim runs out by itself then.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import platform
import re
import stat
import tempfile
import threading
import time
import weakref
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # looked at before each use

_PREFIX = "flowlog-owner-"
_DEAD_KEPT_FOR_S = 3600  # longer than any claim lasts
_OWNER = re.compile(rf"({_PREFIX}[0-9a-f]{{8}}-[0-9a-f]{{16}})\.[0-9a-f]{{32}}", re.ASCII)


class Owners:
    """The owner ids of this process. The file is made when the first one is asked for.

    `folder` is the machine's own temporary folder, `machine` a text that no other machine has: the
    folder may be a network share, on which a lock of another machine may not show.
    """

    def __init__(self, folder: Path | None = None, machine: str | None = None) -> None:
        self._folder = Path(tempfile.gettempdir()) if folder is None else folder
        name = _machine() if machine is None else machine
        self._mine = f"{_PREFIX}{hashlib.blake2b(name.encode(), digest_size=4).hexdigest()}-"
        self._lock = threading.Lock()
        self._file: int | None = None
        self._name: str | None = None
        """Of the file; empty if none can be kept: then nobody counts as dead."""
        _ALL.add(self)

    def new(self) -> str:
        """An owner id that was never used before."""
        with self._lock:
            if self._name is None:
                self._name = self._open()
            name = self._name
        return f"{name}.{uuid4().hex}" if name else uuid4().hex

    def is_gone(self, owner: str) -> bool:
        """Whether the process of an owner id has certainly ended.

        Nothing more comes from it then, except writes of storage calls that are under way.
        """
        parts = _OWNER.fullmatch(owner)
        if parts is None or not parts[1].startswith(self._mine):
            return False
        return _is_unlocked(self._folder / parts[1])

    def close(self) -> None:
        """Remove this process's file, and those of processes that ended without doing so."""
        with self._lock:
            if self._name:
                with suppress(OSError):
                    for other in self._folder.glob(f"{self._mine}*"):
                        if _is_unlocked(other):
                            _remove_if_long_dead(other)
                with suppress(OSError):
                    (self._folder / self._name).unlink(missing_ok=True)
            self._forget()
        atexit.unregister(self.close)

    def _open(self) -> str:
        if fcntl is None:
            return ""
        name = f"{self._mine}{os.urandom(8).hex()}"
        try:
            # Under its name only once it is locked, so that nobody sees it unlocked.
            self._file, made = tempfile.mkstemp(prefix="flowlog-new-", dir=self._folder)
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                Path(made).rename(self._folder / name)
            except OSError:
                Path(made).unlink(missing_ok=True)
                raise
        except OSError:
            self._forget()
            return ""
        atexit.register(self.close)
        return name

    def _forget(self) -> None:
        """Close the file, which ends its lock unless another process has it open too."""
        if self._file is not None:
            with suppress(OSError):
                os.close(self._file)
        self._file = self._name = None

    def _begin_child(self) -> None:
        """A child process must not keep its parent's lock alive, and needs a file of its own."""
        self._lock = threading.Lock()  # another thread of the parent may have held it
        self._forget()


_ALL: weakref.WeakSet[Owners] = weakref.WeakSet()


def _begin_children() -> None:
    for owners in list(_ALL):
        owners._begin_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_children)


def _remove_if_long_dead(file: Path) -> None:
    """Mark the file of a dead process at the first look, and remove it long after that.

    At once would be too early: the worker that takes over its blobs may still have to ask.
    """
    found = file.stat()
    if found.st_mode & stat.S_IWUSR:
        file.chmod(stat.S_IRUSR)
        os.utime(file)
    elif time.time() - found.st_mtime > _DEAD_KEPT_FOR_S:
        file.unlink(missing_ok=True)


def _is_unlocked(file: Path) -> bool:
    if fcntl is None:
        return False
    try:
        opened = os.open(file, os.O_RDONLY)
    except OSError:
        return False
    try:
        # Shared, so that two that ask at the same moment do not mistake each other for the owner.
        fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(opened)


def _machine() -> str:
    """An id of the machine, the same for all its processes until it restarts."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text()
    return platform.node()
