"""Explains errors beside the log of `flowlog run`, each once."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from flowlog_core.blob import BlobRef
from flowlog_core.doctor.endpoints import Endpoint
from flowlog_core.doctor.explain_error import endpoint_of, explained
from flowlog_core.errors import FlowlogError
from flowlog_core.outcome import Failed, Outcome

log = logging.getLogger(__name__)


class ExplainOnce(logging.Handler):
    """Logs what an error means and what to do about it, the first time that it occurs.

    It learns of errors as a handler, from log lines with an error among their arguments, and as an
    `Observer`, from blobs that failed. The lines themselves stay as they are.
    """

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        super().__init__(logging.WARNING)
        self._endpoints = list(endpoints)
        self._explained: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        arguments = record.args if isinstance(record.args, tuple) else ()
        for argument in arguments:
            if isinstance(argument, FlowlogError):
                self.explain(argument)

    def done(self, blob: BlobRef, outcome: Outcome) -> None:
        """See `Observer.done`."""

    def failed(self, blob: BlobRef, failed: Failed) -> None:  # noqa: ARG002 - as `Observer.failed`
        """See `Observer.failed`."""
        if isinstance(failed.error, FlowlogError):
            self.explain(failed.error)

    def explain(self, error: FlowlogError) -> None:
        """Log the explanation, unless it was logged before or the error is about no endpoint."""
        if endpoint_of(error, self._endpoints) is None:
            return
        text = explained(error, self._endpoints)
        if text not in self._explained:
            self._explained.add(text)
            log.warning("%s", text)
