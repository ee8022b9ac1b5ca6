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
    expendable: Sequence[str] = (),
) -> None:
    """Write a whole table: numbers right and with thousands, except in columns `plain_numbers`.

    On a terminal that is too narrow for it, columns `expendable` are left out, one after the other.
    """
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
    columns = [
        _Column(name, right, [printable(row[at]) for row in cells])
        for at, (name, right) in enumerate(zip(names, is_number, strict=True))
    ]
    max_width = columns_of(out)
    if max_width is not None and _write_rich(columns, expendable, max_width, out):
        return
    for at in range(-1, len(rows)):
        texts = (column.padded(at) for column in columns)
        out.write(_GAP.join(texts).rstrip() + "\n")


class _Column(NamedTuple):
    """A column of a whole table."""

    name: str
    is_right: bool
    """Numbers: they are never cut."""
    cells: Sequence[str]

    @property
    def width(self) -> int:
        """What it needs."""
        return max(map(len, (self.name, *self.cells)))

    @property
    def least(self) -> int:
        """What is enough to read it. The heading may be written in two lines."""
        cells = max(map(len, self.cells), default=0)
        if not self.is_right and cells > _ALWAYS_WHOLE:
            cells = _READABLE
        return max(cells, *map(len, self.name.split("_")))

    def padded(self, at: int) -> str:
        """The cell of a row, or at -1 the heading, as wide as the column."""
        text = self.name if at < 0 else self.cells[at]
        return text.rjust(self.width) if self.is_right else text.ljust(self.width)

    def shortened(self, at: int, width: int) -> str:
        """The cell of a row. A word that is too long is cut inside: its end tells most."""
        text = self.cells[at]
        if len(text) <= width or " " in text:
            return text
        begin = (width - 1) // 3
        return f"{text[:begin]}…{text[begin + 1 - width :]}"


_ALWAYS_WHOLE = 20
"""Texts up to this length, such as hours and addresses, are not cut."""
_READABLE = 24


def _fitted(
    columns: Sequence[_Column], expendable: Sequence[str], max_width: int
) -> list[tuple[_Column, int]]:
    """The columns that there is room for, each with its width: the widest are shortened."""
    shown = list(columns)

    def excess(widths: Sequence[int]) -> int:
        return sum(widths) + len(_GAP) * (len(widths) - 1) - max_width

    for name in expendable:
        if excess([column.least for column in shown]) > 0:
            shown = [column for column in shown if column.name != name]
    widths = [column.width for column in shown]
    while excess(widths) > 0:
        wide = [at for at, column in enumerate(shown) if widths[at] > column.least]
        if not wide:  # rich has the rest to do
            break
        widths[max(wide, key=widths.__getitem__)] -= 1
    return list(zip(shown, widths, strict=True))


def _write_rich(
    columns: Sequence[_Column], expendable: Sequence[str], max_width: int, out: TextIO
) -> bool:
    """Fit it into the terminal. False, and nothing written, where rich is not installed."""
    try:
        from rich.console import Console  # noqa: PLC0415 - of the extra `cli`
        from rich.table import Table  # noqa: PLC0415 - as above
        from rich.text import Text  # noqa: PLC0415 - as above
    except ImportError:
        return False
    fitted = _fitted(columns, expendable, max_width)
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, len(_GAP), 0, 0))
    for column, width in fitted:
        justify: Literal["left", "right"] = "right" if column.is_right else "left"
        title = column.name.replace("_", " ")
        table.add_column(title, justify=justify, overflow="fold", max_width=width)
    for at in range(len(columns[0].cells) if columns else 0):
        table.add_row(*(Text(column.shortened(at, width)) for column, width in fitted))
    system: Literal["auto"] | None = "auto" if is_coloured(out) else None
    console = Console(file=out, width=max_width, highlight=False, color_system=system)
    console.print(table)
    return True
