"""Events that lead to no flow log: each is counted, and each kind named once."""

from __future__ import annotations

import logging
import threading

from flowlog_core.observe.otel import MetricsObserver
from flowlog_core.source.events import IgnoredEvent, Reason

log = logging.getLogger(__name__)

_MAX_NAMED = 1000  # a bound for memory; the metric counts on
_TEXT: dict[Reason, str] = {
    "not_an_event": "The event queue holds a message that is not an event of Event Grid (%s). Does "
    "anything but Event Grid write to this queue?",
    "other_type": "The event queue holds events of the type %s. They are ignored: only "
    "Microsoft.Storage.BlobCreated is used. Set a filter in the event subscription.",
    "unknown_account": "The event queue holds events of an account that is not in FLOWLOG_SOURCES: "
    "%s. Add it there, or remove its event subscription.",
    "other_container": "Events arrive for the container %s, which neither FLOWLOG_NSG_CONTAINER "
    "nor FLOWLOG_VNET_CONTAINER names. They are ignored. Set a filter (subject begins with "
    "/blobServices/default/containers/CONTAINER/) in the event subscription, or correct the "
    "setting.",
    "not_a_flow_log": "Events arrive for blobs that are not named like a flow log, such as %s. "
    "They are ignored. Set a filter (subject ends with PT1H.json) in the event subscription.",
}


class IgnoredEvents:
    """Counts ignored events and logs one warning for each account, container or type. Thread-safe.

    Of messages that are no event, and of names that are no flow log's, the first alone is logged.
    """

    def __init__(self, metrics: MetricsObserver) -> None:
        self._metrics = metrics
        self._lock = threading.Lock()
        self._named: set[tuple[Reason, str]] = set()

    def add(self, event: IgnoredEvent) -> None:
        """Count one event."""
        self._metrics.event_ignored(event.reason)
        by_reason = event.reason in ("not_an_event", "not_a_flow_log")
        named = event.reason, "" if by_reason else event.what
        with self._lock:
            if named in self._named or len(self._named) >= _MAX_NAMED:
                return
            self._named.add(named)
        log.warning(_TEXT[event.reason], event.what)
