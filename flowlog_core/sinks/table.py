"""The table sink: one row for each record. Idempotent, because a repeated row replaces itself.

PartitionKey is the resource and hour. RowKey is the MAC, the entry's offset and the tuple's index,
then the blob's digest and generation, which distinguish logs of one interface in two accounts, and
`.agg` for the sum of a flow. With shards, `|` and the shard's number follow the hour. All rows of a
resource's hour have keys from `RESOURCE|HOUR` up to, but not including, `RESOURCE|HOUR}`, with or
without shards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import orjson
from azure.core.exceptions import IncompleteReadError
from azure.data.tables import EdmType, EntityProperty, TableClient, UpdateMode

from flowlog_core.blob import digest, entry_id_of, hour_key
from flowlog_core.checkpoints.checkpoint import MAX_KEY_CHARACTERS, table_key
from flowlog_core.errors import storage_errors
from flowlog_core.parallel import Parallel
from flowlog_core.parsing.record import COUNTERS
from flowlog_core.sinks import EntryRecords, Form, Packed, TooLarge
from flowlog_core.sinks.table_batch import upsert
from flowlog_core.storage.create_on_demand import create_if_missing
from flowlog_core.storage.requests import Sender
from flowlog_core.storage.timeouts import time_limit

MAX_BATCH_ROWS = 100
MAX_BATCH_BYTES = 3 * 1024 * 1024
"""Azure allows 4 MiB, counted with the multipart text around every row."""
MAX_STRING_UTF16 = 32 * 1024
"""Azure's limit for a string property is 64 KiB of UTF-16."""
_ROW_OVERHEAD_BYTES = 4096  # keys, long names, type annotations, the part's own headers

_REPLACE = {"mode": UpdateMode.REPLACE}


class Batch(NamedTuple):
    """Rows of one partition, sent in one transaction."""

    first_id: str
    rows: list[dict[str, Any]]


class TableSink:
    """Upserts rows into a Storage table, which is created on first use.

    `suffix` is appended to each PartitionKey.
    """

    def __init__(self, table: TableClient, parallel: Parallel, suffix: str = "") -> None:
        self._table, self._parallel, self._suffix = table, parallel, suffix
        self._sender = Sender(table)

    def pack(self, entry: EntryRecords) -> Packed:
        """See `Sink.pack`; the messages are `Batch`es."""
        too_large = _too_large(entry)
        left_out = {one.index for one in too_large}
        return Packed(_batches(entry, self._suffix, left_out), too_large)

    def send(self, messages: Iterable[Batch]) -> int:
        """See `Sink.send`."""
        return self._parallel(messages, self._send_one)

    def _send_one(self, batch: Batch) -> None:
        doing = f"writing {len(batch.rows)} rows from {batch.first_id} to {self._table.table_name}"
        with storage_errors(doing, entry_id_of(batch.first_id)), time_limit():
            if upsert(self._sender, self._table.table_name, batch.rows):
                return
            answers = create_if_missing(
                lambda: self._table.submit_transaction(
                    [("upsert", row, _REPLACE) for row in batch.rows]
                ),
                self._table.create_table,
            )
            # A batch's status is 202 even if it failed; only the answers in its body say so. If the
            # body did not arrive, the SDK returns no answers and raises no error.
            if len(answers) != len(batch.rows):
                raise IncompleteReadError(f"{len(answers)} of {len(batch.rows)} answers arrived")


def _too_large(entry: EntryRecords) -> list[TooLarge]:
    return [
        TooLarge(index, "a field is longer than a table property may be")
        for index, line in enumerate(entry.lines)
        # No field is longer than its record, so nearly all records pass this cheap test. A
        # character is at most two units.
        if 2 * len(line) > MAX_STRING_UTF16
        and any(
            isinstance(value, str) and _utf16_units(value) > MAX_STRING_UTF16
            for value in _properties(line, entry.form).values()
        )
    ]


def _properties(line: str, form: Form) -> dict[str, Any]:
    """A record as the properties of a row, without its keys.

    In another schema than ours every number is Edm.Int64: it depends on the schema how large one
    may be, and a property has one type in all rows.
    """
    record: dict[str, Any] = orjson.loads(line)
    if form.is_flowlog:
        row = {name: value for name, value in record.items() if value is not None}
        large = COUNTERS
    else:
        from flowlog_core.schemas.flat import row_of  # noqa: PLC0415 - needed by few

        row = row_of(record)
        large = tuple(name for name, value in row.items() if isinstance(value, int))
    for name in large:
        if name in row:
            row[name] = EntityProperty(row[name], EdmType.INT64)
    return row


def _batches(entry: EntryRecords, shard_suffix: str, left_out: set[int]) -> Iterator[Batch]:
    position = entry.position
    log = position.blob.log
    partition = table_key(f"{log.resource_id.strip('/')}|{hour_key(log.hour)}") + shard_suffix
    suffix = f"{position.blob_digest}.{position.generation}{entry.id_suffix}"
    rest_characters = len(f"|{position.offset:012d}|{0:07d}|{suffix}")
    mac = _mac_key(log.mac, MAX_KEY_CHARACTERS - rest_characters)
    rows: list[dict[str, Any]] = []
    first_id, size = "", 0
    for index, (line, tuple_index) in enumerate(zip(entry.lines, entry.tuple_indexes, strict=True)):
        if index in left_out:
            continue
        row = _properties(line, entry.form)
        row["PartitionKey"] = partition
        row["RowKey"] = f"{mac}|{position.offset:012d}|{tuple_index:07d}|{suffix}"
        row_bytes = 2 * len(line) + _ROW_OVERHEAD_BYTES
        if rows and (len(rows) == MAX_BATCH_ROWS or size + row_bytes > MAX_BATCH_BYTES):
            yield Batch(first_id, rows)
            rows, size = [], 0
        if not rows:
            first_id = position.record_id(tuple_index) + entry.id_suffix
        rows.append(row)
        size += row_bytes
    if rows:
        yield Batch(first_id, rows)


def _mac_key(mac: str, max_characters: int) -> str:
    """The MAC as a part of a key. If it is too long, a digest replaces its end."""
    key = table_key(mac)
    if len(key) <= max_characters:
        return key
    whole = digest(mac, digest_bytes=12)
    return key[: max_characters - len(whole)] + whole


def _utf16_units(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2
