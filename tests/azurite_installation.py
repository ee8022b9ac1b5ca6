"""An installation of Flowlog in the shared Azurite, for the tests of the doctor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient
from support import names_of_its_own

from flowlog_core.config.checks import Finding
from flowlog_core.config.settings import Settings
from flowlog_core.doctor.examine import examine
from flowlog_core.doctor.installation import Installation
from flowlog_core.testing.generate import FlowLogGenerator, Interface
from flowlog_core.testing.network_watcher import NetworkWatcherWriter

ACCOUNT = "devstoreaccount1"
AZURE = "AccountName=logs;AccountKey=eA==;EndpointSuffix=core.windows.net"


class AzuriteInstallation:
    """Names of its own in the shared Azurite; nothing is there until a test makes it."""

    def __init__(self, connection_string: str, unique: Callable[[str], str]) -> None:
        self.environment = names_of_its_own(connection_string, unique)
        self.nsg = self.environment["FLOWLOG_NSG_CONTAINER"]
        self.vnet = self.environment["FLOWLOG_VNET_CONTAINER"]
        self.checkpoints = self.environment["FLOWLOG_CHECKPOINT_TABLE"]
        self.dead = self.environment["FLOWLOG_DEAD_LETTER_CONTAINER"]
        self.queue_name = self.environment["FLOWLOG_QUEUE"]
        self.table_name = self.environment["FLOWLOG_TABLE"]
        self.blobs = BlobServiceClient.from_connection_string(connection_string)
        self.queues = QueueServiceClient.from_connection_string(connection_string)
        self.tables = TableServiceClient.from_connection_string(connection_string)
        self._read: list[Installation] = []

    def open(
        self, *, may_create: bool = False, now: datetime | None = None, **changed: str
    ) -> Installation:
        environment = {**self.environment, **changed}
        settings = Settings.from_environment(environment)
        examined = Installation.of(settings, environment, may_create=may_create)
        self._read.append(examined)
        return examined if now is None else replace(examined, now=lambda: now)

    def log(self, *, hours_ago: int = 0) -> NetworkWatcherWriter:
        """A flow log with one entry, in a container that is made for it."""
        container = self.blobs.get_container_client(self.nsg)
        if not container.exists():
            container.create_container()
        hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        name = Interface.nsg().blob_name(hour - timedelta(hours=hours_ago))
        writer = NetworkWatcherWriter(container.get_blob_client(name))
        writer.append(FlowLogGenerator(1).entry("nsg2", Interface.nsg(), hour, 3))
        return writer

    def modified(self) -> datetime:
        """When the only log was last changed."""
        (blob,) = self.blobs.get_container_client(self.nsg).list_blobs()
        return blob.last_modified

    def names(self) -> set[str]:
        """Which of its names exist."""
        there = {each.name for each in self.blobs.list_containers()}
        there |= {each.name for each in self.queues.list_queues()}
        there |= {each.name for each in self.tables.list_tables()}
        mine = (self.nsg, self.vnet, self.checkpoints, self.dead, self.queue_name, self.table_name)
        return there & set(mine)

    def close(self) -> None:
        for examined in self._read:
            examined.service.close()


def found(about: str, examined: Installation) -> list[Finding]:
    """What a whole examination says under one heading."""
    return [one.finding for one in examine(examined) if one.about == about]


def ok(what: str, to_do: str = "") -> Finding:
    return Finding("ok", what, to_do)
