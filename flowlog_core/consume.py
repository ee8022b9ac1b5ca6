"""For consumers: from the text of a queue message back to flow records.

docs/consuming.md has the same for other languages.

    from flowlog_core.consume import decode

    for message in queue.receive_messages():
        batch = decode(message.content)
        store(batch.records)            # keyed by record["id"], so that a repeat is harmless
        queue.delete_message(message)

A queue trigger has decoded the outer base64 already: `decode(msg.get_body())`.
"""

from __future__ import annotations

import gzip
import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from pybase64 import b64decode

from flowlog_core.shape.fields import LEAN, restored
from flowlog_core.sinks import SCHEMA

if TYPE_CHECKING:
    from azure.storage.queue import QueueClient, QueueMessage

_KNOWN = re.compile(rf"{re.escape(SCHEMA)}|(?:ecs|ocsf|asim)/.+")
_GZIP_MAGIC = b"\x1f\x8b"
_MAX_BASE64_LAYERS = 2  # the queue's own, and that which makes gzip a text
_MESSAGES_A_CALL = 32  # the most that a queue gives
_HIDDEN_FOR_S = 60


@dataclass(frozen=True, slots=True)
class Batch:
    """A decoded message."""

    id: str
    """The same whenever this message is repeated."""
    source: dict[str, Any]
    """`account`, `container`, `blob`, `generation`, `offset`, `first_tuple` (the
    index of the first record's tuple). Messages of the first version have `part` and `parts`."""
    records: list[dict[str, Any]]
    """In the file's order: flow records with all of `flowlog_core.parsing.record.FIELDS`, or with
    those that FLOWLOG_FIELDS names; in another `schema` its events."""
    schema: str = SCHEMA
    """What the records are: `flowlog/1`, or a name of FLOWLOG_SCHEMA and a version."""
    fields: tuple[str, ...] = ()
    """The fields that FLOWLOG_FIELDS names, if records have no others; empty if they have all."""


def decode(content: str | bytes) -> Batch:
    """Decode a message of any version: JSON, gzip, or base64 of either, once or twice.

    Lean records are whole again. Raises `ValueError`, naming what is wrong, if it is not a Flowlog
    message of a known schema.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        for _ in range(_MAX_BASE64_LAYERS):
            if not data.startswith((b"{", _GZIP_MAGIC)):
                data = b64decode(data, validate=True)
        if data.startswith(_GZIP_MAGIC):
            data = gzip.decompress(data)
        message = orjson.loads(data)
    except (ValueError, EOFError, OSError, zlib.error) as error:
        raise ValueError(f"not a Flowlog message: {error}") from error
    schema = message.get("schema") if isinstance(message, dict) else None
    if not isinstance(schema, str) or _KNOWN.fullmatch(schema) is None:
        raise ValueError(f"not a Flowlog message of schema {SCHEMA!r}, ecs, ocsf or asim")
    name, source, records = (message.get(key) for key in ("id", "source", "records"))
    if not (isinstance(name, str) and isinstance(source, dict) and isinstance(records, list)):
        fault = f"not a Flowlog message of schema {schema!r}: id, source or records is wrong"
        raise ValueError(fault)  # noqa: TRY004 - the content is wrong, not an argument's type
    if len(records) != message.get("count"):
        raise ValueError(
            f"message {name!r}: {message.get('count')!r} records announced, {len(records)} found"
        )
    if not all(isinstance(record, dict) for record in records):
        raise ValueError(f"message {name!r}: a record is not an object")
    fields = message.get("fields", ())
    if fields == LEAN:
        blob = str(source.get("blob", ""))
        fields, records = (), [restored(record, blob) for record in records]
    return Batch(name, source, records, schema, tuple(fields))


def receive(queue: QueueClient, max_messages: int = _MESSAGES_A_CALL) -> list[QueueMessage]:
    """Up to 32 messages, which other consumers do not see for a minute.

    Raises what the Azure SDK raises.
    """
    return list(
        queue.receive_messages(
            max_messages=max_messages,
            messages_per_page=max_messages,  # else the SDK asks for one at a time
            visibility_timeout=_HIDDEN_FOR_S,
        )
    )
