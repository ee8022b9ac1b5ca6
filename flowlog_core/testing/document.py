"""Whole PT1H.json documents, variants that a reader must accept, and a simple reader."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

HEAD = b'{"records":['
TAIL = b"]}"


@dataclass(frozen=True, slots=True)
class GeneratedEntry:
    """The JSON bytes of one entry, and its tuples in file order."""

    raw: bytes
    tuples: tuple[str, ...]


def document(entries: Iterable[GeneratedEntry]) -> bytes:
    """A whole PT1H.json as Azure writes it: compact, on one line."""
    return HEAD + b",".join(entry.raw for entry in entries) + TAIL


def pretty_printed(data: bytes, *, indent: int = 2) -> bytes:
    """The same document with white space, as in some older blobs."""
    return json.dumps(json.loads(data), indent=indent).encode()


def with_byte_order_mark(data: bytes) -> bytes:
    """The same document, with a UTF-8 byte order mark in front."""
    return b"\xef\xbb\xbf" + data


def with_keys_shuffled(data: bytes, seed: int) -> bytes:
    """The same document, compact, with the keys of every object in another order."""
    order = random.Random(seed)  # noqa: S311  # repeatable test data, no secret

    def shuffled(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        order.shuffle(pairs)
        return dict(pairs)

    value = json.loads(data, object_pairs_hook=shuffled)
    return json.dumps(value, separators=(",", ":")).encode()


def tuples_in(data: bytes) -> list[str]:
    """Every tuple of a whole document in file order, found with the simplest code.

    Tests compare other readers with it. Raises ValueError if the data is not JSON.
    """
    found: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, list):
            for element in value:
                walk(element)
        elif isinstance(value, dict):
            found.extend(value.get("flowTuples", ()))
            for member in value.values():
                walk(member)

    walk(json.loads(data.decode("utf-8-sig")))
    return found
