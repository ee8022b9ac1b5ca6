"""Flowlog's output stays the same when its code changes."""

from __future__ import annotations

import json

import pytest
from golden import GOLDEN, SAMPLES, forwarded, generated_blobs, sample_blobs

WAS = json.loads(GOLDEN.read_text())


def test_generated_blobs_are_forwarded_as_the_first_release_forwarded_them(
    connection_string: str,
) -> None:
    blobs = generated_blobs()
    assert forwarded(connection_string, blobs) == {name: WAS[name] for name in blobs}


@pytest.mark.skipif(not SAMPLES.exists(), reason=f"the captures are not at {SAMPLES}")
def test_captures_are_forwarded_as_the_first_release_forwarded_them(connection_string: str) -> None:
    blobs = sample_blobs()
    assert forwarded(connection_string, blobs) == {name: WAS[name] for name in blobs}
