"""Named fields (`names`) as columns: each distinct value is looked up once a table."""

from __future__ import annotations

from collections.abc import Iterable

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
    make = names.of(name)
    if len(read) == 1:
        values, codes = read[0].dictionary.to_pylist(), read[0].indices
        return pa.array(map(make, values), pa.string()).dictionary_encode().take(codes)
    pairs = pa.Table.from_arrays([one.indices for one in read], ["0", "1"])
    distinct = pairs.group_by(["0", "1"]).aggregate([])
    first, other = (one.dictionary.to_pylist() for one in read)
    made = {
        (a, b): make(first[a], other[b])
        for a, b in zip(*(column.to_pylist() for column in distinct.columns), strict=True)
    }
    codes = zip(read[0].indices.to_pylist(), read[1].indices.to_pylist(), strict=True)
    return pa.array([made[pair] for pair in codes], pa.string()).dictionary_encode()
