"""The identity form of connections end to end: tokens instead of keys, over TLS."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient
from host.event_grid import blob_created
from host.functions_host import needs_functions_host, running_host
from host.identity import (
    Identity,
    TokenRequest,
    running_azurite_for_identities,
    running_identity,
)
from support import ROOT, in_order_of_position, names_of_its_own, tuple_of
from worker_process import PYTHONS

from flowlog_core.consume import decode
from flowlog_core.demo.azurite import ACCOUNT, Azurite
from flowlog_core.testing.generate import FlowLogGenerator, Interface
from flowlog_core.testing.network_watcher import LogWriter, NetworkWatcherWriter

CLIENT_ID = "11111111-2222-3333-4444-555555555555"
LAST_HOUR = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)


@pytest.fixture(scope="module")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Azurite, Path]]:
    with running_azurite_for_identities(tmp_path_factory.mktemp("tls")) as started:
        yield started


class Trial:
    """Settings without any key, and a log that waits to be forwarded.

    The test itself uses the account's key, which the app is not told.
    """

    def __init__(
        self,
        azurite: Azurite,
        authority: Path,
        identity: Identity,
        unique: Callable[[str], str],
    ) -> None:
        self.azurite, self._authority, self._identity = azurite, authority, identity
        self.environment = names_of_its_own("", unique)
        del self.environment["FlowLogs"], self.environment["AzureWebJobsStorage"]
        self.environment |= identity.environment | {
            "FLOWLOG_TRIGGER_SOURCE": "EventGrid",
            "REQUESTS_CA_BUNDLE": str(authority),
            "SSL_CERT_FILE": str(authority),
        }
        for name in ("FlowLogs", "AzureWebJobsStorage"):
            self.environment |= {
                f"{name}__blobServiceUri": azurite.blob_url,
                f"{name}__queueServiceUri": azurite.queue_url,
                f"{name}__tableServiceUri": azurite.table_url,
                f"{name}__credential": "managedidentity",
            }
            if identity.client_id is not None:
                self.environment[f"{name}__clientId"] = identity.client_id
        self.interface = Interface.vnet()

    @property
    def container(self) -> str:
        return self.environment["FLOWLOG_VNET_CONTAINER"]

    def written(self) -> LogWriter:
        """A log of three entries."""
        service = BlobServiceClient.from_connection_string(
            self.azurite.connection_string, connection_verify=str(self._authority)
        )
        service.create_container(self.container)
        service.create_container(self.environment["FLOWLOG_NSG_CONTAINER"])
        name = self.interface.blob_name(LAST_HOUR)
        writer = NetworkWatcherWriter(service.get_blob_client(self.container, name))
        generator = FlowLogGenerator(1)
        for _ in range(3):
            writer.append(generator.entry("vnet4", self.interface, LAST_HOUR, 20))
        return writer

    def received(self) -> list[str]:
        """The tuples in the queue."""
        service = QueueServiceClient.from_connection_string(
            self.azurite.connection_string, connection_verify=str(self._authority)
        )
        queue = service.get_queue_client(self.environment["FLOWLOG_QUEUE"])
        records = [
            record for each in queue.receive_messages() for record in decode(each.content).records
        ]
        return [tuple_of(record) for record in in_order_of_position(records)]

    def check_tokens(self) -> None:
        """All that was asked of the endpoint was a token for storage, of the app's identity."""
        asked = {each._replace(resource=each.resource.rstrip("/")) for each in self._identity.asked}
        assert asked == {TokenRequest("https://storage.azure.com", self._identity.client_id, 200)}


@pytest.fixture(params=[None, CLIENT_ID], ids=["system-assigned", "user-assigned"])
def trial(
    azurite: tuple[Azurite, Path], request: pytest.FixtureRequest, unique: Callable[[str], str]
) -> Iterator[Trial]:
    with running_identity(request.param) as identity:
        yield Trial(*azurite, identity, unique)


def flowlog(
    arguments: list[str], environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run the command line with these settings and no others."""
    return subprocess.run(
        [sys.executable, "-m", "flowlog_core", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@needs_functions_host
def test_the_app_forwards_with_an_identity_alone(app: Path, trial: Trial) -> None:
    """The host and the app each ask for tokens: one's trigger and queue, the other's all else."""
    writer = trial.written()
    with running_host(PYTHONS[-1], app, trial.environment) as host:
        name = trial.interface.blob_name(LAST_HOUR)
        host.post(
            "vnet_FlowLogs", [blob_created(ACCOUNT, trial.azurite.blob_url, trial.container, name)]
        )
        host.wait_for(r"INVOKED 1 vnet_FlowLogs")
    assert trial.received() == writer.written
    trial.check_tokens()


def test_the_doctor_finds_nothing_wrong_with_an_identity(trial: Trial) -> None:
    trial.written()
    polling = {"FLOWLOG_TRIGGER_SOURCE": "LogsAndContainerScan"}  # as an emulator sends no events
    ran = flowlog(["doctor", "--fix"], trial.environment | polling)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "\n0 faults," in ran.stdout
    trial.check_tokens()


def test_run_forwards_with_an_identity(trial: Trial) -> None:
    writer = trial.written()
    ran = flowlog(["run", "--once"], trial.environment)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert trial.received() == writer.written
    trial.check_tokens()
