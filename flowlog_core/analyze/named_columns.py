"""Named fields (`names`) as columns: what occurs is looked up once a table."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from flowlog_core.analyze.names import NAMED_FIELDS, Names


def with_names(table: pa.Table, names: Names, wanted: Iterable[str]) -> pa.Table:
    """The table and a column for each named field that is wanted.

    It has the columns that these are made of.
    """
    for name in wanted:
        table = table.append_column(name, _column(table, names, name))
    return table


def _column(table: pa.Table, names: Names, name: str) -> pa.Array:
    read = [table.column(one).combine_chunks().dictionary_encode() for one in NAMED_FIELDS[name]]
    if not table.num_rows:
        return pa.array([], pa.string()).dictionary_encode()
    # The values of a row as one number, so that each combination that occurs is looked up once.
    shape = [len(one.dictionary) for one in read]
    numbers = np.ravel_multi_index([one.indices.to_numpy() for one in read], shape)
    rows = pa.array(numbers).dictionary_encode()
    places = np.unravel_index(rows.dictionary.to_numpy(), shape)
    distinct = [one.dictionary.take(pa.array(at)) for one, at in zip(read, places, strict=True)]
    made = map(names.of(name), *(column.to_pylist() for column in distinct))
    return pa.array(made, pa.string()).dictionary_encode().take(rows.indices)
