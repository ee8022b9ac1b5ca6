"""See _tuple_writer.c."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

Column = (
    tuple[Literal["time"], Mapping[str, str]]
    | tuple[Literal["address"], Mapping[str, str], str, str]
    | tuple[Literal["decimal"], int, bool, str]
    | tuple[Literal["lookup"], Mapping[str, str], int]
)
"""How one column of a tuple is read, and what of the record it becomes.

- time: the part for its hours since 1970, which ends with the hour
- address: the part for all but IPv4; what stands before and after an IPv4 address
- decimal: the maximum; whether it may be empty, and is null then; what follows it
- lookup: the part for so many fields, taken as one with the commas between them
"""

INTERFACE: int
"""What was compiled; Python uses no other than its own."""

def outline(buffer: bytes | bytearray, at: int, limit: int, /) -> tuple[int, bytes | None]:
    """The JSON object at `at`, if it takes no more than `limit` bytes, without its tuples.

    Gives how many bytes it takes, and its text with `start,count` in place of the strings in each
    list of a key `flowTuples`, `start` counted from `at`; that text is valid JSON if and only if
    the object is. Or gives how many were read, and None: the object ends later, there is a
    backslash or a string `records` in it, it has more than 64 levels, or such lists in it hold
    other than printable ASCII, or white space. Raises ValueError where no `{` is at `at`.
    """

class Writer:
    """Writes the records of one format's ordinary tuples.

    `order` is that of the columns in the record, each once. Tables are asked once for each field,
    and what they gave is remembered within bounds; a `ValueError` of theirs makes a tuple
    extraordinary.
    """

    def __new__(cls, columns: tuple[Column, ...], order: tuple[int, ...]) -> Writer: ...
    def write(
        self,
        head: str,
        groups: list[tuple[list[Any], int, str]],
        count: int,
        otherwise: Callable[[Any, int, str], str | None],
        raw: bytes | None,
        /,
    ) -> tuple[bytearray, bytes]:
        """The records joined by commas, and where each ends, in eight bytes each.

        Each begins with `head` and the tuple's index; behind its time stands what the group's
        records have in common. A group is its tuples, the index of the first (not negative), and
        that text; `count` is about how many tuples there are in all. With `raw`, a group's tuples
        are `[start, count]` as `outline` gives them.
        `otherwise(tuple, index, common)` gives the record of a tuple that is not ordinary, or None
        or "" for none. Raises what it raises, and what a table raises but `ValueError`; and a
        `ValueError` where `raw` has no tuples at `start`.
        """
