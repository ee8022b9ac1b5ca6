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
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from pybase64 import b64decode

from flowlog_core.sinks.message import SCHEMA

if TYPE_CHECKING:
    from azure.storage.queue import QueueClient, QueueMessage

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
    """Flow records, in the file's order; the fields are `flowlog_core.parsing.record.FIELDS`."""


def decode(content: str | bytes) -> Batch:
    """Decode a message of any version: JSON, gzip, or base64 of either, once or twice.

    Raises `ValueError`, naming what is wrong, if it is not a Flowlog message of a known schema.
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
    if not isinstance(message, dict) or message.get("schema") != SCHEMA:
        raise ValueError(f"not a Flowlog message of schema {SCHEMA!r}")
    name, source, records = (message.get(key) for key in ("id", "source", "records"))
    if not (isinstance(name, str) and isinstance(source, dict) and isinstance(records, list)):
        fault = f"not a Flowlog message of schema {SCHEMA!r}: id, source or records amiss"
        raise ValueError(fault)  # noqa: TRY004 - the content is wrong, not an argument's type
    if len(records) != message.get("count"):
        raise ValueError(
            f"message {name!r}: {message.get('count')!r} records announced, {len(records)} found"
        )
    if not all(isinstance(record, dict) for record in records):
        raise ValueError(f"message {name!r}: a record is not an object")
    return Batch(name, source, records)


def receive(queue: QueueClient) -> list[QueueMessage]:
    """What one call gives: up to 32 messages, which nobody else sees for a minute.

    Raises what the Azure SDK raises.
    """
    return list(
        queue.receive_messages(
            max_messages=_MESSAGES_A_CALL,
            messages_per_page=_MESSAGES_A_CALL,  # else the SDK asks for one at a time
            visibility_timeout=_HIDDEN_FOR_S,
        )
    )
