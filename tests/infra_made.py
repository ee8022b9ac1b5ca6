"""What infra/ makes of some parameters, for the tests that look at it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from infra_bicep import read
from infra_deploy import SUBSCRIPTION, Deployment, deploy

ROOT = Path(__file__).resolve().parents[1]
INFRA = ROOT / "infra"
FILES = sorted(INFRA.rglob("*.bicep"))
GROUP = f"{SUBSCRIPTION}/resourceGroups/rg-dev"
EAST = "/subscriptions/1111/resourceGroups/logs/providers/Microsoft.Storage/storageAccounts/logse"
WEST = "/subscriptions/2222/resourceGroups/more/providers/Microsoft.Storage/storageAccounts/logsw"
TWO = {"logAccounts": f"eastus={EAST}, west_europe={WEST}=their-topic"}
INGESTION = {
    "logsIngestion": "https://dcr.westeurope-1.ingest.monitor.azure.com",
    "immutableId": "dcr-0123456789abcdef0123456789abcdef",
}
"""What Azure knows of a data collection rule once it has made it."""
PRIVATE = {**TWO, "trial": True, "privateNetwork": True}


def main(**parameters: Any) -> Deployment:
    given = {"environmentName": "dev", "location": "westeurope", **parameters}
    return deploy(read(INFRA / "main.bicep"), given, SUBSCRIPTION, INGESTION)


def events(made: Deployment, **facts: Any) -> Deployment:
    """What the hook deploys, given what main.bicep puts out."""
    given = {
        "functionAppName": made.outputs["FLOWLOG_FUNCTION_APP"],
        "storageName": made.outputs["FLOWLOG_STORAGE_ACCOUNT"],
        "eventSources": made.outputs["FLOWLOG_EVENT_SOURCES"],
    }
    return deploy(read(INFRA / "events.bicep"), given, GROUP, facts)


def app_of(made: Deployment) -> dict[str, Any]:
    (app,) = made.of("Microsoft.Web/sites")
    properties: dict[str, Any] = app.body["properties"]
    return properties


def settings_of(made: Deployment) -> dict[str, str]:
    listed = app_of(made)["siteConfig"]["appSettings"]
    named = {one["name"]: str(one["value"]) for one in listed}
    assert len(named) == len(listed), "a setting is there twice"
    return named


def queues_of(made: Deployment) -> tuple[str, ...]:
    """The queues for records that are created, in order."""
    queues = made.of("Microsoft.Storage/storageAccounts/queueServices/queues")
    return tuple(one.name for one in queues)


def state_of(made: Deployment) -> str:
    return str(made.outputs["FLOWLOG_STORAGE_ACCOUNT"])
