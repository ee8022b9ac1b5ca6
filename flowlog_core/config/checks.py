"""Checks of the settings and the environment alone. They open no connection.

Imports nothing of the doctor: the app runs these checks too, and the doctor is not deployed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal, NamedTuple

from flowlog_core.config.connections import Connection
from flowlog_core.config.sends_nothing import sends_nothing
from flowlog_core.config.settings import Settings
from flowlog_core.shape.keep_drop import KeepDrop

log = logging.getLogger(__name__)

Level = Literal["ok", "unknown", "warning", "fault"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of a check.

    A fault stops logs from being forwarded, a warning may do so, `unknown` says what could not be
    checked, and `ok` confirms that something works.
    """

    level: Level
    what: str
    to_do: str = ""
    """What the reader should do; empty if there is nothing to do or `what` says it already."""


class Facts(NamedTuple):
    """The input of these checks."""

    settings: Settings
    environment: Mapping[str, str]

    @property
    def connections(self) -> list[Connection]:
        """Each connection once, in the order of the settings."""
        settings = self.settings
        ends = (*settings.sources, settings.state, settings.sink_connection)
        return list({connection.name: connection for connection in ends}.values())

    @property
    def is_in_azure(self) -> bool:
        """Whether this process runs in Azure Functions."""
        return "WEBSITE_SKU" in self.environment or "WEBSITE_INSTANCE_ID" in self.environment


def trigger_fits_plan(facts: Facts) -> Iterator[Finding]:
    """The Flex Consumption plan supports the Event Grid trigger only.

    Source: learn.microsoft.com, "Azure Blob storage trigger for Azure Functions".
    """
    plan, source = facts.environment.get("WEBSITE_SKU", ""), facts.settings.trigger_source
    if plan == "FlexConsumption" and source == "LogsAndContainerScan":
        yield Finding(
            "fault",
            "FLOWLOG_TRIGGER_SOURCE is LogsAndContainerScan, which the Flex Consumption plan does "
            "not support: the app receives no events",
            "Set FLOWLOG_TRIGGER_SOURCE to EventGrid and add event subscriptions to each account",
        )
    elif source == "LogsAndContainerScan" or facts.is_in_azure:
        where = f"the plan {plan}" if plan else "this environment"
        yield Finding("ok", f"FLOWLOG_TRIGGER_SOURCE {source} is supported by {where}")


def trigger_fits_account(facts: Facts) -> Iterator[Finding]:
    """Azurite sends no events, and Event Grid cannot reach a machine outside Azure by itself.

    An event queue is read from anywhere.
    """
    source = facts.settings.trigger_source
    emulators = ", ".join(one.name for one in facts.settings.sources if one.is_emulator)
    if source == "EventQueue" and emulators:
        yield Finding(
            "warning",
            f"FLOWLOG_TRIGGER_SOURCE is EventQueue, but {emulators} is a storage "
            "emulator, which sends no events: its logs wait for the sweep",
            "Set FLOWLOG_TRIGGER_SOURCE to LogsAndContainerScan or Timer",
        )
    elif source == "EventGrid" and emulators:
        yield Finding(
            "fault",
            f"FLOWLOG_TRIGGER_SOURCE is EventGrid, but {emulators} is a storage "
            "emulator, which sends no events",
            "Set FLOWLOG_TRIGGER_SOURCE to LogsAndContainerScan",
        )
    elif source == "EventGrid" and not facts.is_in_azure:
        yield Finding(
            "warning",
            "FLOWLOG_TRIGGER_SOURCE is EventGrid, but this machine is not in Azure: Event Grid "
            "cannot deliver events to it without a tunnel",
            "To run the app here, set FLOWLOG_TRIGGER_SOURCE to LogsAndContainerScan or use "
            "`flowlog run`. If these are the settings of an app in Azure, ignore this",
        )


def host_has_its_settings(facts: Facts) -> Iterator[Finding]:
    """The settings that the Functions host itself needs; docs/host.md gives the reasons."""
    environment = facts.environment
    runtime = environment.get("FUNCTIONS_WORKER_RUNTIME", "python")
    if runtime != "python":
        yield Finding(
            "fault",
            f"FUNCTIONS_WORKER_RUNTIME is {runtime}",
            "Set it to python. On Flex Consumption, remove it",
        )
    if not any(
        name == "AzureWebJobsStorage" or name.startswith("AzureWebJobsStorage__")
        for name in environment
    ):
        yield Finding(
            "warning",
            "AzureWebJobsStorage is not set. The Functions host needs it; `flowlog run` does not",
            "Set AzureWebJobsStorage to a connection string. To use an identity instead, set "
            "AzureWebJobsStorage__blobServiceUri, __queueServiceUri and __tableServiceUri",
        )
    if facts.is_in_azure and "PYTHON_THREADPOOL_THREAD_COUNT" not in environment:
        yield Finding(
            "warning",
            "PYTHON_THREADPOOL_THREAD_COUNT is not set: a small instance then runs five events at "
            "a time, and the others wait until they time out",
            "Set it to 20",
        )


def connections_are_encrypted(facts: Facts) -> Iterator[Finding]:
    """Accounts refuse http by default. Settings refuse it for an identity."""
    for connection in facts.connections:
        if not connection.is_emulator and _uses_http(connection):
            yield Finding(
                "fault",
                f"{connection.name} uses http, which storage accounts refuse by default",
                f"Write https in {connection.name}",
            )


def _uses_http(connection: Connection) -> bool:
    text = (connection.connection_string or "").lower()
    return "defaultendpointsprotocol=http;" in f"{text};" or any(
        address.startswith("http://") for address in connection.addresses
    )


class Extra(NamedTuple):
    """Packages that only some settings need."""

    name: str
    """As in `pip install 'flowlog-azure[NAME]'`."""
    modules: tuple[str, ...]
    settings: tuple[str, ...]
    """Each of them needs it."""
    level: Level = "warning"
    """Of the finding that they are missing: a warning if records are sent without them."""


EXTRAS = (
    Extra("eventhub", ("azure.eventhub.aio",), ("FLOWLOG_SINK=eventhub",), "fault"),
    Extra("traffic", ("azure.monitor.ingestion",), ("FLOWLOG_TRAFFIC_RULE",)),
    Extra(
        "telemetry",
        ("opentelemetry.sdk.metrics", "azure.monitor.opentelemetry.exporter"),
        ("APPLICATIONINSIGHTS_CONNECTION_STRING",),
    ),
    Extra(
        "telemetry",
        ("opentelemetry.sdk.metrics", "opentelemetry.exporter.otlp.json.http"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"),
    ),
)


def extras_are_installed(facts: Facts) -> Iterator[Finding]:
    """The packages that the settings need are installed."""
    in_force = {name for name, value in facts.environment.items() if value}
    in_force.add(f"FLOWLOG_SINK={facts.settings.sink}")
    for extra in EXTRAS:
        setting = next(filter(in_force.__contains__, extra.settings), None)
        missing = [name for name in extra.modules if setting and not _is_installed(name)]
        if missing:
            yield Finding(
                extra.level,
                f"{setting} is set, but the package for it is not installed "
                f"(no module {missing[0]})",
                f"pip install 'flowlog-azure[{extra.name}]'",
            )


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # a package around it is missing
        return False


def something_is_sent(facts: Facts) -> Iterator[Finding]:
    """The rules let some records pass."""
    settings = facts.settings
    if sends_nothing(KeepDrop.of(settings.keep, settings.drop)):
        names = " and ".join(
            name
            for name, rules in (("FLOWLOG_KEEP", settings.keep), ("FLOWLOG_DROP", settings.drop))
            if rules
        )
        yield Finding(
            "warning",
            f"No record passes {names}: nothing is sent",
            "Correct the rules, see docs/rules.md. What they dropped is counted as forwarded: "
            "`flowlog replay` sends it once they are corrected",
        )


CHEAP: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    trigger_fits_plan,
    trigger_fits_account,
    host_has_its_settings,
    connections_are_encrypted,
    extras_are_installed,
    something_is_sent,
)


def cheap_findings(settings: Settings, environment: Mapping[str, str]) -> list[Finding]:
    """The results of all checks of this module."""
    facts = Facts(settings, environment)
    return [finding for check in CHEAP for finding in check(facts)]


class ReportOnce:
    """Logs, at the first call, what these checks find wrong.

    The app calls it at every event, not while it is loaded: only during an event does the host put
    log lines where people look for those of the app. Results that are `ok` are not logged.
    """

    def __init__(self, settings: Settings, environment: Mapping[str, str]) -> None:
        self._unreported = [(settings, environment)]

    def __call__(self) -> None:
        """Log each warning and fault in one line, at the first call only."""
        try:
            unreported = self._unreported.pop()  # atomic: only one of several threads gets it
        except IndexError:
            return
        for finding in cheap_findings(*unreported):
            if finding.level != "ok":
                level = logging.ERROR if finding.level == "fault" else logging.WARNING
                log.log(level, "%s. %s", finding.what, finding.to_do)
