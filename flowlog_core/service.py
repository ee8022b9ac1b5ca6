"""Builds the service from the settings: ingests a blob by its name, sweeps, cleans up."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from functools import partial

from flowlog_core.allocator import keep_freed_memory
from flowlog_core.blob import BlobRef
from flowlog_core.checkpoints.cursors import TableCursors
from flowlog_core.checkpoints.owner import Owners
from flowlog_core.checkpoints.table import TableCheckpoints
from flowlog_core.closing import close_all
from flowlog_core.config.settings import Settings
from flowlog_core.dead_letters import BlobDeadLetters
from flowlog_core.errors import StorageError
from flowlog_core.ingest import Outcome, Pipeline, ingest
from flowlog_core.ingest_event import ingest_event
from flowlog_core.observe.ignored import IgnoredEvents
from flowlog_core.observe.log import LogObserver
from flowlog_core.observe.otel import MetricsObserver
from flowlog_core.outcome import Observers
from flowlog_core.parallel import Parallel
from flowlog_core.shape.shaper import Shaper
from flowlog_core.sinks import Sink
from flowlog_core.sinks.depth import depth_of
from flowlog_core.sinks.queue import QueueSink
from flowlog_core.sinks.sharded import ShardedSink
from flowlog_core.sinks.shards import suffixes
from flowlog_core.sinks.table import TableSink
from flowlog_core.source.blobs import AzureBlobs
from flowlog_core.source.events import CommittedBlob, EventReader, service_address
from flowlog_core.storage.clients import Clients
from flowlog_core.sweep.cleanup import remove_stale_checkpoints
from flowlog_core.sweep.cursor import Container
from flowlog_core.sweep.options import SweepOptions
from flowlog_core.sweep.report import SweepReport
from flowlog_core.sweep.sweep import Sweep

log = logging.getLogger(__name__)

_CLEANUP_S = 600
_TIMER_SWEEP_S = 50  # where the sweep alone forwards flows, once a minute
_TIMER_YOUNG_HOURS = 3  # Network Watcher appends to no older hour: `SETTLED_AFTER`
_BLOBS_AT_A_TIME = 4  # in a sweep beside events; they share the process's limit of sends in flight
_DEAD_LETTERS_AT_A_TIME = 4


class Service:
    """The service of one process. Creating it makes no storage call."""

    def __init__(
        self,
        settings: Settings,
        clients: Clients | None = None,
        *,
        metrics: MetricsObserver | None = None,
    ) -> None:
        keep_freed_memory()
        self.settings = settings
        self.metrics = metrics or MetricsObserver()
        self.clients = clients or Clients(settings)
        self._owners = Owners()
        self._parallel = Parallel(settings.sends_in_flight)
        # Their own threads: they are stored while a message is being drawn.
        letters_at_a_time = Parallel(_DEAD_LETTERS_AT_A_TIME)
        alone = settings.trigger_source == "Timer"
        self.blobs_at_a_time = Parallel(settings.sends_in_flight if alone else _BLOBS_AT_A_TIME)
        """For sweeps, and for commands that go through many blobs."""
        self._to_close = [
            self.blobs_at_a_time.close,
            self._parallel.close,
            letters_at_a_time.close,
        ]
        opened = {source.name: self.clients.blobs(source) for source in settings.sources}
        self.accounts = {
            name: str(client.account_name or client.primary_hostname)
            for name, client in opened.items()
        }
        """The storage account behind each source connection."""
        self._events = EventReader(
            {service_address(opened[name].url): self.accounts[name] for name in opened},
            settings.containers,
        )
        self._ignored = IgnoredEvents(self.metrics)
        self.blobs = AzureBlobs({self.accounts[name]: opened[name] for name in opened})
        state = settings.state
        table = self.clients.table(state, settings.checkpoint_table)
        self.cursors = TableCursors(table)
        self.pipeline = Pipeline(
            reader=self.blobs,
            checkpoints=TableCheckpoints(table),
            sink=self._sink(),
            dead_letters=BlobDeadLetters(
                self.clients.blobs(state).get_container_client(settings.dead_letter_container),
                letters_at_a_time,
            ),
            shaper=Shaper.of(settings),
            owned_for_s=settings.claim_s,
            new_owner=self._owners.new,
            is_gone=self._owners.is_gone,
            observer=Observers(LogObserver(), self.metrics),
        )
        self._has_told_of_queues = False
        if settings.traffic_rule:
            self._sum_up_traffic()

    def ingest_named(self, connection: str, container: str, name: str) -> Outcome | None:
        """Ingest a blob that the blob trigger names.

        None if it is not a flow log of this app, since the host does not compare events with the
        function's path: it is counted, and named in the log once. Raises as `ingest` does.
        """
        blob = self._events.flow_log(self.accounts[connection], container, name)
        if isinstance(blob, BlobRef):
            return ingest(blob, self.pipeline)
        self._ignored.add(blob)
        return None

    def ingest_event(self, message: bytes, dequeue_count: int) -> Outcome | None:
        """Ingest the blob of an event message, delivered so many times, this time included.

        None if the message names no flow log of this app: it is counted, and named in the log
        once. Raises as `ingest_event` does.
        """
        event = self._events.read(message)
        if isinstance(event, CommittedBlob):
            return ingest_event(event, dequeue_count, self.pipeline)
        self._ignored.add(event)
        return None

    def sweep(self) -> SweepReport:
        """Find and forward what events missed, within the time limit of one sweep."""
        settings = self.settings
        options = SweepOptions(self.containers, settings.sweep_hours, settings.catch_up_since)
        if settings.trigger_source == "Timer":
            # No event is on its way, so nothing is gained by waiting; and the next run comes soon.
            options = replace(
                options, untouched_for_s=0, max_s=_TIMER_SWEEP_S, young_hours=_TIMER_YOUNG_HOURS
            )
        clock, report = self.pipeline.clock, None
        started = clock.monotonic()
        try:
            report = Sweep(
                self.blobs, self.pipeline, self.cursors, options, self.blobs_at_a_time
            ).run()
        finally:
            self.metrics.swept(report, clock.monotonic() - started)
        self._look_at_queues()
        return report

    def _look_at_queues(self) -> None:
        """Measure what waits for consumers, and events given up. Never fails: no flow needs it."""
        if not self.metrics.is_on:
            return
        settings, queues = self.settings, []
        if settings.sink == "queue":
            queues += self.clients.record_queues()
        if settings.trigger_source == "EventQueue":
            queues.append(self.clients.poison_queue())
        for queue in queues:
            try:
                is_consumed = queue.queue_name in settings.queues
                self.metrics.queue_seen(depth_of(queue), is_consumed=is_consumed)
            except StorageError as error:
                # An identity that may only send messages may not look at them either.
                level = logging.DEBUG if self._has_told_of_queues else logging.WARNING
                log.log(level, "cannot measure what waits in the queue: %s", error)
                self._has_told_of_queues = True

    def remove_stale_checkpoints(self, stop: threading.Event | None = None) -> int:
        """Remove old checkpoints of deleted blobs; return how many. `stop` ends it early."""
        pipeline, days = self.pipeline, self.settings.keep_checkpoints_days
        return remove_stale_checkpoints(
            pipeline.checkpoints, self.blobs, pipeline.clock, days, _CLEANUP_S, stop
        )

    @property
    def containers(self) -> list[Container]:
        """The containers watched, of all source accounts."""
        accounts = dict.fromkeys(self.accounts.values())
        return [Container(one, name) for one in accounts for name in self.settings.containers]

    def close(self) -> None:
        """End the threads, close the connections, send the last traffic summaries and metrics."""
        close_all(*self._to_close, self.clients.close, self._owners.close, self.metrics.close)

    def _sum_up_traffic(self) -> None:
        # Imported here, so that it costs nothing if it is off.
        from flowlog_core.observe.log_analytics import TrafficObserver, logs_client  # noqa: PLC0415
        from flowlog_core.observe.traffic import Traffic  # noqa: PLC0415

        settings = self.settings
        open_client = partial(logs_client, settings.traffic_endpoint, settings.state)
        traffic = TrafficObserver(settings.traffic_rule, open_client)
        self._to_close.append(traffic.close)
        observer = Observers(self.pipeline.observer, traffic)
        self.pipeline = replace(self.pipeline, observer=observer, new_traffic=Traffic)

    def _sink(self) -> Sink:
        settings, parallel = self.settings, self._parallel
        sinks: list[Sink]
        if settings.sink == "eventhub":
            # Imported here, as it costs a cold start a fifth of a second.
            from flowlog_core.sinks.event_hub import EventHubSink  # noqa: PLC0415
            from flowlog_core.sinks.event_hub_client import EventHub  # noqa: PLC0415

            hub = EventHub(settings.sink_connection, settings.event_hub)
            self._to_close.append(hub.close)
            sinks = [EventHubSink(hub, settings.queue_encoding, parallel)]
        elif settings.sink == "table":
            table = self.clients.table(settings.sink_connection, settings.table)
            sinks = [TableSink(table, parallel, mark) for mark in suffixes(settings.shards, "|")]
        else:
            queues = self.clients.record_queues()
            sinks = [QueueSink(queue, settings.queue_encoding, parallel) for queue in queues]
        return ShardedSink(sinks) if len(sinks) > 1 else sinks[0]
