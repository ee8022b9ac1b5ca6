"""A growing blob on Azurite, a service that forwards it, and what its storage calls come to."""

from __future__ import annotations

from collections import Counter
from typing import Any

from bench.harness.logs import HOUR, interface_of
from flowlog_core.config.settings import Settings
from flowlog_core.outcome import Outcome
from flowlog_core.service import Service
from flowlog_core.storage.clients import STEADY, Clients
from flowlog_core.storage.transport import make_transport
from flowlog_core.testing.generate import FlowLogGenerator, Format
from flowlog_core.testing.network_watcher import NetworkWatcherWriter


class CountingTransport:
    """Sends with Flowlog's own transport; counts requests by what they are for, and bytes."""

    def __init__(self) -> None:
        self._transport = make_transport(
            connect_s=STEADY.connect_s, call_s=STEADY.call_s, max_connections=32
        )
        self.start_over()

    def start_over(self) -> None:
        """Forget what was counted."""
        self.requests: Counter[str] = Counter()
        """By "send", "read" (of blobs) and "state" (of checkpoints, and all else)."""
        self.read_bytes = self.sent_bytes = 0

    def send(self, request: Any, **options: Any) -> Any:
        """See `HttpTransport.send`."""
        answer = self._transport.send(request, **options)
        if "/messages" in request.url or "$batch" in request.url:
            self.requests["send"] += 1
            self.sent_bytes += int(request.headers.get("Content-Length", 0))
        elif "PT1H.json" in request.url:
            self.requests["read"] += 1
            self.read_bytes += len(answer.content)
        else:
            self.requests["state"] += 1
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def service_of(connection: str, transport: Any = None, **others: str) -> Service:
    """A service all of whose ends are in one account; `others` are more settings."""
    ends = {"FlowLogs": connection, "AzureWebJobsStorage": connection}
    settings = Settings.from_environment({**ends, **others})
    return Service(settings, Clients(settings, transport=transport))


class GrowingBlob:
    """The log of one interface. What writes it has clients of its own, to be told from ours."""

    def __init__(self, service: Service, form: Format, number: int = 1) -> None:
        settings = service.settings
        self._service, self._form = service, form
        self._container = settings.vnet_container if form == "vnet4" else settings.nsg_container
        self._interface, self._generator = interface_of(form, number), FlowLogGenerator(1)
        self._name = self._interface.blob_name(HOUR)
        self._clients = Clients(settings)
        blobs = self._clients.blobs(settings.sources[0])
        container = blobs.get_container_client(self._container)
        if not container.exists():
            container.create_container()
        self.client = container.get_blob_client(self._name)
        self._writer = NetworkWatcherWriter(self.client)
        self._appended = 0
        self.start_over()

    @property
    def blob_bytes(self) -> int:
        """How long it is."""
        return len(self._writer.content)

    def start_over(self) -> None:
        """Rewrite it, with nothing in it."""
        self._writer.start_over()

    def append(self, tuples: int) -> None:
        """Append an entry of so many tuples."""
        self._writer.append(self._generator.entry(self._form, self._interface, HOUR, tuples))
        self._appended += tuples

    def ingest(self) -> Outcome:
        """What an event does. Ends the measurement if it does not forward just what is new."""
        outcome = self._service.ingest_named("FlowLogs", self._container, self._name)
        if outcome is None or outcome.records != self._appended:
            raise SystemExit("what was appended did not arrive: the figures would mean nothing")
        self._appended = 0
        return outcome

    def close(self) -> None:
        """Close the connections of what writes it."""
        self._clients.close()
