"""A worker process: ingests the blobs of its events, and may be killed at any time.

Reads one event a line (JSON with `n`, `container`, `name`), answers with one line: `n`, `took_s`,
and `how` (the outcome) or `error` (the exception's type and text). Ends with its input.
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
CLAIM_S = 3
"""So that a killed worker's claim runs out within a test; the setting's minimum is 180."""


def main() -> None:
    logging.disable()  # all that happens here would fill it
    service = Service(Settings.from_environment(os.environ))
    service.pipeline = replace(service.pipeline, owned_for_s=CLAIM_S)
    answering = threading.Lock()

    def handle(event: dict[str, Any]) -> None:
        answer: dict[str, Any] = {"n": event["n"]}
        started = time.monotonic()
        try:
            outcome = service.ingest_named("FlowLogs", event["container"], event["name"])
            answer["how"] = None if outcome is None else outcome.how
        except FlowlogError as error:
            answer |= {"error": type(error).__name__, "text": str(error)}
        except Exception as error:  # noqa: BLE001 - which is a finding, told like the others
            answer |= {"error": f"not ours: {type(error).__name__}", "text": repr(error)}
        answer["took_s"] = time.monotonic() - started
        with answering:
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()

    with ThreadPoolExecutor(EVENTS_AT_A_TIME) as pool:
        for line in sys.stdin:
            pool.submit(handle, json.loads(line))
    service.close()


if __name__ == "__main__":
    main()
