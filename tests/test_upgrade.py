"""What the previous release stored, this one reads on from: nothing comes again, nothing is lost.

`checkpoints_of_0_1.json` holds the entities that Flowlog 0.1 wrote on Azurite for the blobs of
`golden.py`, without their ETags.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest
from golden import SAMPLES, generated_blobs, sample_blobs
from support import records_in

from flowlog_core.blob import BlobRef
from flowlog_core.checkpoints.checkpoint import CheckpointKey, checkpoint_key
from flowlog_core.checkpoints.table import read_checkpoint
from flowlog_core.ingest import Pipeline, ingest
from flowlog_core.testing.generate import FlowLogGenerator, Format
from flowlog_core.testing.memory import (
    ManualClock,
    MemoryBlobs,
    MemoryCheckpoints,
    MemoryDeadLetters,
    MemorySink,
)

STORED: dict[str, dict[str, Any]] = json.loads(
    Path(__file__).with_name("checkpoints_of_0_1.json").read_text()
)
BLOBS = generated_blobs() | (sample_blobs() if SAMPLES.exists() else {})
HOUR = datetime(2026, 1, 1, 9, tzinfo=UTC)


@pytest.mark.parametrize("name", BLOBS)
def test_a_checkpoint_of_the_previous_release_is_carried_on(name: str) -> None:
    interface, data = BLOBS[name]
    entity = {**STORED[name], "blob_etag": ""}
    blob = BlobRef.parse(entity["blob"])
    assert blob is not None
    key = checkpoint_key(blob)
    assert key == CheckpointKey(entity["PartitionKey"], entity["RowKey"])
    clock = ManualClock()
    blobs, checkpoints = MemoryBlobs(clock), MemoryCheckpoints(clock)
    sink, letters = MemorySink(), MemoryDeadLetters()
    pipeline = Pipeline(blobs, checkpoints, sink, letters, 180, clock)
    checkpoints.create(key, read_checkpoint(entity))
    blobs.put(blob, data)
    outcome = ingest(blob, pipeline)
    assert (outcome.records, outcome.dead_letters, outcome.rewrites) == (0, 0, 0)
    assert (sink.messages, letters.letters) == ([], {})

    form: Format = "nsg2" if interface.kind == "nsg" else "vnet4"
    new = FlowLogGenerator(1).entry(form, interface, HOUR, 3)
    end = entity["offset"]
    blobs.put(blob, data[:end] + b"," + new.raw + b"]}")
    outcome = ingest(blob, pipeline)
    assert (outcome.records, outcome.rewrites) == (3, 0)
    assert {record["id"].rpartition(".")[0] for record in records_in(sink.messages)} == {
        f"{name_digest(blob)}.0.{end + 1}"
    }
    stored = checkpoints.get(key).checkpoint
    assert stored is not None
    assert (stored.progress.seam_bytes, stored.progress.blob_created) == (
        256,
        blobs.read(blob, 0, 1, None).created,
    )


def name_digest(blob: BlobRef) -> str:
    """As the first release made it."""
    text = json.dumps([blob.account, blob.container, blob.name])
    return blake2b(text.encode(), digest_size=12).hexdigest()
