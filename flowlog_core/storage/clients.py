"""The Azure SDK clients of this process: one credential, and one transport for all of them.

The blob binding of the Functions worker builds a client and a credential for every event; only
the name is taken from it, and the blob is opened again through these.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from azure.data.tables import TableClient, TableServiceClient
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueClient, QueueServiceClient

from flowlog_core.closing import close_all
from flowlog_core.config.connections import Connection, Service
from flowlog_core.config.settings import Settings
from flowlog_core.source.events import POISON_SUFFIX
from flowlog_core.storage.timeouts import BACKOFF_S, CONNECT_S, READ_S, RETRIES
from flowlog_core.storage.transport import make_transport

if TYPE_CHECKING:
    from azure.core.pipeline.transport import HttpTransport
    from azure.identity import ManagedIdentityCredential

T = TypeVar("T")


class Patience(NamedTuple):
    """How long a storage call is waited for, and how often it is tried again."""

    connect_s: float = CONNECT_S
    call_s: float = READ_S
    """One try, connecting included. Sends and checkpoint calls have a `time_limit` besides."""
    retries: int = RETRIES


STEADY = Patience()


class Clients:
    """Clients for the connections of some settings, made when they are first used.

    All requests leave through `transport`; by default it is `make_transport`'s. Another one, such
    as a fake or one that counts, is to keep the time limits. `close` closes it.
    """

    def __init__(
        self,
        settings: Settings,
        patience: Patience = STEADY,
        transport: HttpTransport[Any, Any] | None = None,
    ) -> None:
        self._settings, self._patience = settings, patience
        self._transport = transport or make_transport(
            connect_s=patience.connect_s,
            call_s=patience.call_s,
            # Reading and committing go on beside the sends.
            max_connections=settings.sends_in_flight + 8,
        )
        self._services: dict[tuple[str, Service, str], Any] = {}

    def blobs(self, connection: Connection) -> BlobServiceClient:
        """The blob service of an account."""
        return self._service(connection, "blob", BlobServiceClient)

    def queues(self, connection: Connection) -> QueueServiceClient:
        """The queue service of an account."""
        return self._service(connection, "queue", QueueServiceClient)

    def tables(self, connection: Connection) -> TableServiceClient:
        """The table service of an account."""
        return self._service(connection, "table", TableServiceClient)

    def record_queues(self) -> list[QueueClient]:
        """The queues that the records go to, one for each shard."""
        sink = self._settings.sink_connection
        return [self._service(sink, "queue", QueueClient, name) for name in self._settings.queues]

    def poison_queue(self) -> QueueClient:
        """Where the host puts events that failed too often, with an event queue."""
        name = f"{self._settings.event_queue}{POISON_SUFFIX}"
        client: QueueClient = self._service(self._settings.state, "queue", QueueClient, name)
        return client

    def table(self, connection: Connection, name: str) -> TableClient:
        """One table of an account.

        Not by `get_table_client`, whose client would wait past a `time_limit` for as long as the
        service asks: it puts a wrapper around the transport, which waits by itself.
        """
        return self._service(connection, "table", TableClient, name)

    def close(self) -> None:
        """Close all connections."""
        close_all(*(one.close for one in self._services.values()), self._transport.close)

    def _service(
        self, connection: Connection, service: Service, kind: type[T], name: str = ""
    ) -> T:
        key = connection.name, service, name
        if key not in self._services:
            self._services[key] = self._open(connection, service, kind, [name] if name else [])
        client: T = self._services[key]
        return client

    def _open(self, connection: Connection, service: Service, kind: Any, name: list[str]) -> Any:
        options: dict[str, Any] = {
            "transport": self._transport,
            "retry_total": self._patience.retries,
        }
        if service != "table":  # whose client has a policy of its own
            options |= BACKOFF_S
        if connection.connection_string is not None:
            return kind.from_connection_string(connection.connection_string, *name, **options)
        options["credential"] = identity(connection.client_id)
        return kind(connection.uris[service], *name, **options)


@lru_cache
def identity(client_id: str | None) -> ManagedIdentityCredential:
    """The process's credential of an identity: user-assigned by its client id, or the app's own."""
    # Imported when needed: it costs a cold start a quarter of a second.
    from azure.identity import ManagedIdentityCredential  # noqa: PLC0415

    return ManagedIdentityCredential(client_id=client_id)
