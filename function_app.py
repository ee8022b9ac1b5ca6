"""The triggers of the function app: FLOWLOG_TRIGGER_SOURCE decides which, beside two timers."""

from __future__ import annotations

import logging
import os

import azure.functions as func
import azurefunctions.extensions.bindings.blob as bindings

from flowlog_core.config.checks import ReportOnce
from flowlog_core.config.settings import Settings
from flowlog_core.observe.otel import MetricsObserver
from flowlog_core.service import Service

# Read while the host indexes the functions, so that a wrong setting is the host's first message.
SETTINGS = Settings.from_environment(os.environ)

# At INFO, the worker's level, the SDK logs every request, token and export. host.json cannot filter
# these lines, because the worker passes no logger names to the host. ("azure" itself would include
# "azure.functions", the worker.)
for name in ("azure.core", "azure.eventhub", "azure.identity", "azure.monitor"):
    logging.getLogger(name).setLevel(logging.WARNING)

# One for the process, created before any event: the first events may run on several threads.
SERVICE = Service(SETTINGS, metrics=MetricsObserver.from_environment(os.environ))
report_findings = ReportOnce(SETTINGS, os.environ)

app = func.FunctionApp()


def watch(kind: str, connection: str, container: str) -> None:
    """Register the blob function `{kind}_{connection}` for the blobs of one container."""
    source = func.BlobSource(SETTINGS.trigger_source)

    @app.function_name(f"{kind}_{connection}")
    @app.blob_trigger(
        arg_name="blob", path=f"{container}/{{name}}", connection=connection, source=source
    )
    def forward(blob: bindings.BlobClient) -> None:
        report_findings()
        # Only the name is taken from the bound client; see `flowlog_core.storage.clients`.
        SERVICE.ingest_named(connection, blob.container_name, blob.blob_name)


@app.timer_trigger(arg_name="timer", schedule=SETTINGS.sweep_schedule, use_monitor=True)
def sweep(timer: func.TimerRequest) -> None:  # noqa: ARG001 - the host passes it by name
    """Forward what events missed."""
    report_findings()
    SERVICE.sweep()


@app.timer_trigger(arg_name="timer", schedule="0 17 3 * * *", use_monitor=True)
def cleanup(timer: func.TimerRequest) -> None:  # noqa: ARG001 - the host passes it by name
    """Remove old checkpoints of deleted blobs, once a day."""
    SERVICE.remove_stale_checkpoints()


if SETTINGS.has_blob_triggers:
    for source in SETTINGS.sources:
        watch("nsg", source.name, SETTINGS.nsg_container)
        watch("vnet", source.name, SETTINGS.vnet_container)
elif SETTINGS.trigger_source == "EventQueue":

    @app.queue_trigger(
        arg_name="message",
        queue_name=SETTINGS.event_queue,
        connection=SETTINGS.state.name,
        # As text, the host would not call the app for bytes that are no UTF-8.
        data_type=func.DataType.BINARY,
    )
    def events(message: func.QueueMessage) -> None:
        """Forward the blob that an event names."""
        report_findings()
        SERVICE.ingest_event(message.get_body(), message.dequeue_count or 1)
