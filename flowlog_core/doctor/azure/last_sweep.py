"""When the sweep last went through each container, by its cursors."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from flowlog_core.checkpoints.cursors import cursor_key
from flowlog_core.config.checks import Finding
from flowlog_core.config.settings import Settings
from flowlog_core.doctor.azure.arm import Arm, Missing
from flowlog_core.sweep.cursor import Container

_MISSED_RUNS = 4


def last_sweep(arm: Arm, settings: Settings, accounts: Iterable[str]) -> Finding:
    """The sweep went through every container lately, or else the one that has waited longest.

    Raises `NotVisible` if the caller may not read the table.
    """
    table = f"{settings.state.uris['table']}/{settings.checkpoint_table}"
    every = f"It should run every {settings.sweep_minutes} min (FLOWLOG_SWEEP_MINUTES)"
    saved = []
    for container in (Container(a, name) for a in accounts for name in settings.containers):
        try:
            entity = arm.get_entity(table, *cursor_key(container))
        except Missing:
            where = "/".join(container)
            return Finding(
                "warning", f"No sweep has looked at {where} yet", f"Wait for the first one. {every}"
            )
        saved.append(datetime.fromisoformat(str(entity["Timestamp"])))
    age = arm.now() - min(saved)
    minutes = round(age.total_seconds() / 60)
    if age > timedelta(minutes=_MISSED_RUNS * settings.sweep_minutes):
        return Finding(
            "fault",
            f"The last sweep was {minutes} min ago",
            f"{every}. Check that the app runs and its function `sweep` is enabled; its log in "
            "Application Insights says why it fails",
        )
    return Finding("ok", f"The last sweep was {minutes} min ago")
