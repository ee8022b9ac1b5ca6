"""Sources of flow logs: files, folders, standard input, zip files, storage accounts.

`expand` turns what the user named into sources, each one log that is read from its first byte to
its last. What cannot be opened is a source too: reading it says why.
"""

from __future__ import annotations

import io
import os
import stat
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from flowlog_core.analyze.contents import ZIP, Unreadable, unpacked
from flowlog_core.analyze.problems import Problems
from flowlog_core.analyze.selection import Selection, named_in
from flowlog_core.blob import BlobRef, LogBlob, Position
from flowlog_core.shape.rules import Rules

_READ_BYTES = 1024 * 1024
_SUFFIXES = (".json", ".gz", ".zip")


@dataclass(frozen=True)
class Source:
    """One flow log: what it is called, how its bytes are read, and which records are wanted."""

    name: str
    blob: BlobRef
    read: Callable[[], Iterator[bytes]]
    """Its bytes as they are stored. Raises `Unreadable`."""
    rules: tuple[Rules, ...] = ()
    """All must match a record."""
    is_remote: bool = False
    """Reading waits for a network, so that several are read at a time."""

    def text(self, problems: Problems) -> Iterator[bytes]:
        """Its JSON in UTF-8. Where it cannot be read on it ends, and `problems` has the reason."""
        try:
            yield from unpacked(self.read())
        except Unreadable as error:
            problems.add(self.name, f"cannot be read: {error}")

    def entry_id(self, start: int) -> str:
        """The id of the entry at that byte; those of its records begin with it and a dot."""
        return Position(self.blob, offset=start).entry_id


def expand(names: Iterable[str], selection: Selection | None = None) -> Iterator[Source]:
    """The flow logs of all that is named, folders in the order of their files' names.

    Only those that the selection may want. Raises ValueError for an address without a container.
    """
    selection = selection or Selection()
    for name in names:
        if name == "-":
            yield from _standard_input(selection)
        elif name.lower().startswith(("https://", "http://")):
            # Imported where it is needed: local files need no package of Azure's.
            from flowlog_core.analyze.accounts import sources_at  # noqa: PLC0415

            yield from sources_at(name, selection)
        elif Path(name).is_dir():
            yield from _folder(name, selection)
        else:
            yield from _file(name, selection)


def _file(name: str, selection: Selection) -> Iterator[Source]:
    try:
        if stat.S_ISFIFO(Path(name).stat().st_mode):  # can be opened once only
            yield from _one(name, lambda: _pieces(name), selection)
            return
        with Path(name).open("rb") as file:
            is_zip = file.read(len(ZIP)) == ZIP
    except OSError as error:
        yield unreadable(name, error.strerror or str(error))
        return
    if is_zip:
        yield from _zip(name, lambda: io.FileIO(name), selection)
    else:
        yield from _one(name, lambda: _pieces(name), selection)


def _folder(name: str, selection: Selection) -> Iterator[Source]:
    found = False
    for path in _files_in(name):
        if path.lower().endswith(_SUFFIXES):
            found = True
            yield from _file(path, selection)
    if not found:
        yield unreadable(name, "no file in this folder ends in .json, .gz or .zip")


def _files_in(folder: str) -> Iterator[str]:
    """In the order of names, whatever their depth. A link to a folder is not followed."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.is_dir(follow_symlinks=False):
            yield from _files_in(entry.path)
        elif entry.is_file():
            yield entry.path


def _standard_input(selection: Selection) -> Iterator[Source]:
    if sys.stdin is None:  # as Python has it where it is closed
        yield unreadable("-", "standard input is closed")
        return
    stdin = sys.stdin.buffer
    beginning = stdin.read(len(ZIP))
    if beginning == ZIP:
        content = beginning + stdin.read()  # a zip begins with its end
        yield from _zip("-", lambda: io.BytesIO(content), selection)
        return

    def pieces() -> Iterator[bytes]:
        yield beginning
        while data := stdin.read(_READ_BYTES):
            yield data

    yield from _one("-", pieces, selection)


def _zip(name: str, file: Callable[[], IO[bytes]], selection: Selection) -> Iterator[Source]:
    try:
        with file() as content, zipfile.ZipFile(content) as archive:
            members = [one for one in archive.namelist() if one.lower().endswith(_SUFFIXES[:2])]
    except (zipfile.BadZipFile, OSError) as error:
        yield unreadable(name, f"not a valid zip: {error}")
        return
    if not members:
        yield unreadable(name, "no file in this zip ends in .json or .gz")
    for member in sorted(members):
        yield from _one(f"{name}/{member}", _reader_of_member(file, member), selection)


def _reader_of_member(file: Callable[[], IO[bytes]], member: str) -> Callable[[], Iterator[bytes]]:
    def read() -> Iterator[bytes]:
        try:
            with (
                file() as packed,
                zipfile.ZipFile(packed) as archive,
                archive.open(member) as content,
            ):
                while data := content.read(_READ_BYTES):
                    yield data
        # RuntimeError: it is encrypted.
        except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, OSError) as error:
            raise Unreadable(str(error)) from error

    return read


def _one(name: str, read: Callable[[], Iterator[bytes]], selection: Selection) -> Iterator[Source]:
    log = named_in(name)
    if log is None:
        rules = (*selection.by_time, *selection.by_text)
        yield Source(name, blob_of(name), read, rules)
    elif selection.has(log):
        yield Source(name, blob_of(name), read, tuple(selection.by_time))


def blob_of(path: str) -> BlobRef:
    """A local file as a blob of no account. Only its `name` and its ids are meaningful."""
    return BlobRef("", "", LogBlob("vnet", "", datetime.min.replace(tzinfo=UTC), "", path))


def _pieces(name: str) -> Iterator[bytes]:
    try:
        with Path(name).open("rb") as file:
            while data := file.read(_READ_BYTES):
                yield data
    except OSError as error:
        raise Unreadable(error.strerror or str(error)) from error


def unreadable(name: str, reason: str) -> Source:
    """A source that says why it cannot be read."""

    def read() -> Iterator[bytes]:
        raise Unreadable(reason)
        yield b""

    return Source(name, blob_of(name), read)
