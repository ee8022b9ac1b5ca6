"""What is examined, and with what patience."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from azure.core.pipeline import PipelineResponse

from flowlog_core.clients import Clients, Patience
from flowlog_core.config.settings import Settings
from flowlog_core.service import Service

IMPATIENT = Patience(connect_s=3, read_s=5, retries=0)
"""For one call of a check: a person waits for it, and what fails once is worth being told."""


@dataclass(frozen=True)
class Installation:
    """An installation, as far as settings lead to it."""

    settings: Settings
    environment: Mapping[str, str]
    service: Service
    """With impatient clients; nothing is ingested through it."""
    may_create: bool = False
    """Whether missing queues, tables and containers of Flowlog's own may be created."""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    """This machine's clock."""
    ahead: dict[str, timedelta] = field(default_factory=dict)
    """How far this machine's clock is ahead of each host's that answered."""

    @classmethod
    def of(
        cls, settings: Settings, environment: Mapping[str, str], *, may_create: bool = False
    ) -> Installation:
        """The installation of these settings. `service.close()` ends its connections."""
        service = Service(settings, Clients(settings, IMPATIENT))
        return cls(settings, environment, service, may_create)

    @property
    def clients(self) -> Clients:
        """Clients that give up soon."""
        return self.service.clients

    def hear(self, response: PipelineResponse[Any, Any]) -> None:
        """Take note of the `Date` of an answer: a `raw_response_hook`."""
        date = response.http_response.headers.get("Date")
        if date is not None:
            host = urlsplit(response.http_request.url).netloc
            self.ahead[host] = self.now() - parsedate_to_datetime(date).astimezone(UTC)
