"""Which flow logs an operator means: hours, sources, resources, interfaces. And those behind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from flowlog_core.analyze.selection import has_mac, has_resource
from flowlog_core.blob import BlobRef
from flowlog_core.errors import NotFound
from flowlog_core.source.listing import BlobLister, Listed, flow_logs_since
from flowlog_core.sweep.cursor import Container

_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class LogSelection:
    """Whole logs: those of the hours from that of `since` on that begin before `until`."""

    since: datetime
    until: datetime
    accounts: frozenset[str] | None = None
    """Storage accounts; None for all."""
    resource: str = ""
    """See `analyze.selection.has_resource`."""
    mac: str = ""
    """An interface's MAC address, however written."""

    @property
    def first_hour(self) -> datetime:
        """The first hour."""
        return self.since.replace(minute=0, second=0, microsecond=0)

    @property
    def last_hour(self) -> datetime:
        """The last hour."""
        hour = self.until.replace(minute=0, second=0, microsecond=0)
        return hour if hour < self.until else hour - _HOUR

    def has(self, blob: BlobRef) -> bool:
        """Whether a log is among those that are meant."""
        log = blob.log
        return (
            self.first_hour <= log.hour <= self.last_hour
            and (self.accounts is None or blob.account in self.accounts)
            and has_resource(self.resource, log.resource_id)
            and has_mac(self.mac, log.mac)
        )

    def containers(self, all_of_them: Sequence[Container]) -> list[Container]:
        """Those of the accounts that are meant."""
        return [one for one in all_of_them if self.accounts is None or one.account in self.accounts]


def selected_logs(
    lister: BlobLister, container: Container, selection: LogSelection, done: str = ""
) -> Iterator[Sequence[Listed]]:
    """The logs of a container that are meant, behind `done`, page by page in order of their names.

    A container that does not exist has none. Raises a `StorageError`.
    """
    first, last = selection.first_hour, selection.last_hour
    try:
        for step in flow_logs_since(lister, *container, first, done, until=last):
            yield [one for one in step.listed if selection.has(one.blob)]
    except NotFound:
        return
