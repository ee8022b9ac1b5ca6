"""The cheap checks: what the settings and the environment say by themselves, without a socket."""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from flowlog_core import __version__, compiled
from flowlog_core.config.connections import Connection
from flowlog_core.config.settings import Settings

log = logging.getLogger(__name__)

_PACKAGES = (
    "azure-functions",
    "azurefunctions-extensions-bindings-blob",
    "azure-storage-blob",
    "azure-storage-queue",
    "azure-data-tables",
    "azure-identity",
)
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

Level = Literal["ok", "warning", "fault"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact about an installation.

    A fault keeps logs from being forwarded, a warning may; `ok` is for the reader's peace of mind.
    """

    level: Level
    what: str
    to_do: str = ""
    """Empty where there is nothing to do, or where `what` says it already."""


class Facts(NamedTuple):
    """All that a cheap check may look at."""

    settings: Settings
    environment: Mapping[str, str]

    @property
    def connections(self) -> list[Connection]:
        """Each once, in the order of the settings."""
        settings = self.settings
        ends = (*settings.sources, settings.state, settings.sink_connection)
        return list({connection.name: connection for connection in ends}.values())

    @property
    def is_in_azure(self) -> bool:
        """Whether this process runs in Azure Functions, rather than on some machine."""
        return "WEBSITE_SKU" in self.environment or "WEBSITE_INSTANCE_ID" in self.environment


def versions(_facts: Facts) -> Iterator[Finding]:
    """What runs here."""
    packages = ", ".join(f"{name} {_version(name)}" for name in _PACKAGES)
    yield Finding(
        "ok", f"Flowlog {__version__} on Python {platform.python_version()} with {packages}"
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(absent)"


def settings_can_be_read(facts: Facts) -> Iterator[Finding]:
    """There are no `Settings` otherwise, so this only repeats where records go."""
    settings = facts.settings
    name = settings.queue if settings.sink == "queue" else settings.table
    shards = f", in {settings.shards} shards" if settings.shards > 1 else ""
    yield Finding(
        "ok",
        f"the settings can be read: from {', '.join(s.name for s in settings.sources)} "
        f"to the {settings.sink} {name} of {settings.sink_connection.name}{shards}",
    )


def trigger_fits_plan(facts: Facts) -> Iterator[Finding]:
    """Flex Consumption has no polling.

    Source: learn.microsoft.com, "Azure Blob storage trigger for Azure Functions".
    """
    plan, source = facts.environment.get("WEBSITE_SKU", ""), facts.settings.trigger_source
    if plan == "FlexConsumption" and source == "LogsAndContainerScan":
        yield Finding(
            "fault",
            "FLOWLOG_TRIGGER_SOURCE is LogsAndContainerScan, and the Flex Consumption plan has no "
            "such trigger: no event ever comes",
            "Set FLOWLOG_TRIGGER_SOURCE to EventGrid and subscribe the app to the account's events",
        )
    elif source == "LogsAndContainerScan" or facts.is_in_azure:
        where = f"the plan {plan}" if plan else "where it runs"
        yield Finding("ok", f"the trigger source {source} fits {where}")


def trigger_fits_account(facts: Facts) -> Iterator[Finding]:
    """An emulator sends no events, and events do not find a machine by themselves."""
    if facts.settings.trigger_source != "EventGrid":
        return
    emulators = [source.name for source in facts.settings.sources if is_emulator(source)]
    if emulators:
        yield Finding(
            "fault",
            f"FLOWLOG_TRIGGER_SOURCE is EventGrid, and {', '.join(emulators)} is a storage "
            "emulator, which sends no events",
            "Set FLOWLOG_TRIGGER_SOURCE to LogsAndContainerScan",
        )
    elif not facts.is_in_azure:
        yield Finding(
            "warning",
            "FLOWLOG_TRIGGER_SOURCE is EventGrid, and this machine is not in Azure: events do not "
            "reach it unless a tunnel leads to it and an event subscription names that as webhook",
            "To run the app here, set FLOWLOG_TRIGGER_SOURCE to LogsAndContainerScan, or use "
            "`flowlog run`. If these are the settings of an app in Azure, there is nothing to do",
        )


def host_has_its_settings(facts: Facts) -> Iterator[Finding]:
    """What the Functions host needs besides our own settings; docs/host.md has the reasons."""
    environment = facts.environment
    runtime = environment.get("FUNCTIONS_WORKER_RUNTIME", "python")
    if runtime != "python":
        yield Finding(
            "fault",
            f"FUNCTIONS_WORKER_RUNTIME is {runtime}",
            "Set it to python; on Flex Consumption remove it",
        )
    if not any(
        name == "AzureWebJobsStorage" or name.startswith("AzureWebJobsStorage__")
        for name in environment
    ):
        yield Finding(
            "warning",
            "AzureWebJobsStorage is not set: the Functions host needs it (`flowlog run` does not)",
            "Set it to a connection string, or AzureWebJobsStorage__blobServiceUri and so on to "
            "use an identity",
        )
    if facts.is_in_azure and "PYTHON_THREADPOOL_THREAD_COUNT" not in environment:
        yield Finding(
            "warning",
            "PYTHON_THREADPOOL_THREAD_COUNT is not set: on a small instance five events run at a "
            "time, and others wait with their time running",
            "Set it to 20",
        )


def connections_are_encrypted(facts: Facts) -> Iterator[Finding]:
    """An identity's token is never sent in clear, and accounts refuse http unless told not to."""
    for connection in facts.connections:
        if is_emulator(connection) or not _uses_http(connection):
            continue
        setting = connection.name
        if connection.connection_string is None:
            setting += "__blobServiceUri and so on"
        yield Finding(
            "fault",
            f"{connection.name} uses http: storage accounts refuse it, unless 'secure transfer "
            "required' is switched off, and the SDK sends no token of an identity over it",
            f"Write https in {setting}",
        )


def is_emulator(connection: Connection) -> bool:
    """Whether the account is Azurite's, or an address of this machine."""
    text = (connection.connection_string or "").lower()
    if "usedevelopmentstorage=true" in text:
        return True
    return any(
        urlsplit(address).hostname in _LOOPBACK or "devstoreaccount" in address
        for address in _addresses(connection)
    )


def _uses_http(connection: Connection) -> bool:
    text = (connection.connection_string or "").lower()
    return "defaultendpointsprotocol=http;" in f"{text};" or any(
        address.startswith("http://") for address in _addresses(connection)
    )


def _addresses(connection: Connection) -> list[str]:
    if connection.connection_string is None:
        return [uri.lower() for uri in connection.uris.values()]
    parts = (part.partition("=") for part in connection.connection_string.lower().split(";"))
    return [value.strip() for name, _, value in parts if name.strip().endswith("endpoint")]


CHEAP: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    versions,
    settings_can_be_read,
    trigger_fits_plan,
    trigger_fits_account,
    host_has_its_settings,
    connections_are_encrypted,
)


def cheap_findings(settings: Settings, environment: Mapping[str, str]) -> list[Finding]:
    """What all cheap checks say. Makes no storage call."""
    facts = Facts(settings, environment)
    return [finding for check in CHEAP for finding in check(facts)]


class ToldOnce:
    """Called at every event, tells the log at the first what the cheap checks hold against it.

    At the first event and not while the app is loaded, as only then the host files a line where
    people look for the app's own. What is well is not told.
    """

    def __init__(
        self, settings: Settings, environment: Mapping[str, str], *, is_compiled: bool | None = None
    ) -> None:
        self._untold = [(settings, environment)]
        self._is_compiled = compiled.is_compiled() if is_compiled is None else is_compiled

    def __call__(self) -> None:
        """Log each warning and fault in one line, the first time."""
        try:
            untold = self._untold.pop()  # which is atomic: of many threads, one gets it
        except IndexError:
            return
        if not self._is_compiled:
            log.info("ordinary records are written by Python, which takes several times as long")
        for finding in cheap_findings(*untold):
            if finding.level != "ok":
                level = logging.ERROR if finding.level == "fault" else logging.WARNING
                log.log(level, "%s. %s", finding.what, finding.to_do)
