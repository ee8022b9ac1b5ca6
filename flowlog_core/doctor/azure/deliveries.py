"""What Event Grid delivered in the last day, by the metrics of a system topic."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from flowlog_core.config.checks import Finding
from flowlog_core.doctor.azure.arm import Arm, Json

_MONITOR = "2018-01-01"
_LOOK_BACK = timedelta(hours=24)
_LATE = timedelta(hours=2)
# Source: learn.microsoft.com, "Supported metrics for Microsoft.EventGrid/systemTopics".
_PUBLISHED, _DELIVERED = "PublishSuccessCount", "DeliverySuccessCount"
_FAILED, _DEAD, _DROPPED = "DeliveryAttemptFailCount", "DeadLetteredCount", "DroppedEventCount"


def deliveries(arm: Arm, topic_id: str, account: str) -> Iterator[Finding]:
    """When Event Grid last delivered an event, and how many deliveries failed.

    The numbers are of all event subscriptions of the topic. Raises `NotVisible` or `Missing`.
    """
    now = arm.now()
    answer = arm.get(
        f"{topic_id}/providers/Microsoft.Insights/metrics",
        _MONITOR,
        timespan=f"{now - _LOOK_BACK:%Y-%m-%dT%H:%M:%SZ}/{now:%Y-%m-%dT%H:%M:%SZ}",
        interval="PT5M",
        aggregation="Total",
        metricnames=",".join((_PUBLISHED, _DELIVERED, _FAILED, _DEAD, _DROPPED)),
    )
    seen = {str(one["name"]["value"]): _points(one) for one in answer.get("value", ())}
    counts = {name: round(sum(total for _, total in points)) for name, points in seen.items()}
    last = max((at for at, total in seen.get(_DELIVERED, ()) if total), default=None)
    if last is not None:
        age = now - last
        minutes = f"{age.total_seconds() / 60:.0f} min"
        yield Finding(
            "ok" if age <= _LATE else "warning",
            f"Event Grid last delivered an event of account {account} about {minutes} ago "
            f"({counts[_DELIVERED]} in 24 h)",
            "" if age <= _LATE else "Check that flow logs are still written to this account",
        )
    elif counts.get(_PUBLISHED):
        yield Finding(
            "fault",
            f"Account {account} published {counts[_PUBLISHED]} events in 24 h, and Event Grid "
            "delivered none",
            "Correct the event subscriptions, functions and access restrictions named above",
        )
    else:
        yield Finding(
            "warning",
            f"Account {account} published no events in 24 h",
            "Check in Network Watcher, Flow logs, that a log is on and writes to this account. The "
            "first events take up to 10 minutes",
        )
    if counts.get(_FAILED):
        yield Finding(
            "warning",
            f"{counts[_FAILED]} delivery attempts failed in 24 h; Event Grid tries again for a day",
            "The workspace's table AegDeliveryFailureLogs says why",
        )
    lost = counts.get(_DEAD, 0) + counts.get(_DROPPED, 0)
    if lost:
        yield Finding(
            "warning",
            f"Event Grid gave up on {lost} events in 24 h. The sweep forwards their flow logs",
            "The container flowlog-event-dead-letters holds the events, with the reason",
        )


def _points(metric: Json) -> list[tuple[datetime, float]]:
    return [
        (datetime.fromisoformat(point["timeStamp"]), point.get("total") or 0.0)
        for series in metric.get("timeseries", ())
        for point in series.get("data", ())
    ]
