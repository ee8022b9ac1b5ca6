"""Tables for people: they fit the terminal, numbers stand right, and no cell steers it.

`write_table` is for a result that is whole; with rich (the extra `cli`) long texts are wrapped.
Where rows come one by one, as flows do, `fit` chooses the columns beforehand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, TextIO

from flowlog_core.cli.terminal import columns_of, is_coloured, printable

_GAP = "  "


class Column(NamedTuple):
    """A column of a table whose rows are not known beforehand."""

    title: str
    width: int
    """What most cells need. Longer cells push the rest of the line aside if there is room."""
    min_width: int = 0
    """What it may be cut to; 0: not at all."""
    importance: int = 0
    """Where there is no room, the columns of the smallest importance are left out."""

    @property
    def least(self) -> int:
        """The narrowest it may be."""
        return self.min_width or self.width


def fit(columns: Sequence[Column], max_width: int | None) -> dict[int, int]:
    """Which columns are shown, by index, and how wide each is. Without a limit, all are."""
    shown = list(range(len(columns)))
    if max_width is None:
        return {index: columns[index].width for index in shown}

    def room() -> int:
        used = sum(columns[index].least for index in shown)
        return max_width - used - len(_GAP) * (len(shown) - 1)

    while len(shown) > 1 and room() < 0:
        # Of two that are equally important the one to the right goes first.
        shown.remove(min(reversed(shown), key=lambda index: columns[index].importance))
    left, widths = max(0, room()), dict[int, int]()
    for index in shown:
        wider = min(left, columns[index].width - columns[index].least)
        widths[index] = columns[index].least + wider
        left -= wider
    return widths


def row_of(cells: Sequence[str], widths: dict[int, int], max_width: int | None) -> str:
    """A line of the columns that `fit` chose. Where there is a limit, what is too long is cut."""
    shown = [printable(cells[index]) for index in widths]
    if max_width is not None:
        taken = sum(widths.values()) + len(_GAP) * (len(widths) - 1)
        limits = list(widths.values())
        limits[-1] += max(0, max_width - taken)  # the last column has what is left
        shown = [_cut(cell, limit) for cell, limit in zip(shown, limits, strict=True)]
    padded = (cell.ljust(width) for cell, width in zip(shown, widths.values(), strict=True))
    return _GAP.join(padded).rstrip()[:max_width]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


def write_table(
    names: Sequence[str],
    rows: Sequence[Sequence[str | int]],
    out: TextIO,
    *,
    plain_numbers: Sequence[str] = (),
) -> None:
    """Write a whole table: numbers right and with thousands, except in columns `plain_numbers`."""
    is_number = [
        bool(rows) and all(isinstance(row[at], int) or row[at] == "-" for row in rows)
        for at in range(len(names))
    ]
    cells = [
        [
            f"{value:,}" if isinstance(value, int) and name not in plain_numbers else str(value)
            for name, value in zip(names, row, strict=True)
        ]
        for row in rows
    ]
    cells = [[printable(cell) for cell in row] for row in cells]
    if columns_of(out) is not None and _write_rich(names, cells, is_number, out):
        return
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    for row in [names, *cells]:
        padded = (
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(row, widths, is_number, strict=True)
        )
        out.write(_GAP.join(padded).rstrip() + "\n")


def _write_rich(
    names: Sequence[str], cells: Sequence[Sequence[str]], is_number: Sequence[bool], out: TextIO
) -> bool:
    """Fit it into the terminal. False, and nothing written, where rich is not installed."""
    try:
        from rich.console import Console  # noqa: PLC0415 - of the extra `cli`
        from rich.table import Table  # noqa: PLC0415 - as above
        from rich.text import Text  # noqa: PLC0415 - as above
    except ImportError:
        return False
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name, right in zip(names, is_number, strict=True):
        # Numbers are never cut; a heading may be written in two lines.
        table.add_column(
            name.replace("_", " "),
            justify="right" if right else "left",
            overflow="ellipsis" if not right else "fold",
        )
    for row in cells:
        table.add_row(*map(Text, row))
    system: Literal["auto"] | None = "auto" if is_coloured(out) else None
    console = Console(file=out, width=columns_of(out), highlight=False, color_system=system)
    console.print(table)
    return True
