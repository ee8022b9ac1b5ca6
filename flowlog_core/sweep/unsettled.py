"""The search for claims that ran out and for old failures, from where the last search stopped.

The service reads through the whole table for it. That holds a checkpoint of each blob that still
exists: 20 million for 10,000 interfaces and 90 days. So a sweep that has no time left for the rest
leaves it to the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from datetime import datetime

from flowlog_core.checkpoints.checkpoint import Checkpoint, CheckpointStore
from flowlog_core.errors import Conflict, Refused
from flowlog_core.sweep.cursor import Container, Cursor, CursorStore

SEARCH = Container("", "unsettled")
"""The search's place among the cursors of containers."""


def unsettled_pages(
    checkpoints: CheckpointStore,
    cursors: CursorStore,
    now: datetime,
    must_end: Callable[[], bool],
) -> Generator[Sequence[Checkpoint], None, None]:
    """What is unsettled, by pages, from where the last search ended to the table's end.

    Close it to end within a page: then the next search repeats that page. Between two pages it asks
    `must_end`. Raises a `StorageError`.
    """
    stored = cursors.get(SEARCH)
    begun_at = after = stored.cursor.done if stored.cursor is not None else ""
    try:
        for page, after_page in checkpoints.unsettled(now, begun_at):
            yield page
            after = after_page
            if must_end():
                break
    except Refused:
        after = ""  # perhaps the service no longer knows the place
        raise
    finally:
        if after != begun_at:
            with suppress(Conflict):  # another sweep searches too
                cursors.put(SEARCH, Cursor(now, now, after), stored.etag)
