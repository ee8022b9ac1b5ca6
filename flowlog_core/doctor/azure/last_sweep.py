"""When the sweep of the app last ran, by its checkpoint."""

from __future__ import annotations

from datetime import datetime, timedelta

from flowlog_core.config.settings import Settings
from flowlog_core.doctor.azure.arm import Arm, Missing
from flowlog_core.doctor.facts import Finding
from flowlog_core.sweep.sweep import SWEEP_KEY

_MISSED_RUNS = 4


def last_sweep(arm: Arm, settings: Settings) -> Finding:
    """The sweep ran lately. Raises `NotVisible` if the caller may not read the table."""
    table = f"{settings.state.uris['table']}/{settings.checkpoint_table}"
    every = f"It should run every {settings.sweep_minutes} minutes (FLOWLOG_SWEEP_MINUTES)"
    try:
        entity = arm.get_entity(table, *SWEEP_KEY)
    except Missing:
        return Finding("warning", "No sweep has run yet", f"Wait for the first one. {every}")
    age = arm.now() - datetime.fromisoformat(str(entity["Timestamp"]))
    minutes = round(age.total_seconds() / 60)
    if age > timedelta(minutes=_MISSED_RUNS * settings.sweep_minutes):
        return Finding(
            "fault",
            f"The last sweep was {minutes} min ago",
            f"{every}. Check that the app runs and its function `sweep` is enabled; its log in "
            "Application Insights says why it fails",
        )
    return Finding("ok", f"The last sweep was {minutes} min ago")
