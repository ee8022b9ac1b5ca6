"""A worker process: does what a trigger asks for, and may be killed at any time.

Reads one call a line: JSON with `n` and the blob trigger's `container` and `name`, or the event
queue's `message` and `delivery`, or nothing more, which is the timer's. Answers with one line: `n`,
`took_s`, and `how` (the outcome) or `error` (the exception's type and text). Ends with its input.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from flowlog_core.config.settings import Settings
from flowlog_core.errors import FlowlogError
from flowlog_core.service import Service

EVENTS_AT_A_TIME = 3
READY = {"ready": True}
"""The first line, once it waits for calls."""
NOTHING_BEHIND = "nothing behind"
CLAIM_S = 3
"""So that a killed worker's claim runs out within a test; the setting's minimum is 180."""


def main() -> None:
    logging.disable()  # all that happens here would fill it
    service = Service(Settings.from_environment(os.environ))
    service.pipeline = replace(service.pipeline, owned_for_s=CLAIM_S)
    answering = threading.Lock()

    def answer_with(answer: dict[str, Any]) -> None:
        with answering:
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()

    def handle(event: dict[str, Any]) -> None:
        answer: dict[str, Any] = {"n": event["n"]}
        started = time.monotonic()
        try:
            answer["how"] = _called(service, event)
        except FlowlogError as error:
            answer |= {"error": type(error).__name__, "text": str(error)}
        except Exception as error:  # noqa: BLE001 - which is a finding, told like the others
            answer |= {"error": f"not ours: {type(error).__name__}", "text": repr(error)}
        answer["took_s"] = time.monotonic() - started
        answer_with(answer)

    answer_with(READY)
    with ThreadPoolExecutor(EVENTS_AT_A_TIME) as pool:
        for line in sys.stdin:
            pool.submit(handle, json.loads(line))
    service.close()


def _called(service: Service, event: dict[str, Any]) -> str | None:
    """What came of it: of an event its outcome, of a sweep whether it left anything behind."""
    if "name" in event:
        outcome = service.ingest_named("FlowLogs", event["container"], event["name"])
    elif "message" in event:
        outcome = service.ingest_event(event["message"].encode(), event["delivery"])
    else:
        found = service.sweep()
        if not found.is_whole:
            return "turned away, or out of time"
        return "something behind" if found.behind or found.backing_off else NOTHING_BEHIND
    return None if outcome is None else outcome.how


if __name__ == "__main__":
    main()
