"""Hashes of Flowlog's output: records, ids, messages, rows, checkpoints, dead letters.

It makes real storage calls on Azurite and reads the results with the SDK only, so nothing here
depends on the code's structure. `python tests/golden.py` rewrites `golden.json`. Do that only for a
change that intends to alter what consumers see, and say so in the CHANGELOG.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

from flowlog_core.config.settings import Settings
from flowlog_core.demo.azurite import running_azurite
from flowlog_core.service import Service
from flowlog_core.testing.generate import (
    FlowLogGenerator,
    Format,
    Interface,
    document,
    pretty_printed,
    with_byte_order_mark,
    with_keys_shuffled,
)

GOLDEN = Path(__file__).with_name("golden.json")
SAMPLES = Path(__file__).resolve().parents[2] / "shared" / "samples"
NSG_CONTAINER, VNET_CONTAINER = "golden-nsg", "golden-vnet"
_HOUR = datetime(2026, 1, 1, 9, tzinfo=UTC)
_FORMATS: tuple[Format, ...] = ("nsg1", "nsg2", "vnet4")
# By the emulator and its clock.
_CHANGES_EACH_TIME = ("blob_etag", "blob_created", "blob_last_modified", "pending_since")


def sample_blobs() -> dict[str, tuple[Interface, bytes]]:
    """The captures, each under a name of its own."""
    return {
        path.stem: (Interface.nsg(n) if path.stem.startswith("nsg") else Interface.vnet(n), data)
        for n, path in enumerate(sorted(SAMPLES.glob("*.json")), 100)
        for data in [path.read_bytes()]
    }


def generated_blobs() -> dict[str, tuple[Interface, bytes]]:
    """Ten made-up blobs: each format, each form of name, odd layouts, damage, large entries."""
    return dict(_generated())


def _generated() -> Iterator[tuple[str, tuple[Interface, bytes]]]:
    for number, form in enumerate(_FORMATS):
        yield form, (_interface(form, number), _document(form, number, [1, 17, 40, 0, 3]))
    both = Interface.nsg(3)
    generator = FlowLogGenerator(3)
    mixed = [generator.entry("nsg2" if n % 3 else "nsg1", both, _HOUR, 5 + n).raw for n in range(9)]
    yield "two-versions-in-an-hour", (both, b'{"records":[' + b",".join(mixed) + b"]}")
    yield (
        "pretty-printed-with-bom",
        (
            Interface.vnet(4, "watcher-flowlogs"),
            with_byte_order_mark(pretty_printed(_document("vnet4", 4, [12, 30]))),
        ),
    )
    yield (
        "keys-shuffled",
        (
            Interface.vnet(5, "resource-id"),
            with_keys_shuffled(_document("vnet4", 5, [25, 25, 25]), 5),
        ),
    )
    yield "several-messages-an-entry", (Interface.nsg(6), _document("nsg2", 6, [900, 2, 400]))
    yield "bad-tuples", (Interface.nsg(7), _with_bad_tuples(_document("nsg2", 7, [30, 60])))
    yield "damage", (Interface.vnet(8), _damaged(_document("vnet4", 8, [8, 8, 8, 8])))
    yield (
        "unknown-version",
        (
            Interface.vnet(9),
            _document("vnet4", 9, [4, 4, 4]).replace(
                b'"flowLogVersion":4', b'"flowLogVersion":5', 1
            ),
        ),
    )


def _interface(form: Format, number: int) -> Interface:
    return Interface.vnet(number) if form == "vnet4" else Interface.nsg(number)


def _document(form: Format, seed: int, tuples: Iterable[int]) -> bytes:
    generator, interface = FlowLogGenerator(seed), _interface(form, seed)
    return document([generator.entry(form, interface, _HOUR, count) for count in tuples])


def _with_bad_tuples(data: bytes) -> bytes:
    value, order = json.loads(data), random.Random(7)
    for record in value["records"]:
        for outer in record["properties"]["flows"]:
            for inner in outer["flows"]:
                tuples = inner["flowTuples"]
                for at in range(len(tuples)):
                    if order.random() < 0.1:
                        tuples[at] = order.choice(
                            [tuples[at] + ",1", tuples[at].replace(",T,", ",X,", 1), 7, ""]
                        )
    return json.dumps(value, separators=(",", ":")).encode()


def _damaged(data: bytes) -> bytes:
    """The second entry loses a quotation mark, the fourth its end."""
    cut = data.rindex(b'"flowTuples"')
    at = data.index(b'"flowLogGUID"', data.index(b'"flowLogGUID"') + 1)
    return data[:at] + data[at + 1 : cut] + b"]}"


def forwarded(
    connection_string: str, blobs: dict[str, tuple[Interface, bytes]]
) -> dict[str, dict[str, Any]]:
    """What Flowlog makes of each blob, through a queue and through a table."""
    with (
        BlobServiceClient.from_connection_string(connection_string) as store,
        QueueServiceClient.from_connection_string(connection_string) as queues,
        TableServiceClient.from_connection_string(connection_string) as tables,
    ):
        for container in (NSG_CONTAINER, VNET_CONTAINER):
            if not store.get_container_client(container).exists():
                store.create_container(container)
        found: dict[str, dict[str, Any]] = {}
        for name, (interface, data) in blobs.items():
            container = NSG_CONTAINER if interface.kind == "nsg" else VNET_CONTAINER
            blob_name = interface.blob_name(_HOUR)
            store.get_blob_client(container, blob_name).upload_blob(data, overwrite=True)
            unique = f"golden{uuid.uuid4().hex[:12]}"
            to_queue = _ingest(connection_string, "queue", unique, container, blob_name)
            to_table = _ingest(connection_string, "table", unique, container, blob_name)
            queue = queues.get_queue_client(to_queue["FLOWLOG_QUEUE"])
            found[name] = {
                "blob": _hash(data),
                "name": blob_name,
                **_messages(queue.receive_messages(messages_per_page=32)),
                "rows": _rows(tables, to_table["FLOWLOG_TABLE"]),
                "checkpoint": _checkpoint(tables, to_queue["FLOWLOG_CHECKPOINT_TABLE"]),
                "dead_letters": _letters(store, to_queue["FLOWLOG_DEAD_LETTER_CONTAINER"]),
            }
        return found


def _ingest(
    connection_string: str, sink: str, unique: str, container: str, blob_name: str
) -> dict[str, str]:
    names = f"{unique}{sink}"
    environment = {
        "FlowLogs": connection_string,
        "AzureWebJobsStorage": connection_string,
        "FLOWLOG_TRIGGER_SOURCE": "LogsAndContainerScan",
        "FLOWLOG_NSG_CONTAINER": NSG_CONTAINER,
        "FLOWLOG_VNET_CONTAINER": VNET_CONTAINER,
        "FLOWLOG_CHECKPOINT_TABLE": f"{names}checkpoints",
        "FLOWLOG_DEAD_LETTER_CONTAINER": f"{names}dead",
        "FLOWLOG_SINK": sink,
        "FLOWLOG_QUEUE": names,
        "FLOWLOG_TABLE": names,
        "FLOWLOG_QUEUE_ENCODING": "json",
        # One after the other, so that the queue keeps the order.
        "FLOWLOG_SENDS_IN_FLIGHT": "1",
    }
    service = Service(Settings.from_environment(environment))
    try:
        service.ingest_named("FlowLogs", container, blob_name)
    finally:
        service.close()
    return environment


def _messages(messages: Iterable[Any]) -> dict[str, Any]:
    decoded = [base64.b64decode(message.content) for message in messages]
    records = [record for text in decoded for record in json.loads(text)["records"]]
    return {
        "messages": [_hash(text) for text in decoded],
        "records": len(records),
        "records_hash": _hash(json.dumps(records)),
        "ids_hash": _hash("\n".join(record["id"] for record in records)),
        "first_ids": [record["id"] for record in records[:2]],
    }


def _rows(tables: TableServiceClient, name: str) -> dict[str, Any]:
    rows = [
        sorted((key, str(getattr(value, "value", value))) for key, value in row.items())
        for row in tables.get_table_client(name).list_entities()
    ]
    return {"count": len(rows), "hash": _hash(json.dumps(sorted(rows)))}


def _checkpoint(tables: TableServiceClient, name: str) -> dict[str, Any]:
    [entity] = tables.get_table_client(name).list_entities()
    return {
        key: getattr(value, "value", value)
        for key, value in entity.items()
        if key not in _CHANGES_EACH_TIME
    }


def _letters(store: BlobServiceClient, container: str) -> dict[str, str]:
    client = store.get_container_client(container)
    if not client.exists():
        return {}
    return {
        name: _hash(client.download_blob(name).readall())
        for name in sorted(client.list_blob_names())
    }


def _hash(data: bytes | str) -> str:
    raw = data.encode() if isinstance(data, str) else data
    return hashlib.sha256(raw).hexdigest()[:32]


if __name__ == "__main__":
    with running_azurite() as azurite:
        made = forwarded(azurite.connection_string, generated_blobs() | sample_blobs())
    GOLDEN.write_text(json.dumps(made, indent=1) + "\n")
