"""The Azure SDK clients of this process: one credential, and one connection pool per service.

The blob binding of the Functions worker builds a client and a credential for every event; only
the name is taken from it, and the blob is opened again through these.
"""

from __future__ import annotations

import os
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.request import getproxies

import requests
from azure.core.pipeline.transport import RequestsTransport
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueClient, QueueServiceClient
from requests.adapters import HTTPAdapter

from flowlog_core.config.connections import Connection, Service
from flowlog_core.config.settings import Settings
from flowlog_core.source.reading import CHUNK_BYTES
from flowlog_core.storage.timeouts import BACKOFF_S, CONNECT_S, READ_S, RETRIES

if TYPE_CHECKING:
    from azure.identity import ManagedIdentityCredential


class Patience(NamedTuple):
    """How long a storage call is waited for, and how often it is tried again."""

    connect_s: float = CONNECT_S
    read_s: float = READ_S
    retries: int = RETRIES


STEADY = Patience()


class Clients:
    """Clients for the connections of some settings, made when they are first used."""

    def __init__(self, settings: Settings, patience: Patience = STEADY) -> None:
        self._settings, self._patience = settings, patience
        self._services: dict[tuple[str, Service], Any] = {}

    def blobs(self, connection: Connection) -> BlobServiceClient:
        """The blob service of an account."""
        client: BlobServiceClient = self._service(connection, "blob", BlobServiceClient)
        return client

    def queues(self, connection: Connection) -> QueueServiceClient:
        """The queue service of an account."""
        client: QueueServiceClient = self._service(connection, "queue", QueueServiceClient)
        return client

    def tables(self, connection: Connection) -> TableServiceClient:
        """The table service of an account."""
        client: TableServiceClient = self._service(connection, "table", TableServiceClient)
        return client

    def record_queues(self) -> list[QueueClient]:
        """The queues that the records go to, one for each shard."""
        queues = self.queues(self._settings.sink_connection)
        return [queues.get_queue_client(name) for name in self._settings.queues]

    def close(self) -> None:
        """Close all connections."""
        for client in self._services.values():
            client.close()
        self._session.close()

    def _service(self, connection: Connection, service: Service, kind: Any) -> Any:
        key = connection.name, service
        if key not in self._services:
            self._services[key] = self._open(connection, service, kind)
        return self._services[key]

    def _open(self, connection: Connection, service: Service, kind: Any) -> Any:
        options: dict[str, Any] = {
            "transport": RequestsTransport(
                session=self._session,
                session_owner=False,
                connection_timeout=self._patience.connect_s,
                read_timeout=self._patience.read_s,
                connection_verify=_trusted_certificates(),
            ),
            "retry_total": self._patience.retries,
        }
        if service == "blob":
            # One GET a chunk: without this the SDK would cut it up and ask several times.
            options["max_single_get_size"] = CHUNK_BYTES
        if service != "table":  # whose client has a policy of its own
            options |= BACKOFF_S
        if connection.connection_string is not None:
            return kind.from_connection_string(connection.connection_string, **options)
        uri = connection.uris[service]
        credential = identity(connection.client_id)
        if service == "table":
            return kind(endpoint=uri, credential=credential, **options)
        return kind(account_url=uri, credential=credential, **options)

    @cached_property
    def _session(self) -> requests.Session:
        """One pool with room for all that is in flight; by default ten places a host are kept."""
        session = requests.Session()
        # To look for proxies at every call takes a tenth of its processor time.
        session.trust_env = bool(getproxies())
        # Else a password from `~/.netrc` would take the place of the account's own signature.
        session.auth = lambda request: request
        places = self._settings.sends_in_flight + 8  # reading and committing beside the sends
        adapter = HTTPAdapter(pool_connections=16, pool_maxsize=places)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        return session


def _trusted_certificates() -> str | bool:
    """The file that the environment names, as requests would read it; True: those it brings."""
    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True


@lru_cache
def identity(client_id: str | None) -> ManagedIdentityCredential:
    """The process's credential of an identity: user-assigned by its client id, or the app's own."""
    # Imported when needed: it costs a cold start a quarter of a second.
    from azure.identity import ManagedIdentityCredential  # noqa: PLC0415

    return ManagedIdentityCredential(client_id=client_id)
