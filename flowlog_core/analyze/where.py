"""Rules over columns: the same answers as `Rules.matches` gives for each record.

Numbers are compared as columns. Everything else is asked once for each distinct value.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from flowlog_core.shape.accepted import accepts_value, ranges_of
from flowlog_core.shape.rules import Rules
from flowlog_core.shape.terms import Term

_MAX_UINT64 = 2**64 - 1


def matching(table: pa.Table, rules: Sequence[Rules]) -> pa.Table:
    """The rows that all of the rules match. The table has every column that they read."""
    for each in rules:
        if table.num_rows:
            table = table.filter(mask(table, each))
    return table


def mask(table: pa.Table, rules: Rules) -> pa.Array:
    """For each row whether it matches: booleans without nulls."""
    one_chunk = table.combine_chunks()
    return _any([_matches(one_chunk, rule) for rule in rules.rules], table.num_rows)


def _any(masks: list[pa.Array], rows: int) -> pa.Array:
    return functools.reduce(pc.or_, masks) if masks else pa.repeat(pa.scalar(False), rows)


def _matches(table: pa.Table, rule: Sequence[Term]) -> pa.Array:
    everything = pa.repeat(pa.scalar(True), table.num_rows)
    return functools.reduce(pc.and_, (_holds(table, term) for term in rule), everything)


def _holds(table: pa.Table, term: Term) -> pa.Array:
    columns = [_column(table, name) for name in term.query_field.reads]
    if term.query_field.is_sum:
        accepted = _in_ranges(_sum(columns), term)
    else:
        accepted = _any([_accepted(column, term) for column in columns], table.num_rows)
    return pc.invert(accepted) if term.negated else accepted


def _column(table: pa.Table, name: str) -> pa.Array:
    chunks = table.column(name).chunks
    return chunks[0] if chunks else pa.nulls(0, table.schema.field(name).type)


def _accepted(column: pa.Array, term: Term) -> pa.Array:
    if term.query_field.kind == "time":
        return _in_ranges(column.cast(pa.int64()), term)
    if pa.types.is_integer(column.type):
        return _in_ranges(column, term)
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    accepted = map(accepts_value(term), column.dictionary.to_pylist())
    by_value = pa.array(accepted, pa.bool_())
    return pc.fill_null(by_value.take(column.indices), False)


def _sum(columns: list[pa.Array]) -> pa.Array:
    """Both directions together: null only where both are. Two counters never exceed 64 bits."""
    one, other = (column.cast(pa.uint64()) for column in columns)
    total = pc.add(pc.fill_null(one, 0), pc.fill_null(other, 0))
    return pc.if_else(pc.and_(one.is_null(), other.is_null()), None, total)


def _in_ranges(column: pa.Array, term: Term) -> pa.Array:
    numbers = column.cast(pa.uint64())  # no number or time of a record is negative
    masks = [
        pc.and_(
            pc.greater_equal(numbers, pa.scalar(max(low, 0), pa.uint64())),
            pc.less_equal(numbers, pa.scalar(min(high, _MAX_UINT64), pa.uint64())),
        )
        for low, high in ranges_of(term.accepts)
        if low <= _MAX_UINT64 and high >= 0
    ]
    return pc.fill_null(_any(masks, len(column)), False)
