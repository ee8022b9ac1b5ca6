"""Reads remote sources ahead, several at a time, while the current one is processed."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

from flowlog_core.analyze.sources import Source

MAX_SOURCES = 8
"""How many are read at a time."""
_MAX_PIECES = 2
"""How many pieces of each wait to be worked on."""

_Piece = bytes | BaseException | None  # None ends a source


def prefetched(sources: Iterable[Source], max_sources: int = MAX_SOURCES) -> Iterator[Source]:
    """The same sources in the same order. Up to `max_sources` remote ones are read meanwhile.

    What reading raises is raised where the source is read.
    """
    stop = threading.Event()
    ahead: deque[Source] = deque()
    try:
        for source in sources:
            ahead.append(_begun(source, stop) if source.is_remote else source)
            if len(ahead) >= max_sources or not source.is_remote:
                yield ahead.popleft()
        while ahead:
            yield ahead.popleft()
    finally:
        stop.set()


def _begun(source: Source, stop: threading.Event) -> Source:
    pieces: queue.Queue[_Piece] = queue.Queue(_MAX_PIECES)

    def put(piece: _Piece) -> bool:
        while not stop.is_set():
            try:
                pieces.put(piece, timeout=0.2)
                return True
            except queue.Full:
                continue
        return False

    def fetch() -> None:
        try:
            for piece in source.read():
                if not put(piece):
                    return
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that reads the source
            put(error)
        else:
            put(None)

    threading.Thread(target=fetch, name="flowlog-fetch", daemon=True).start()

    def read() -> Iterator[bytes]:
        while (piece := pieces.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            yield piece

    return replace(source, read=read)
