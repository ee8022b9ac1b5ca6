"""The columns of flow records: their names, their types, and how wide they are in Arrow."""

from __future__ import annotations

import pyarrow as pa

from flowlog_core.parsing.record import FIELDS

# Texts that few values make up are kept as a dictionary: each value once, and numbers that refer
# to it. Addresses are not, as a scan brings a new one with every tuple.
FEW = pa.dictionary(pa.int32(), pa.string())

_TYPES = {
    "id": pa.string(),
    "time": pa.timestamp("ms", tz="UTC"),
    "version": pa.uint8(),
    "src_ip": pa.string(),
    "dst_ip": pa.string(),
    "src_port": pa.uint16(),
    "dst_port": pa.uint16(),
    "protocol_number": pa.uint8(),
    "packets_src_to_dst": pa.int64(),
    "bytes_src_to_dst": pa.int64(),
    "packets_dst_to_src": pa.int64(),
    "bytes_dst_to_src": pa.int64(),
}

SCHEMA = pa.schema([(name, _TYPES.get(name, FEW)) for name in FIELDS])
"""One column for each field of a record, in the order of the record. Any may hold nulls."""


def schema_of(names: tuple[str, ...]) -> pa.Schema:
    """The schema of some columns, in the order that is given; named fields are few texts."""
    return pa.schema([SCHEMA.field(name) if name in FIELDS else (name, FEW) for name in names])
