from __future__ import annotations

import logging

import pytest

from flowlog_core.errors import Unavailable
from flowlog_core.observe.log import LogObserver
from flowlog_core.outcome import Failed, Outcome
from flowlog_core.testing.memory import some_blob

BLOB = some_blob()


def test_the_log_has_one_line_a_blob_with_fields_that_can_be_queried(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "flowlog_core")
    outcome = Outcome("forwarded", 1, 2, 3, 4, 5, 6, 7, 8, 9.0, dropped=10)
    outcome.seconds.update({"read": 0.25, "checkpoint": 1.0004})
    LogObserver().done(BLOB, outcome)
    LogObserver().done(BLOB, Outcome("handed_over"))
    LogObserver().failed(BLOB, Failed(70, 2, Unavailable('said "busy"\nand left')))
    LogObserver().failed(BLOB, Failed(0, None, MemoryError()))
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        (
            "INFO",
            f"forwarded {BLOB}: entries=1 records=2 messages=3 dead_letters=4 "
            "new_bytes=5 backlog_bytes=8 rewrites=6 conflicts=7 dropped=10 lag_s=9.000 "
            "read_s=0.250 checkpoint_s=1.000",
        ),
        (
            "INFO",
            f"handed_over {BLOB}: entries=0 records=0 messages=0 dead_letters=0 "
            "new_bytes=0 backlog_bytes=0 rewrites=0 conflicts=0 dropped=0",
        ),
        (
            "ERROR",
            f"failed {BLOB}: offset=70 attempt=2 error_type=Unavailable "
            r'error="said \"busy\"\nand left"',
        ),
        ("ERROR", f'failed {BLOB}: offset=0 error_type=MemoryError error=""'),
    ]


def test_an_error_cannot_forge_a_line(caplog: pytest.LogCaptureFixture) -> None:
    """A service, or a program in its place, chooses this text."""
    LogObserver().failed(BLOB, Failed(0, None, Unavailable("a\u2028b\x85c\x1bd\x9be\u202ef é")))
    (message,) = caplog.messages
    assert message.isprintable()
    assert message.endswith(r'error="a\u2028b\x85c\u001bd\x9be\u202ef é"')


def test_a_line_of_the_log_carries_its_fields_for_a_log_of_json(
    caplog: pytest.LogCaptureFixture,
) -> None:
    LogObserver().failed(BLOB, Failed(70, None, Unavailable("busy")))
    (record,) = caplog.records
    assert vars(record)["fields"] == {
        "how": "failed",
        "account": BLOB.account,
        "container": BLOB.container,
        "blob": BLOB.name,
        "offset": 70,
        "attempt": None,
        "error_type": "Unavailable",
        "error": "busy",
    }
