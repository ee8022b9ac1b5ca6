"""How far a replay has come: a file of its own, which survives the end of the process.

A cursor is written whole or not at all: to a new file that then takes the old one's name. A replay
that ends between a send and the next cursor sends that part again, with the same ids and content.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from flowlog_core.blob import BlobRef
from flowlog_core.checkpoints.checkpoint import Progress
from flowlog_core.outcome import Outcome
from flowlog_core.sweep.cursor import Container

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

FORMAT = "flowlog-replay/1"


class BadCursor(Exception):
    """A cursor that cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What was sent again so far."""

    blobs: int = 0
    skipped: int = 0
    read_bytes: int = 0
    entries: int = 0
    records: int = 0
    messages: int = 0


@dataclass(frozen=True, slots=True)
class ReplayCursor:
    """A replay's range, and how far it has come in it."""

    since: datetime
    until: datetime
    form: str = ""
    """The encoding, filter, fields and schema that it began with."""
    container: Container = field(default_factory=lambda: Container("", ""))
    done: str = ""
    """All logs of the container up to this name are through."""
    blob: str = ""
    """The log that is under way, and how far."""
    progress: Progress = field(default_factory=Progress)
    counts: Counts = field(default_factory=Counts)
    output_bytes: int = 0
    """How long the file is that records are written to."""

    def progress_in(self, blob: BlobRef, generation: int) -> Progress:
        """Where to continue in a log: at its beginning if it is another, or was rewritten."""
        if self.blob == str(blob) and self.progress.generation == generation:
            return self.progress
        return Progress(generation=generation)

    def within(self, blob: BlobRef, progress: Progress, outcome: Outcome) -> ReplayCursor:
        """A part of a log is sent."""
        before = self.progress.offset if self.blob == str(blob) else 0
        counts = replace(
            self.counts,
            read_bytes=self.counts.read_bytes + max(0, progress.offset - before),
            entries=self.counts.entries + outcome.entries,
            records=self.counts.records + outcome.records,
            messages=self.counts.messages + outcome.messages,
        )
        return replace(self, blob=str(blob), progress=progress, counts=counts)

    def past(self, blob: BlobRef, *, is_skipped: bool = False) -> ReplayCursor:
        """A log is through, or left."""
        counts = replace(
            self.counts,
            blobs=self.counts.blobs + (not is_skipped and self.blob == str(blob)),
            skipped=self.counts.skipped + is_skipped,
        )
        return replace(
            self,
            container=Container.of(blob),
            done=blob.name,
            blob="",
            progress=Progress(),
            counts=counts,
        )


@contextmanager
def named_in_errors(file: Path) -> Iterator[None]:
    """Raise an `OSError` with the file's name: that of a write to a full disk has none."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(file)
        raise


class CursorFile:
    """Keeps a cursor in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> ReplayCursor | None:
        """The cursor; None if there is none. Raises `BadCursor`."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            return _read(orjson.loads(data))
        except (ValueError, KeyError, TypeError) as error:
            raise BadCursor(f"{self.path} is not the cursor of a replay: {error!r}") from error

    def save(self, cursor: ReplayCursor) -> None:
        """Replace the stored cursor by `cursor`. Raises `OSError`."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.with_name(f"{self.path.name}.new")
        with named_in_errors(new), new.open("wb") as file:
            stored = {"format": FORMAT, **asdict(cursor), "container": list(cursor.container)}
            file.write(orjson.dumps(stored))
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.path)

    def remove(self) -> None:
        """There is nothing more to go on with."""
        with suppress(FileNotFoundError):
            self.path.unlink()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Raises `BadCursor` if another process has it."""
        if fcntl is None:
            yield
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = self.path.with_name(f"{self.path.name}.lock")
        with lock.open("wb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BadCursor(f"the same replay is running: {lock} is locked") from None
            try:
                yield
            finally:
                lock.unlink()


def _read(stored: dict[str, Any]) -> ReplayCursor:
    if stored.pop("format", None) != FORMAT:
        raise ValueError(f"its format is not {FORMAT}")
    progress = stored.pop("progress")
    for name in ("blob_created", "blob_last_modified"):
        progress[name] = progress[name] and datetime.fromisoformat(progress[name])
    return ReplayCursor(
        since=datetime.fromisoformat(stored.pop("since")),
        until=datetime.fromisoformat(stored.pop("until")),
        container=Container(*stored.pop("container")),
        progress=Progress(**progress),
        counts=Counts(**stored.pop("counts")),
        **stored,
    )
