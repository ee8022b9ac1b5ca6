"""What the app's telemetry and traffic summaries are sent to, where its identity needs a role."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flowlog_core.config.settings import Settings
from flowlog_core.doctor.azure.arm import Arm, Missing
from flowlog_core.doctor.azure.roles import Need

_INSIGHTS, _RULES = "2020-02-02", "2022-06-01"


def telemetry_scopes(
    arm: Arm, group_id: str, environment: Mapping[str, str], settings: Settings
) -> Iterator[tuple[str, Need]]:
    """Resource id and role of each target in the resource group of the app.

    Raises `NotVisible`, or `Missing` if a target is not in this group.
    """
    if "aad" in environment.get("APPLICATIONINSIGHTS_AUTHENTICATION_STRING", "").lower():
        parts = environment.get("APPLICATIONINSIGHTS_CONNECTION_STRING", "").split(";")
        key = dict(part.split("=", 1) for part in parts if "=" in part).get("InstrumentationKey")
        found = arm.list(f"{group_id}/providers/Microsoft.Insights/components", _INSIGHTS)
        ids = [one["id"] for one in found if one["properties"].get("InstrumentationKey") == key]
        if not ids:
            raise Missing("the Application Insights of the app is not in its resource group")
        yield str(ids[0]), Need("Monitoring Metrics Publisher", "for telemetry")
    if rule := settings.traffic_rule:
        found = arm.list(f"{group_id}/providers/Microsoft.Insights/dataCollectionRules", _RULES)
        ids = [one["id"] for one in found if one["properties"].get("immutableId") == rule]
        if not ids:
            raise Missing(
                f"the data collection rule {rule} is not in the resource group of the app"
            )
        yield str(ids[0]), Need("Monitoring Metrics Publisher", "for traffic summaries")
