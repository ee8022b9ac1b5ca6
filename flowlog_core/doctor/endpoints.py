"""The services that an installation uses, and how Flowlog authenticates to each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from flowlog_core.config.connections import Connection, Service
from flowlog_core.config.settings import Settings
from flowlog_core.storage.clients import Clients

ACCOUNT_KEY, A_SAS = "the account key", "the SAS"
"""What `caller` returns for a connection string."""
POISON_QUEUE = "webjobs-blobtrigger-poison"
"""Where the host puts events that failed too often, in the source account."""


class Endpoint(NamedTuple):
    """One service of one storage account."""

    connection: Connection
    service: Service
    account: str
    """Its name, or its host if the address contains no name."""
    role: str
    """The Azure role that Flowlog needs there."""
    url: str = ""
    """Its address, as the SDK client has it."""
    used_for: tuple[str, ...] = ()
    """Which containers, queues or tables are used there, by their names."""

    def __str__(self) -> str:
        return f"{self.service} service of account {self.account} ({self.connection.name})"

    @property
    def setting(self) -> str:
        """The setting that holds its address."""
        if self.connection.connection_string is not None:
            return self.connection.name
        return f"{self.connection.name}__{self.service}ServiceUri"

    @property
    def caller(self) -> str:
        """How Flowlog authenticates there."""
        return caller(self.connection)


class SharedAddress(Endpoint):
    """Several services, or connections, at one host and port: an error cannot tell them apart."""

    __slots__ = ()

    def __str__(self) -> str:
        return f"storage account {self.account} ({self.connection.name})"


def one_for_all(endpoints: Sequence[Endpoint]) -> Endpoint:
    """The only one of `endpoints`, or one that represents them all."""
    first = endpoints[0]
    if len({(one.connection.name, one.service) for one in endpoints}) == 1:
        return first
    names = dict.fromkeys(endpoint.connection.name for endpoint in endpoints)
    connection = replace(first.connection, name=" and ".join(names))
    return SharedAddress(connection, *first[1:])


def caller(connection: Connection) -> str:
    """How Flowlog authenticates to the services of this connection."""
    text = (connection.connection_string or "").lower()
    if connection.connection_string is not None:
        return A_SAS if "sharedaccesssignature=" in text else ACCOUNT_KEY
    if connection.client_id:
        return f"the identity with client id {connection.client_id}"
    return "the app's own identity"


_BLOB_TRIGGER = (
    "Storage Blob Data Reader (Storage Blob Data Owner where the host polls instead of Event Grid)"
)
_READER, _WRITER = "Storage Blob Data Reader", "Storage Blob Data Contributor"
_QUEUES, _TABLES = "Storage Queue Data Contributor", "Storage Table Data Contributor"
_SINK: dict[Service, str] = {
    "queue": "Storage Queue Data Message Sender (or Contributor, which may create the queue too)",
    "table": _TABLES,
}


def _blob_role(settings: Settings) -> str:
    return _BLOB_TRIGGER if settings.has_blob_triggers else _READER


class SourceEndpoints(NamedTuple):
    """The services of one account that holds flow logs."""

    blobs: Endpoint
    queues: Endpoint | None
    """For the poison queue of the host's blob trigger; None without one."""


class Endpoints(NamedTuple):
    """All services that an installation uses.

    Each role is the smallest that is enough. Sources: learn.microsoft.com, "Azure Blob storage
    trigger for Azure Functions", Identity-based connections (the blob trigger needs more than to
    read), and "Azure built-in roles for Storage".
    """

    sources: tuple[SourceEndpoints, ...]
    """In the order of the settings."""
    checkpoints: Endpoint
    dead_letters: Endpoint
    records: Endpoint | None
    """None for an event hub, see `doctor.event_hub`."""
    events: Endpoint | None
    """The event queue; None unless it is used."""

    @classmethod
    def of(cls, settings: Settings, clients: Clients) -> Endpoints:
        """The endpoints that these clients open. Opens no connection."""
        open_service: dict[Service, Callable[[Connection], Any]] = {
            "blob": clients.blobs,
            "queue": clients.queues,
            "table": clients.tables,
        }

        def endpoint(
            connection: Connection, service: Service, role: str, *used_for: str
        ) -> Endpoint:
            client = open_service[service](connection)
            account = client.account_name or client.url.partition("://")[2].partition("/")[0]
            return Endpoint(connection, service, account, role, client.url, used_for)

        sink: Service | None = None if settings.sink == "eventhub" else settings.sink
        sent_to = settings.queues if sink == "queue" else (settings.table,)
        return cls(
            tuple(
                SourceEndpoints(
                    endpoint(source, "blob", _blob_role(settings), *settings.containers),
                    endpoint(source, "queue", _QUEUES, POISON_QUEUE)
                    if settings.has_blob_triggers
                    else None,
                )
                for source in settings.sources
            ),
            endpoint(settings.state, "table", _TABLES, settings.checkpoint_table),
            endpoint(settings.state, "blob", _WRITER, settings.dead_letter_container),
            endpoint(settings.sink_connection, sink, _SINK[sink], *sent_to) if sink else None,
            endpoint(settings.state, "queue", _QUEUES, settings.event_queue)
            if settings.trigger_source == "EventQueue"
            else None,
        )

    def all(self) -> list[Endpoint]:
        """Each of them, sources first."""
        sources = [endpoint for source in self.sources for endpoint in source]
        state = (self.checkpoints, self.dead_letters, self.records, self.events)
        return [one for one in (*sources, *state) if one is not None]
