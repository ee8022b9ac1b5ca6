"""What a pass over the flow logs did, in words: for `run` and `backfill`."""

from __future__ import annotations

from flowlog_core.cli.words import how_many, in_bytes, joined_counts
from flowlog_core.config.settings import Settings
from flowlog_core.sweep.cursor import Container
from flowlog_core.sweep.report import SweepReport


def summary(report: SweepReport) -> str:
    """One line; what is 0 is left out."""
    done = joined_counts(
        (report.forwarded, "forwarded"),
        (report.failed, "failed"),
        (report.backing_off, "left for later after failures"),
        (report.left_to_others, "left to other workers"),
        (report.archived, "archived"),
    )
    sums = joined_counts(
        (report.entries, "entry", "entries"),
        (report.records, "record", "records"),
        (report.dead_letters, "dead letter", "dead letters"),
        (report.new_bytes, "new byte", "new bytes"),
    )
    looked_at = f"{how_many(report.looked_at, 'blob')} looked at"
    told = f"{looked_at}, {done or 'nothing to forward'}"
    return told + (f": {sums}" if sums else "")


def left_out(report: SweepReport) -> str:
    """What was left out because it is too old, and how it is forwarded; empty if nothing was."""
    if report.oldest is None:
        return ""
    is_are = "is" if report.older == 1 else "are"
    return (
        f"{how_many(report.older, 'older blob')} with {in_bytes(report.older_bytes)} not forwarded "
        f"{is_are} left out, the oldest of {report.oldest:%Y-%m-%dT%H}. "
        f"Forward them with: flowlog backfill --since {report.oldest:%Y-%m-%dT%H}"
    )


def watched(settings: Settings, containers: list[Container]) -> str:
    """Which accounts and containers are watched, and where records go."""
    accounts = dict.fromkeys(container.account for container in containers)
    names = dict.fromkeys(container.name for container in containers)
    return (
        f"{' and '.join(names)} in {how_many(len(accounts), 'account')} "
        f"({', '.join(accounts)}), forwarding to {sink_of(settings)}"
    )


def sink_of(settings: Settings) -> str:
    """Where records go, such as `queue flowlog-records`."""
    if settings.sink == "table":
        return f"table {settings.table}"
    if settings.sink == "eventhub":
        return f"event hub {settings.event_hub}"
    if len(settings.queues) == 1:
        return f"queue {settings.queues[0]}"
    return f"queues {settings.queues[0]} to {settings.queues[-1]}"
