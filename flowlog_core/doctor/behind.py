"""Why a blob is not forwarded, in words of the doctor and of `flowlog run`."""

from __future__ import annotations

from collections.abc import Sequence

from flowlog_core.checkpoints.checkpoint import Failure
from flowlog_core.config.settings import TABLE
from flowlog_core.sweep.behind import try_again_at

_DEFAULTS = {row.field: row.default for row in TABLE}
WHERE_FLOW_LOGS_ARE = (
    f"Azure writes NSG flow logs to the container {_DEFAULTS['nsg_container']} and VNet flow logs "
    f"to {_DEFAULTS['vnet_container']}, none of them into a folder of another: check "
    "FLOWLOG_NSG_CONTAINER and FLOWLOG_VNET_CONTAINER"
)


def failed_and_next(failure: Failure) -> str:
    """How often it failed, when, why, and when it is tried again."""
    times = "once" if failure.attempts == 1 else f"{failure.attempts} times"
    return (
        f"failed {times}, last at {failure.at:%Y-%m-%d %H:%M:%S} UTC: {failure.error}. Next try of "
        f"the sweep: {try_again_at(failure):%Y-%m-%d %H:%M:%S} UTC"
    )


def not_flow_logs(count: int, example: str) -> str:
    """A sentence about blobs that are not named like a flow log, with one name."""
    blobs = "1 blob is" if count == 1 else f"{count} blobs are"
    return f"{blobs} not named like a flow log and not forwarded, for example {example}"


def no_containers(missing: Sequence[str]) -> str:
    """A sentence about containers that do not exist, each written ACCOUNT/CONTAINER."""
    return f"There are no flow logs: the containers {' and '.join(missing)} do not exist"
