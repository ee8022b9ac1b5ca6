"""What `backfill` and `replay` say where they fail."""

from __future__ import annotations

from argparse import Namespace

import pytest
from azure.core.exceptions import ServiceRequestError

from flowlog_core.cli.selecting import what_failed
from flowlog_core.config.settings import Settings
from flowlog_core.errors import Unavailable
from flowlog_core.service import Service


def account(name: str, port: int) -> str:
    ends = (f"{kind}Endpoint=http://{name}:{port}/{name}" for kind in ("Blob", "Queue", "Table"))
    return f"AccountName={name};AccountKey=eA==;{';'.join(ends)}"


WEST = (
    "Cannot connect to the blob service of account west (West): connection refused. Check the "
    "address in West"
)
STATE = (
    "Cannot connect to the storage account state (AzureWebJobsStorage): connection refused. Check "
    "the address in AzureWebJobsStorage"
)


@pytest.mark.parametrize(
    ("host", "source", "sources", "told"),
    [
        ("west", "", "East,West,North", f"{WEST}. Meanwhile, go on with --source East or North"),
        ("west", "West", "East,West,North", WEST),
        ("west", "", "West", WEST),
        ("state", "", "East,West", STATE),
    ],
)
def test_where_one_account_of_several_fails_the_way_on_is_named(
    host: str, source: str, sources: str, told: str
) -> None:
    environment = {
        "FLOWLOG_TRIGGER_SOURCE": "Timer",
        "FLOWLOG_SOURCES": sources,
        "AzureWebJobsStorage": account("state", 1),
        **{name: account(name.lower(), 1) for name in sources.split(",")},
    }
    error = Unavailable("listing")
    error.__cause__ = ServiceRequestError(f"{host}:1: Connection refused")
    service = Service(Settings.from_environment(environment))
    try:
        assert what_failed(error, Namespace(source=source), service) == told
    finally:
        service.close()
