"""One log line for every blob that was ingested."""

from __future__ import annotations

import logging
from typing import Any

import orjson

from flowlog_core.blob import BlobRef
from flowlog_core.observe.printable import printable
from flowlog_core.outcome import Failed, Outcome

log = logging.getLogger(__name__)

_OF_OUTCOME = (
    *("entries", "records", "messages", "dead_letters", "new_bytes", "backlog_bytes"),
    *("rewrites", "conflicts", "dropped", "lag_s"),
)
"""In the order of the line."""


class LogObserver:
    """Writes one line for each blob: the outcome, its name, then `key=value` fields.

    The Functions host receives only the text of a line, so everything that can be queried is in
    the text. For a log in JSON, the record's attribute `fields` has the same fields, and the
    blob's account, container and name.
    """

    def done(self, blob: BlobRef, outcome: Outcome) -> None:
        """See `Observer.done`."""
        fields = {name: getattr(outcome, name) for name in _OF_OUTCOME}
        steps = {f"{step}_s": took_s for step, took_s in outcome.seconds.items()}
        self._write(logging.INFO, outcome.how, blob, fields | steps)

    def failed(self, blob: BlobRef, failed: Failed) -> None:
        """See `Observer.failed`."""
        fields = {
            "offset": failed.offset,
            "attempt": failed.attempts,
            "error_type": type(failed.error).__name__,
            "error": str(failed.error),
        }
        self._write(logging.ERROR, "failed", blob, fields)

    @staticmethod
    def _write(level: int, how: str, blob: BlobRef, fields: dict[str, Any]) -> None:
        text = " ".join(f"{k}={_text(v)}" for k, v in fields.items() if v is not None)
        of_blob = {"account": blob.account, "container": blob.container, "blob": blob.name}
        extra = {"fields": {"how": how, **of_blob, **fields}}
        log.log(level, "%s %s: %s", how, blob, text, extra=extra)


def _text(value: object) -> str:
    """A field's value. Seconds have three decimals; text that may contain spaces is quoted."""
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, str) and not value.isidentifier():
        return printable(orjson.dumps(value).decode())
    return str(value)
