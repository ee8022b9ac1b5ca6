"""The compiled road for ordinary tuples, where there is one: `_tuple_writer.c`.

It is compiled when the package is installed on a machine with a C compiler, and may be missing: the
records are the same without it, and take several times as long (docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from flowlog_core import tuple_tables as tables

if TYPE_CHECKING:
    from types import ModuleType

    from flowlog_core._tuple_writer import Column, Writer


_INTERFACE = 3  # also in _tuple_writer.c: what was compiled before is not used with other tables


def _import() -> ModuleType | None:
    try:
        from flowlog_core import _tuple_writer  # noqa: PLC0415 - may not be there
    except ImportError:  # not compiled, or for another kind of machine
        return None
    compiled = getattr(_tuple_writer, "INTERFACE", None)  # the first ones had none
    return _tuple_writer if compiled == _INTERFACE else None


_COMPILED = _import()
_WRITER: type[Writer] | None = _COMPILED.Writer if _COMPILED else None

outline: Callable[[bytes | bytearray, int, int], tuple[int, bytes | None]] | None = (
    _COMPILED.outline if _COMPILED else None
)
"""An object without its tuples, see `_tuple_writer.pyi`; None where it was not compiled."""


def is_compiled() -> bool:
    """Whether ordinary tuples take the compiled road in this process."""
    return _COMPILED is not None


def writer_of(fields: Sequence[Mapping[str, str]], order: Sequence[int]) -> Writer | None:
    """A writer for tuples of these fields; None where it was not compiled.

    `order` is that of the first fields in the record, the others follow in theirs.
    """
    if _WRITER is None:
        return None
    columns: list[Column] = []
    for kind, run in groupby(fields, lambda field: _column(field)[0]):
        if kind == "lookup":  # few forms of them make up most of a log: they are looked up together
            joined = tables.Joined(*run)
            columns.append(("lookup", joined, joined.count))
        else:
            columns += map(_column, run)
    return _WRITER(tuple(columns), (*order, *range(len(order), len(columns))))


def _column(field: Mapping[str, str]) -> Column:
    match field:
        case tables.Times():
            return ("time", field.hours)
        case tables.Addresses():
            return ("address", field, field.before, field.after)
        case tables.Decimals():
            return ("decimal", field.maximum, field.may_be_empty, field.after)
    return ("lookup", field, 1)
