"""A growing blob on Azurite and a service that forwards it, for several measurements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.harness.measuring import HOUR, interface_of
from flowlog_core.config.settings import Settings
from flowlog_core.outcome import Outcome
from flowlog_core.service import Service
from flowlog_core.storage.clients import Clients
from flowlog_core.testing.generate import FlowLogGenerator, Format
from flowlog_core.testing.network_watcher import NetworkWatcherWriter

if TYPE_CHECKING:
    from azure.core.pipeline.transport import HttpTransport


def service_of(
    connection: str, transport: HttpTransport[Any, Any] | None = None, **others: str
) -> Service:
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
