"""Freed memory stays in the process, so that the next event takes no page faults for it."""

from __future__ import annotations

import os
import platform

import pytest
from support import run_alone

from flowlog_core.allocator import keep_freed_memory

_FAULTS = """
import resource, sys
if sys.argv[1:]:
    from flowlog_core.allocator import keep_freed_memory
    assert keep_freed_memory()

def event():
    return len([bytearray(100_000) for _ in range(20)])  # below the size that malloc maps

for _ in range(5):
    event()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    event()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="there is no mallopt elsewhere")
def test_the_next_event_uses_the_memory_of_the_last_one() -> None:
    environment = {"PATH": os.environ["PATH"]}
    by_default = int(run_alone(_FAULTS, environment))
    kept = int(run_alone(_FAULTS, environment, "keep"))
    assert kept * 10 < by_default


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))  # as musl, macOS and Windows say
    assert not keep_freed_memory()
