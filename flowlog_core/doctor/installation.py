"""What is examined: the settings, and clients that give up soon."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from azure.core.pipeline import PipelineResponse

from flowlog_core.config.settings import Settings
from flowlog_core.service import Service
from flowlog_core.storage.clients import Clients, Patience
from flowlog_core.storage.responses import server_time

IMPATIENT = Patience(connect_s=3, call_s=8, retries=0)
"""For one call of a check: a person is waiting, and a single failure is worth reporting."""


@dataclass(frozen=True)
class Installation:
    """An installation of Flowlog, as its settings describe it."""

    settings: Settings
    environment: Mapping[str, str]
    service: Service
    """Its clients have short timeouts. Nothing is ingested through it."""
    may_create: bool = False
    """Whether Flowlog's own queues, tables and containers may be created if they are missing."""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    """This machine's clock."""
    ahead: dict[str, timedelta] = field(default_factory=dict)
    """How far this machine's clock is ahead of the clock of each host that answered."""

    @classmethod
    def of(
        cls, settings: Settings, environment: Mapping[str, str], *, may_create: bool = False
    ) -> Installation:
        """Open the clients for these settings. `service.close()` closes their connections.

        Raises `ValueError` if the SDK cannot use a connection string.
        """
        service = Service(settings, Clients(settings, IMPATIENT))
        return cls(settings, environment, service, may_create)

    @property
    def clients(self) -> Clients:
        """Clients with short timeouts."""
        return self.service.clients

    def hear(self, response: PipelineResponse[Any, Any]) -> None:
        """Note the `Date` of an answer. Pass this as `raw_response_hook`."""
        date = server_time(response.http_response.headers)
        if date is not None:
            host = urlsplit(response.http_request.url).netloc
            self.ahead[host] = self.now() - date
