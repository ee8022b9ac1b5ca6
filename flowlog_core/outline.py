"""An entry whose tuples were left where they stand, in its bytes, and not made into strings."""

from __future__ import annotations

from typing import Any, NamedTuple

from flowlog_core.json_scan import parse_object


class Outline(NamedTuple):
    """A valid entry, parsed but for its tuples. Only compiled code makes it, and can use it.

    `value` is what parsing `raw` gives, except that `[start, count]` stands for each list of a key
    `flowTuples`: so many strings, the first of which begins at `raw[start]`.
    """

    raw: bytes
    value: dict[str, Any]

    def whole(self) -> dict[str, Any]:
        """The entry with its tuples."""
        return parse_object(self.raw)
