"""What `backfill` and `replay` have in common: which logs are meant, and of which service."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from flowlog_core.cli.options import add_interface_arguments, add_range_arguments, check_range
from flowlog_core.config.settings import TABLE, Settings
from flowlog_core.doctor.endpoints import Endpoints
from flowlog_core.doctor.explain_error import endpoint_of, explained
from flowlog_core.errors import FlowlogError
from flowlog_core.operate.live import Live
from flowlog_core.operate.selection import LogSelection
from flowlog_core.service import Service


def add_selection_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare which logs are meant."""
    wanted = parser.add_argument_group("which logs")
    add_range_arguments(
        wanted,
        since="only hours from this time on, its own included",
        until="only hours that begin before this time (default: now)",
    )
    wanted.add_argument(
        "--source",
        default="",
        metavar="NAME",
        help="only logs of this source: a name in FLOWLOG_SOURCES, or a storage account",
    )
    add_interface_arguments(wanted)


def selection_of(options: argparse.Namespace, service: Service) -> LogSelection:
    """Which logs the options mean. Raises `ValueError`, with a message for the user."""
    since: datetime | None = options.since
    if since is None:
        raise ValueError("--since is required: --since 2026-01-31T09, or --since 24h")
    until: datetime = options.until or datetime.now(UTC)
    check_range(since, until)
    accounts = None
    if options.source:
        known = {name.lower(): account for name, account in service.accounts.items()}
        known |= {account.lower(): account for account in service.accounts.values()}
        account = known.get(options.source.lower())
        if account is None:
            names = ", ".join(f"{name} ({one})" for name, one in service.accounts.items())
            raise ValueError(f"there is no source {options.source!r}. There are: {names}")
        accounts = frozenset([account])
    return LogSelection(since, until, accounts, options.resource, options.mac)


def what_failed(error: FlowlogError, options: argparse.Namespace, service: Service) -> str:
    """What failed and what to do, in one line: if it was one of several accounts, how to go on."""
    endpoints = Endpoints.of(service.settings, service.clients)
    text = explained(error, endpoints.all())
    failed = endpoint_of(error, endpoints.all())
    names = [source.blobs.connection.name for source in endpoints.sources]
    if options.source or failed is None or failed.connection.name not in names or len(names) == 1:
        return text
    others = " or ".join(name for name in names if name != failed.connection.name)
    return f"{text}. Meanwhile, go on with --source {others}"


FORM = (
    *("FLOWLOG_QUEUE_ENCODING", "FLOWLOG_KEEP", "FLOWLOG_DROP", "FLOWLOG_FIELDS"),
    *("FLOWLOG_AGGREGATE", "FLOWLOG_SCHEMA"),
)
"""The settings that say what is sent of a record, and in which form."""


def form_of(settings: Settings) -> str:
    """Those settings as they are in force, such as `FLOWLOG_QUEUE_ENCODING=gzip`.

    Rows of a table have no encoding.
    """
    shown = [
        f"{row.name}={_shown(getattr(settings, row.field))}"
        for row in TABLE
        if row.name in FORM and (settings.sink != "table" or "ENCODING" not in row.name)
    ]
    return ", ".join(shown) or "all records, as they are"


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value) or "(not set)"


def live_of(service: Service) -> Live:
    """What of the service is used."""
    return Live(
        service.blobs,
        service.pipeline,
        service.cursors,
        service.containers,
        service.blobs_at_a_time,
    )


def hours_of(selection: LogSelection) -> str:
    """`the hours from 2026-01-31T09 to 2026-01-31T11 (UTC)`."""
    first, last = f"{selection.first_hour:%Y-%m-%dT%H}", f"{selection.last_hour:%Y-%m-%dT%H}"
    if first == last:
        return f"the hour {first} (UTC)"
    return f"the hours from {first} to {last} (UTC)"
